"""Finds decisions of a change that are made by the very constants of the tests: it may answer these inputs alone.

Nothing is refused for it, since right changes may have such a constant too: a person is told where to look.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from libs.verification.syntax import parse

#: What a constant may be: hashable, and compared together with its type, since `1 == True == 1.0`.
Constant = tuple[type, str]

#: Methods whose first argument decides as a comparison does.
_ASKING = frozenset(("startswith", "endswith", "fullmatch", "match", "removeprefix", "removesuffix"))
#: Numbers up to this size stand everywhere.
_SMALL = 2


def constants(sources: Iterable[bytes | None]) -> frozenset[Constant]:
    """List the constants of some files that are not so common that they say nothing."""
    return frozenset(
        key
        for source in sources
        for node in _nodes(source)
        if isinstance(node, ast.Constant) and (key := _key(node)) is not None
    )


def special_cases(
    path: str, before: bytes | None, after: bytes | None, tested: frozenset[Constant]
) -> list[str]:
    """Name the places of the change at which a constant of the tests, new to the file, decides."""
    known = constants([before])
    found: dict[Constant, str] = {}
    for node in _deciding(_nodes(after)):
        key = _key(node)
        if key is not None and key in tested and key not in known:
            found.setdefault(key, f"{path}:{node.lineno}: {node.value!r:.60}")
    return list(found.values())


def _deciding(nodes: Iterable[ast.AST]) -> Iterator[ast.Constant]:
    """Yield the constants that something is compared with, or looked up by."""
    for node in nodes:
        match node:
            case ast.Compare(ops=ops) if any(
                isinstance(op, ast.Eq | ast.NotEq | ast.In | ast.NotIn) for op in ops
            ):
                yield from _within([node.left, *node.comparators])
            case ast.Dict(keys=keys):
                yield from _within([key for key in keys if key is not None])
            case ast.MatchValue(value=value):
                yield from _within([value])
            case ast.Call(func=ast.Attribute(attr=name), args=[first, *_]) if name in _ASKING:
                yield from _within([first])


def _within(nodes: Iterable[ast.expr]) -> Iterator[ast.Constant]:
    for node in nodes:
        match node:
            case ast.Constant():
                yield node
            case ast.Tuple(elts=elements) | ast.List(elts=elements) | ast.Set(elts=elements):
                yield from _within(elements)
            case ast.UnaryOp(operand=operand):
                yield from _within([operand])


def _key(node: ast.Constant) -> Constant | None:
    value = node.value
    match value:
        case bool() | None:
            return None
        case int() if abs(value) <= _SMALL:
            return None
        case int() | float():
            return type(value), repr(value)
        case str() | bytes() if len(value) > 1:
            return type(value), repr(value)
        case _:
            return None


def _nodes(source: bytes | None) -> list[ast.AST]:
    try:
        return list(ast.walk(parse(source or b"")))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
