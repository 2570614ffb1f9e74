"""Guards, conditions put around statements or taken off, and what happens otherwise."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from libs.repair.edits.blocks import (
    DEFINITIONS,
    LOOPS,
    before,
    indented,
    is_docstring,
    movable,
    span,
    step,
    title,
)
from libs.repair.edits.conditions import atoms
from libs.repair.edits.site import Edit, Site
from libs.repair.edits.source import Change, Piece


def guard(site: Site) -> Iterator[Edit]:
    """`if …: return …` before the statement; the value is one that the function returns, or nothing."""
    if not movable(site) or isinstance(site.statement, DEFINITIONS) or is_docstring(site.statement):
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
    for raised in ast.walk(site.scope.node):
        if (
            isinstance(raised, ast.Raise)
            and raised.exc is not None
            and site.usable(raised.exc, site.statement)
            and "\n" not in site.text(raised)
        ):
            found.setdefault(site.text(raised), (site.text(raised), 1.0, ""))
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
        if isinstance(node, LOOPS) and any(
            each is site.statement for part in node.body for each in ast.walk(part)
        ):
            return True
    return False


def wrap_if(site: Site) -> Iterator[Edit]:
    """The statement happens under a condition only."""
    if (
        not movable(site)
        or isinstance(site.statement, (*DEFINITIONS, ast.Pass))
        or is_docstring(site.statement)
    ):
        return
    start, end = span(site, site.statement)
    own, inner = site.source.indent(site.statement.lineno), step(site)
    body = indented(site, site.statement, own, own + inner)
    asked = [(atom, unlikely) for atom, unlikely in atoms(site, site.statement, site.statement)[:40]]
    target = site.statement.targets[0] if isinstance(site.statement, ast.Assign) else None
    if isinstance(target, (ast.Name, ast.Attribute)):
        # What is made only where nothing was given.
        name = site.text(target)
        asked = [(Piece(f"{name} is None"), 0.0), (Piece(f"not {name}"), 0.3), *asked]
    for atom, unlikely in asked:
        text = f"{own}if {atom.text}:{site.source.newline}{body}"
        yield Edit(
            (Change(start, end, text),),
            f"`{title(site, site.statement)}` happens only `if {atom.text}`",
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
        f"`{title(site, statement)}` goes, its block stays",
        1.5 if loop else 0.0,
    )
    orelse = getattr(statement, "orelse", [])
    if orelse and not loop and movable(site, orelse[0]):
        other = "".join(indented(site, each, site.source.indent(each.lineno), own) for each in orelse)
        if not other.lstrip().startswith("elif"):
            yield Edit(
                (Change(start, end, other),),
                f"`{title(site, statement)}` goes, what stands under `else` stays",
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
            f"`{title(site, following)}` moves under `else`",
            0.0,
        )
        if isinstance(following, ast.If):
            begin = site.source.span(following)[0]
            between = site.source.text[end:begin]
            if not between.strip():
                yield Edit((Change(begin, begin, "el"),), "`if` becomes `elif`", 0.0)
    for text, surprise, _ in _leaves(site)[:6]:
        yield Edit(
            (Change(end, end, f"{ahead}{own}{inner}{text}{site.source.newline}"),),
            f"`else: {text}` is added",
            1.0 + surprise,
        )
