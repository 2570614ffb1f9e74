"""Whole statements: deleted, moved, nested, copied, guarded, made conditional."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from libs.repair.edits import source as tight
from libs.repair.edits.blocks import after, before, indented, is_docstring, lines, movable, only, span, step
from libs.repair.edits.conditions import atoms
from libs.repair.edits.site import Edit, Site
from libs.repair.edits.source import Change

_LOOPS = (ast.For, ast.AsyncFor, ast.While)
_DEFINITIONS = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.Import,
    ast.ImportFrom,
    ast.Global,
    ast.Nonlocal,
)
_ENDS = (ast.Return, ast.Raise, ast.Break, ast.Continue)


def _title(site: Site, statement: ast.stmt) -> str:
    return lines(site, statement).strip().splitlines()[0].rstrip(":")


def delete(site: Site) -> Iterator[Edit]:
    if (
        not movable(site)
        or is_docstring(site.statement)
        or isinstance(site.statement, (*_DEFINITIONS, ast.Pass))
    ):
        return
    start, end = span(site, site.statement)
    text = f"{site.source.indent(site.statement.lineno)}pass{site.source.newline}" if only(site) else ""
    large = isinstance(site.statement, (ast.If, *_LOOPS, ast.With, ast.Try))
    yield Edit(
        (Change(start, end, text),), f"`{_title(site, site.statement)}` is deleted", 1.5 if large else 0.0
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
            f"`{_title(site, site.statement)}` moves behind `{_title(site, other)}`",
            1.2 * distance,
        )


def nest(site: Site) -> Iterator[Edit]:
    """The statement moves into the block before it, or behind the block that it ends."""
    if not movable(site) or is_docstring(site.statement) or isinstance(site.statement, _DEFINITIONS):
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
                yield Edit(changes, f"`{_title(site, site.statement)}` moves into the block before it", 0.0)
    if site.index + 1 < len(site.block):
        following = site.block[site.index + 1]
        if isinstance(following, (*_LOOPS, ast.If, ast.With)) and movable(site, following.body[0]):
            inner = site.source.indent(following.body[0].lineno)
            at = span(site, following.body[0])[0]
            changes = (Change(start, end, ""), Change(at, at, indented(site, site.statement, own, inner)))
            yield Edit(changes, f"`{_title(site, site.statement)}` moves into the block behind it", 0.4)
    outer = site.owner
    if isinstance(outer, (*_LOOPS, ast.If, ast.With)) and not only(site) and movable(site, outer):
        indent = site.source.indent(outer.lineno)
        text = indented(site, site.statement, own, indent)
        if site.index == len(site.block) - 1 and outer.end_lineno is not None:
            at = span(site, outer)[1]
            if at == end:
                yield Edit(
                    (Change(start, end, text),),
                    f"`{_title(site, site.statement)}` moves out of the block",
                    0.0,
                )
            else:
                yield Edit(
                    (Change(start, end, ""), Change(at, at, text)),
                    f"`{_title(site, site.statement)}` moves out of the block",
                    0.3,
                )
        if site.index == 0:
            at = span(site, outer)[0]
            yield Edit(
                (Change(at, at, text), Change(start, end, "")),
                f"`{_title(site, site.statement)}` moves before the block",
                0.3,
            )


def _blocks(statement: ast.stmt) -> list[list[ast.stmt]]:
    """The blocks that end a compound statement."""
    if isinstance(statement, (*_LOOPS, ast.If, ast.With)):
        orelse = getattr(statement, "orelse", [])
        found = [statement.body]
        while orelse:
            found.append(orelse)
            orelse = orelse[0].orelse if len(orelse) == 1 and isinstance(orelse[0], ast.If) else []
        deeper = [block for block in found for block in _blocks(block[-1])]
        return [*reversed(found), *deeper]
    return []


def guard(site: Site) -> Iterator[Edit]:
    """`if …: return …` before the statement; the value is one that the function returns, or nothing."""
    if not movable(site) or isinstance(site.statement, _DEFINITIONS) or is_docstring(site.statement):
        return
    inner = step(site)
    leaves = _leaves(site)
    first = (
        0.0
        if site.index == 0
        or isinstance(site.block[site.index - 1], (ast.Assign, ast.If))
        or is_docstring(site.block[0])
        else 0.7
    )
    for atom, unlikely in atoms(site, site.statement, site.statement)[:45]:
        for text, surprise, reason in leaves:
            yield Edit(
                (before(site, f"if {atom.text}:\n{inner}{text}"),),
                f"`if {atom.text}: {text}` is added",
                unlikely + surprise + first,
                reason if reason and ("==" in atom.text or " in " in atom.text) else "",
            )


def _leaves(site: Site) -> list[tuple[str, float, str]]:
    """How a guard may leave: text, surprise, and what makes it a special case if it is asked of one value."""
    found: dict[str, tuple[str, float, str]] = {}
    returned = [node for node in ast.walk(site.scope.node) if isinstance(node, ast.Return)]
    for node in returned:
        value = node.value
        text = "return" if value is None else f"return {site.text(value)}"
        if "\n" in text or (value is not None and not site.usable(value, site.statement)):
            continue
        literal = value is not None and _literal(value)
        found.setdefault(
            text, (text, 0.4 + 0.2 * len(found), "returns a constant for one value" if literal else "")
        )
    generator = any(isinstance(node, (ast.Yield, ast.YieldFrom)) for node in ast.walk(site.scope.node))
    found.setdefault("return", ("return", 0.4 if generator or not returned else 1.6, ""))
    if not generator:
        for name in site.scope.parameters[:4]:
            if name not in ("self", "cls"):
                found.setdefault(f"return {name}", (f"return {name}", 1.0, ""))
        for literal_text in ("None", "[]", "0", "False", "True", "''", "{}"):
            text = f"return {literal_text}"
            found.setdefault(text, (text, 1.8, "returns a constant that the function returns nowhere else"))
    if in_loop(site):
        found["continue"] = ("continue", 0.4, "")
        found["break"] = ("break", 0.6, "")
    for node in ast.walk(site.scope.node):
        if (
            isinstance(node, ast.Raise)
            and node.exc is not None
            and site.usable(node.exc, site.statement)
            and "\n" not in site.text(node)
        ):
            found.setdefault(site.text(node), (site.text(node), 1.0, ""))
    return sorted(found.values(), key=lambda each: (each[1], each[0]))[:14]


def _literal(node: ast.expr) -> bool:
    return all(
        isinstance(
            each,
            (
                ast.Constant,
                ast.List,
                ast.Tuple,
                ast.Dict,
                ast.Set,
                ast.UnaryOp,
                ast.operator,
                ast.unaryop,
                ast.expr_context,
            ),
        )
        for each in ast.walk(node)
    )


def in_loop(site: Site) -> bool:
    """Whether `break` means something at the statement."""
    for node in ast.walk(site.scope.node):
        if isinstance(node, _LOOPS) and any(
            each is site.statement for part in node.body for each in ast.walk(part)
        ):
            return True
    return False


def wrap_if(site: Site) -> Iterator[Edit]:
    """The statement happens under a condition only."""
    if (
        not movable(site)
        or isinstance(site.statement, (*_DEFINITIONS, ast.Pass))
        or is_docstring(site.statement)
    ):
        return
    start, end = span(site, site.statement)
    own, inner = site.source.indent(site.statement.lineno), step(site)
    body = indented(site, site.statement, own, own + inner)
    for atom, unlikely in atoms(site, site.statement, site.statement)[:40]:
        text = f"{own}if {atom.text}:{site.source.newline}{body}"
        yield Edit(
            (Change(start, end, text),),
            f"`{_title(site, site.statement)}` happens only `if {atom.text}`",
            unlikely,
        )


def unwrap_if(site: Site) -> Iterator[Edit]:
    """The condition goes, its block stays; or the block of `else` does."""
    statement = site.statement
    if (
        not isinstance(statement, (ast.If, ast.While, ast.For, ast.With))
        or not movable(site)
        or not movable(site, statement.body[0])
    ):
        return
    start, end = span(site, statement)
    own = site.source.indent(statement.lineno)
    if site.source.text[site.source.span(statement)[0] :].startswith("elif"):
        return
    body = "".join(indented(site, each, site.source.indent(each.lineno), own) for each in statement.body)
    loop = isinstance(statement, (ast.While, ast.For))
    yield Edit(
        (Change(start, end, body),),
        f"`{_title(site, statement)}` goes, its block stays",
        1.5 if loop else 0.0,
    )
    orelse = getattr(statement, "orelse", [])
    if orelse and not loop and movable(site, orelse[0]):
        other = "".join(indented(site, each, site.source.indent(each.lineno), own) for each in orelse)
        if not other.lstrip().startswith("elif"):
            yield Edit(
                (Change(start, end, other),),
                f"`{_title(site, statement)}` goes, what stands under `else` stays",
                0.7,
            )


def otherwise(site: Site) -> Iterator[Edit]:
    """What follows an `if` moves under its `else`; or `else` gets what the function does elsewhere."""
    statement = site.statement
    if not isinstance(statement, ast.If) or not movable(site) or not movable(site, statement.body[0]):
        return
    own, inner = site.source.indent(statement.lineno), step(site)
    end = span(site, statement)[1]
    ahead = f"{own}else:{site.source.newline}"
    if statement.orelse:
        return
    if site.index + 1 < len(site.block) and movable(site, site.block[site.index + 1]):
        following = site.block[site.index + 1]
        text = ahead + indented(site, following, own, own + inner)
        yield Edit(
            (Change(end, span(site, following)[1], text),),
            f"`{_title(site, following)}` moves under `else`",
            0.0,
        )
        change = Change(*site.source.span(statement)[:1], site.source.span(statement)[0], "")
        del change
        if isinstance(following, ast.If):
            begin = site.source.span(following)[0]
            between = site.source.text[end:begin]
            if not between.strip():
                yield Edit((Change(begin, begin, "el"),), "`if` becomes `elif`", 0.0)
    for text, surprise, reason in _leaves(site)[:6]:
        yield Edit(
            (Change(end, end, f"{ahead}{own}{inner}{text}{site.source.newline}"),),
            f"`else: {text}` is added",
            1.0 + surprise,
            "" if not reason else "",
        )


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
    old = words.get(type(site.statement))  # type: ignore[call-overload]
    if old is None or not site.scope.is_function:
        return
    for rank, new in enumerate(each for each in ("continue", "break", "return", "pass") if each != old):
        yield Edit((Change(*site.source.span(site.statement), new),), f"`{old}` becomes `{new}`", 0.5 * rank)


__all__ = ["tight"]
