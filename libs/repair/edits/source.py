"""Text of a file by positions of its syntax tree: so an edit changes a few characters, and all other formatting stays."""

from __future__ import annotations

import ast
import bisect
import re
from collections.abc import Iterable
from typing import NamedTuple

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")

# How tightly an expression binds: a child that binds less tightly than its place demands needs parentheses.
(
    NAMED,
    TUPLE,
    YIELD,
    TEST,
    OR,
    AND,
    NOT,
    COMPARE,
    BIT_OR,
    BIT_XOR,
    BIT_AND,
    SHIFT,
    SUM,
    TERM,
    SIGN,
    POWER,
    AWAIT,
    ATOM,
) = range(18)

_BINARY: dict[type[ast.operator], int] = {
    ast.BitOr: BIT_OR, ast.BitXor: BIT_XOR, ast.BitAnd: BIT_AND, ast.LShift: SHIFT, ast.RShift: SHIFT,
    ast.Add: SUM, ast.Sub: SUM, ast.Mult: TERM, ast.Div: TERM, ast.FloorDiv: TERM, ast.Mod: TERM, ast.MatMult: TERM,
    ast.Pow: POWER,
}  # fmt: skip
_OTHERS: dict[type[ast.expr], int] = {
    ast.NamedExpr: NAMED, ast.Yield: YIELD, ast.YieldFrom: YIELD, ast.Lambda: TEST, ast.IfExp: TEST,
    ast.Compare: COMPARE, ast.Await: AWAIT, ast.Starred: TUPLE, ast.Slice: TUPLE,
}  # fmt: skip


class Change(NamedTuple):
    """Characters `start` to `end` of the old text (from 0, end excluded) give way to `text`."""

    start: int
    end: int
    text: str


class Piece(NamedTuple):
    """Text of an expression, and how tightly it binds."""

    text: str
    binds: int = ATOM

    def within(self, demanded: int) -> str:
        """The text for a place that demands this tightness."""
        return self.text if self.binds >= demanded and "\n" not in self.text else f"({self.text})"


def binding(node: ast.expr) -> int:
    """How tightly an expression binds."""
    match node:
        case ast.BinOp():
            return _BINARY[type(node.op)]
        case ast.BoolOp():
            return OR if isinstance(node.op, ast.Or) else AND
        case ast.UnaryOp():
            return NOT if isinstance(node.op, ast.Not) else SIGN
        case ast.Constant(value=int() | float() | complex() as value) if not isinstance(value, bool) and str(
            value
        ).startswith("-"):
            return SIGN
    return _OTHERS.get(type(node), ATOM)


def demanded(parent: ast.AST | None, field: str, node: ast.expr) -> int:
    """How tightly an expression must bind in the place of `node`, the child of `parent` in `field`."""
    match parent:
        case ast.BinOp():
            own = _BINARY[type(parent.op)]
            return own + (parent.left is not node) if not isinstance(parent.op, ast.Pow) else AWAIT
        case ast.BoolOp():
            return binding(parent) + 1
        case ast.UnaryOp():
            return binding(parent)
        case ast.Compare():
            return COMPARE + 1
        case ast.Attribute() | ast.Await():
            return ATOM
        case ast.Subscript() | ast.Call() if field in ("value", "func"):
            return ATOM
        case ast.IfExp():
            return TEST if field == "orelse" else OR
        case ast.comprehension():
            return OR
        case ast.Starred():
            return BIT_OR
        case ast.Assign() | ast.Return() | ast.AugAssign() | ast.Expr() if field == "value":
            return TUPLE
        case ast.Subscript() if field == "slice":
            return TUPLE
        case ast.For() | ast.AsyncFor() if field in ("iter", "target"):
            return TUPLE
    return TEST


class Source:
    """Text of one file with its lines."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.lines: list[str] = _LINE.findall(text)
        self._starts = [0]
        for line in self.lines:
            self._starts.append(self._starts[-1] + len(line))
        self.newline = "\r\n" if self.lines and self.lines[0].endswith("\r\n") else "\n"

    def offset(self, line: int, column: int) -> int:
        """Characters before a position of the syntax tree, whose columns count bytes of UTF-8."""
        if line > len(self.lines):
            return len(self.text)
        text = self.lines[line - 1]
        return self._starts[line - 1] + (
            column if text.isascii() else len(text.encode()[:column].decode(errors="ignore"))
        )

    def line_at(self, offset: int) -> int:
        """The line, from 1, that holds a character."""
        return min(bisect.bisect_right(self._starts, offset), max(1, len(self.lines)))

    def line_start(self, line: int) -> int:
        """Characters before a line; the text's length for the line behind the last one."""
        return self._starts[min(line, len(self.lines) + 1) - 1]

    def span(self, node: ast.expr | ast.stmt | ast.excepthandler | ast.keyword | ast.arg) -> tuple[int, int]:
        """Where a node begins and ends."""
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self.offset(node.lineno, node.col_offset), self.offset(node.end_lineno, node.end_col_offset)

    def segment(self, node: ast.expr | ast.stmt | ast.keyword | ast.arg) -> str:
        """A node as it is written."""
        start, end = self.span(node)
        return self.text[start:end]

    def piece(self, node: ast.expr) -> Piece:
        """An expression as it is written, with how tightly it binds."""
        return Piece(self.segment(node), binding(node))

    def indent(self, line: int) -> str:
        """White space at the beginning of a line."""
        text = self.lines[line - 1]
        return text[: len(text) - len(text.lstrip(" \t\f"))]

    def alone(self, first: int, last: int, end: int) -> bool:
        """Whether nothing but a comment shares the lines `first` to `last` with what ends at character `end`."""
        rest = self.text[end : self.line_start(last + 1)].strip()
        return not rest or rest.startswith("#")

    def applied(self, changes: Iterable[Change]) -> str:
        """The text after changes that do not overlap."""
        parts: list[str] = []
        done = 0
        for start, end, text in sorted(changes):
            parts += self.text[done:start], text
            done = end
        parts.append(self.text[done:])
        return "".join(parts)
