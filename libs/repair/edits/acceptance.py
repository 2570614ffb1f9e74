"""What the search may see of an edit: a text that compiles, and whose syntax tree nothing before it had.

A file of 5,000 lines takes a tenth of a second to parse. So an edit is examined by the smallest part of the file that
compiles alone as it does in its place: the outermost function around it, or the statement of the class or module body.
"""

from __future__ import annotations
import __future__

import ast
import hashlib
from typing import NamedTuple

from libs.repair.edits.source import Source
from libs.verification import syntax

_FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)


class Unit(NamedTuple):
    """Characters `start` to `end` of a file; `indented` if they stand in a block."""

    start: int
    end: int
    indented: bool


def first_line(statement: ast.stmt) -> int:
    """Where a statement begins, decorators included."""
    decorators = getattr(statement, "decorator_list", ())
    return min([statement.lineno, *(each.lineno for each in decorators)])


def unit(source: Source, statement: ast.stmt) -> Unit | None:
    """The lines of a statement, if it shares them with no other."""
    assert statement.end_lineno is not None
    first = first_line(statement)
    start = source.line_start(first)
    end = source.span(statement)[1]
    begins = source.offset(first, 0) + len(source.indent(first))
    column = source.span(statement)[0] if first == statement.lineno else begins
    if column != begins or not source.alone(first, statement.end_lineno, end):
        return None
    return Unit(start, source.line_start(statement.end_lineno + 1), bool(source.indent(first)))


def future(tree: ast.Module) -> int:
    """Flags of the compiler for what a module imports from `__future__`."""
    flags = 0
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            for name in node.names:
                feature = getattr(__future__, name.name, None)
                flags |= getattr(feature, "compiler_flag", 0)
    return flags


def fingerprint(text: str, *, indented: bool = False, flags: int = 0) -> bytes | None:
    """Digest of the syntax tree; None if the text does not compile."""
    source = f"class _:\n{text}" if indented else text
    try:
        tree = syntax.parse(source)
        compile(source, "<candidate>", "exec", flags, dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return digest(tree)


def digest(tree: ast.AST) -> bytes:
    """Digest of a syntax tree without its positions (`ast.dump` needs several times as long)."""
    parts: list[str] = []
    stack: list[object] = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.AST):
            parts.append(type(node).__name__)
            if not isinstance(node, ast.expr_context):
                stack.extend([getattr(node, field, None) for field in node._fields])
        elif isinstance(node, list):
            parts.append(f"[{len(node)}")
            stack.extend(node)
        else:
            parts.append(repr(node))
    return hashlib.blake2b("\x1f".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).digest()
