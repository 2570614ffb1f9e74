"""Whole statements: deleted, moved, nested, copied; loops, branches and jumps for one another."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from libs.repair.edits.blocks import (
    DEFINITIONS,
    LOOPS,
    after,
    before,
    indented,
    is_docstring,
    lines,
    movable,
    only,
    span,
    title,
)
from libs.repair.edits.site import Edit, Site
from libs.repair.edits.source import Change

_ENDS = (ast.Return, ast.Raise, ast.Break, ast.Continue)


def delete(site: Site) -> Iterator[Edit]:
    if (
        not movable(site)
        or is_docstring(site.statement)
        or isinstance(site.statement, (*DEFINITIONS, ast.Pass))
    ):
        return
    start, end = span(site, site.statement)
    text = f"{site.source.indent(site.statement.lineno)}pass{site.source.newline}" if only(site) else ""
    large = isinstance(site.statement, (ast.If, *LOOPS, ast.With, ast.Try))
    yield Edit(
        (Change(start, end, text),), f"`{title(site, site.statement)}` is deleted", 1.5 if large else 0.0
    )


def move(site: Site) -> Iterator[Edit]:
    """The statement and the next one change places; or it moves two places down."""
    if not movable(site) or is_docstring(site.statement):
        return
    following = site.block[site.index + 1 : site.index + 3]
    start, end = span(site, site.statement)
    for distance, other in enumerate(following):
        if (
            not movable(site, other)
            or isinstance(site.statement, _ENDS)
            or (isinstance(other, _ENDS) and distance)
        ):
            return
        stop = span(site, other)[1]
        text = site.source.text[end:stop]
        if not text.endswith(("\n", "\r")):
            text += site.source.newline
        change = Change(start, stop, text + lines(site, site.statement))
        yield Edit(
            (change,),
            f"`{title(site, site.statement)}` moves behind `{title(site, other)}`",
            1.2 * distance,
        )


def nest(site: Site) -> Iterator[Edit]:
    """The statement moves into the block before it, or behind the block that it ends."""
    if not movable(site) or is_docstring(site.statement) or isinstance(site.statement, DEFINITIONS):
        return
    start, end = span(site, site.statement)
    own = site.source.indent(site.statement.lineno)
    if site.index:
        previous = site.block[site.index - 1]
        for block in _blocks(previous):
            inner = site.source.indent(block[-1].lineno)
            if block[-1].lineno != previous.lineno and movable(site, block[-1]) and len(inner) > len(own):
                at = span(site, block[-1])[1]
                text = indented(site, site.statement, own, inner)
                changes = (
                    (Change(at, at, text), Change(start, end, ""))
                    if at < start
                    else (Change(start, end, text),)
                )
                yield Edit(changes, f"`{title(site, site.statement)}` moves into the block before it", 0.0)
    if site.index + 1 < len(site.block):
        following = site.block[site.index + 1]
        if isinstance(following, (*LOOPS, ast.If, ast.With)) and movable(site, following.body[0]):
            inner = site.source.indent(following.body[0].lineno)
            at = span(site, following.body[0])[0]
            changes = (Change(start, end, ""), Change(at, at, indented(site, site.statement, own, inner)))
            yield Edit(changes, f"`{title(site, site.statement)}` moves into the block behind it", 0.4)
    outer = site.owner
    if isinstance(outer, (*LOOPS, ast.If, ast.With)) and not only(site) and movable(site, outer):
        indent = site.source.indent(outer.lineno)
        text = indented(site, site.statement, own, indent)
        if site.index == len(site.block) - 1 and outer.end_lineno is not None:
            at = span(site, outer)[1]
            if at == end:
                yield Edit(
                    (Change(start, end, text),),
                    f"`{title(site, site.statement)}` moves out of the block",
                    0.0,
                )
            else:
                yield Edit(
                    (Change(start, end, ""), Change(at, at, text)),
                    f"`{title(site, site.statement)}` moves out of the block",
                    0.3,
                )
        if site.index == 0:
            at = span(site, outer)[0]
            yield Edit(
                (Change(at, at, text), Change(start, end, "")),
                f"`{title(site, site.statement)}` moves before the block",
                0.3,
            )


def _blocks(statement: ast.stmt) -> list[list[ast.stmt]]:
    """The blocks that end a compound statement; those of an `elif` chain are looked at once each."""
    found: list[list[ast.stmt]] = []
    link: ast.stmt | None = statement
    while isinstance(link, (*LOOPS, ast.If, ast.With)):
        found.append(link.body)
        orelse = getattr(link, "orelse", [])
        link = next(
            (one for one in orelse if isinstance(one, ast.If) and one.col_offset == link.col_offset), None
        )
        if orelse and link is None:
            found.append(orelse)
    deeper = [block for block in found for block in _blocks(block[-1])]
    return [*reversed(found), *deeper]


def loop(site: Site) -> Iterator[Edit]:
    """`if` becomes `while`, `while` becomes `if`, `elif` becomes `if`."""
    statement = site.statement
    start = site.source.span(statement)[0]
    word = site.source.text[start : start + 5]
    if isinstance(statement, ast.If) and word.startswith("if") and not statement.orelse:
        yield Edit((Change(start, start + 2, "while"),), "`if` becomes `while`", 0.3)
    elif isinstance(statement, ast.If) and word.startswith("elif"):
        yield Edit((Change(start, start + 4, "if"),), "`elif` becomes `if`", 0.0)
    elif isinstance(statement, ast.While) and not statement.orelse:
        yield Edit((Change(start, start + 5, "if"),), "`while` becomes `if`", 0.3)


def copy(site: Site) -> Iterator[Edit]:
    """A simple statement from elsewhere in the function, before or behind this one."""
    if not movable(site) or is_docstring(site.statement):
        return
    seen: dict[str, ast.stmt] = {}
    for node in ast.walk(site.scope.node):
        if (
            isinstance(node, (ast.Assign, ast.AugAssign, ast.Expr, ast.Return, ast.Continue, ast.Break))
            and not is_docstring(node)
            and node is not site.statement
        ):
            text = site.text(node)
            if "\n" not in text and all(
                site.known(each.id) for each in ast.walk(node) if isinstance(each, ast.Name)
            ):
                seen.setdefault(text, node)
    ranked = sorted(seen.items(), key=lambda pair: (abs(pair[1].lineno - site.statement.lineno), pair[0]))
    last = site.index == len(site.block) - 1
    for rank, (text, _) in enumerate(ranked[:20]):
        yield Edit((before(site, text),), f"`{text}` is added before it", 0.2 * rank)
        if last and not isinstance(site.statement, _ENDS):
            yield Edit((after(site, text),), f"`{text}` is added behind it", 0.2 * rank)


def jump(site: Site) -> Iterator[Edit]:
    """`break`, `continue`, `pass` and `return` for one another."""
    words = {ast.Break: "break", ast.Continue: "continue", ast.Pass: "pass"}
    old = words.get(type(site.statement))
    if old is None or not site.scope.is_function:
        return
    for rank, new in enumerate(each for each in ("continue", "break", "return", "pass") if each != old):
        yield Edit((Change(*site.source.span(site.statement), new),), f"`{old}` becomes `{new}`", 0.5 * rank)
