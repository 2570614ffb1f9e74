"""Text of whole statements: insertion, removal, indentation."""

from __future__ import annotations

import ast

from libs.repair.edits.acceptance import first_line, unit
from libs.repair.edits.site import Site
from libs.repair.edits.source import Change

_STEP = "    "

#: Statements that run their block again.
LOOPS = (ast.For, ast.AsyncFor, ast.While)
#: Statements that bind names and are not moved or wrapped.
DEFINITIONS = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.Import,
    ast.ImportFrom,
    ast.Global,
    ast.Nonlocal,
)


def movable(site: Site, statement: ast.stmt | None = None) -> bool:
    """Whether a statement has its lines for itself, in a function's body."""
    return site.scope.is_function and unit(site.source, statement or site.statement) is not None


def step(site: Site) -> str:
    """One level of indentation, as the file has it."""
    node = site.scope.node
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.body[0].lineno > node.lineno:
        outer, inner = site.source.indent(node.lineno), site.source.indent(node.body[0].lineno)
        if inner.startswith(outer) and inner != outer:
            return inner[len(outer) :]
    return _STEP


def span(site: Site, statement: ast.stmt) -> tuple[int, int]:
    """Characters of a statement's whole lines."""
    assert statement.end_lineno is not None
    return site.source.line_start(first_line(statement)), site.source.line_start(statement.end_lineno + 1)


def lines(site: Site, statement: ast.stmt) -> str:
    """Whole lines of a statement, the line end included."""
    start, end = span(site, statement)
    text = site.source.text[start:end]
    return text if text.endswith(("\n", "\r")) else text + site.source.newline


def title(site: Site, statement: ast.stmt) -> str:
    """First line of a statement, for people."""
    return lines(site, statement).strip().splitlines()[0].rstrip(":")


def indented(site: Site, statement: ast.stmt, old: str, new: str) -> str:
    """Whole lines of a statement with one indentation in the place of another; strings of several lines stay."""
    inside: set[int] = set()
    for node in ast.walk(statement):
        if isinstance(node, (ast.Constant, ast.JoinedStr)) and node.end_lineno is not None:
            inside.update(range(node.lineno + 1, node.end_lineno + 1))
    first = first_line(statement)
    parts = lines(site, statement).splitlines(keepends=True)
    return "".join(
        new + line[len(old) :] if number not in inside and line.startswith(old) and line.strip() else line
        for number, line in enumerate(parts, first)
    )


def before(site: Site, text: str) -> Change:
    """A line put before the statement, at its indentation; `text` may hold several lines, indented from there."""
    line = first_line(site.statement)
    start = site.source.line_start(line)
    return Change(start, start, _block(site, text))


def after(site: Site, text: str) -> Change:
    """A line put behind the statement, at its indentation."""
    end = span(site, site.statement)[1]
    block = _block(site, text)
    if end == len(site.source.text) and not site.source.text.endswith(("\n", "\r")):
        block = site.source.newline + block
    return Change(end, end, block)


def _block(site: Site, text: str) -> str:
    indent = site.source.indent(first_line(site.statement))
    return "".join(f"{indent}{line}{site.source.newline}" for line in text.split("\n"))


def only(site: Site) -> bool:
    """Whether the block holds nothing but the statement (and a docstring)."""
    rest = [each for each in site.block if each is not site.statement]
    return not rest


def is_docstring(statement: ast.stmt) -> bool:
    """Whether a statement is prose."""
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
