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

_DISPLAYS = (
    ast.Tuple,
    ast.List,
    ast.ListComp,
    ast.Dict,
    ast.DictComp,
    ast.Set,
    ast.SetComp,
    ast.GeneratorExp,
)


class Unit(NamedTuple):
    """Characters `start` to `end` of a file; `indented` if they stand in a block."""

    start: int
    end: int
    indented: bool


def first_line(statement: ast.stmt) -> int:
    """Where a statement begins, decorators included."""
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
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
                feature: __future__._Feature | None = getattr(__future__, name.name, None)
                if feature is not None:
                    flag: int = feature.compiler_flag
                    flags |= flag
    return flags


def fingerprint(text: str, *, indented: bool = False, flags: int = 0) -> bytes | None:
    """Digest of the syntax tree; None if the text does not compile, or makes the compiler warn."""
    source = f"class _:\n{text}" if indented else text
    try:
        tree = syntax.parse(source)
        seen = digest(tree)
        if seen is not None:
            compile(source, "<candidate>", "exec", flags, dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return seen


def _warned_of(node: ast.AST) -> bool:
    """Whether the compiler would warn of a node: a constant called, asked for its identity, or subscripted in vain.

    Told apart here because filters of warnings belong to the whole process, other threads included.
    """
    match node:
        case ast.Call(func=function):
            return isinstance(function, (*_DISPLAYS, ast.Constant, ast.JoinedStr))
        case ast.Subscript(value=ast.Set() | ast.SetComp() | ast.GeneratorExp() | ast.Lambda()):
            return True
        case ast.Subscript(value=ast.Constant(value=value)) if not isinstance(value, (str, bytes)):
            return True
        case ast.Subscript(
            value=ast.Constant() | ast.JoinedStr() | ast.List() | ast.Tuple() | ast.ListComp(), slice=index
        ):
            return not isinstance(
                index, (ast.Name, ast.Slice, ast.UnaryOp, ast.BinOp, ast.Call, ast.Attribute)
            ) and not (isinstance(index, ast.Constant) and isinstance(index.value, int))
        case ast.Compare(ops=ops, left=left, comparators=comparators):
            literal = any(
                isinstance(each, ast.Constant) and each.value not in (None, True, False, ...)
                for each in (left, *comparators)
            )
            return literal and any(isinstance(each, (ast.Is, ast.IsNot)) for each in ops)
        case ast.Assert(test=ast.Tuple(elts=[_, *_])):
            return True
    return False


_WARNED = frozenset((ast.Call, ast.Subscript, ast.Compare, ast.Assert))


def digest(tree: ast.AST) -> bytes | None:
    """Digest of a syntax tree without its positions; None if the compiler would warn of it.

    `ast.dump` needs several times as long.
    """
    parts: list[str] = []
    stack: list[object] = [tree]
    while stack:
        node = stack.pop()
        kind = type(node)
        if kind is list:
            assert isinstance(node, list)
            parts.append(f"[{len(node)}")
            stack.extend(node)
        elif isinstance(node, ast.AST):
            parts.append(kind.__name__)
            if kind in _WARNED and _warned_of(node):
                return None
            if kind is not ast.Load:
                stack.extend([getattr(node, field, None) for field in node._fields])
        else:
            parts.append(repr(node))
    return hashlib.blake2b("\x1f".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).digest()
