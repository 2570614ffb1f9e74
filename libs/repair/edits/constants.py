"""Constants: numbers, truths, emptiness, strings, and the bounds of ranges, indices and slices."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from libs.repair.edits import source as tight
from libs.repair.edits.site import Edit, Site
from libs.repair.edits.source import Piece

_EMPTY = ("None", "[]", "{}", "set()", "''", "()", "0")


def number(node: ast.AST) -> int | float | None:
    """The value of a number as it is written, its sign included."""
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)) if (
            not isinstance(value, bool)
        ):
            return -value
    return None


def written(value: float) -> Piece:
    return Piece(repr(value), tight.SIGN if value < 0 else tight.ATOM)


def constant(site: Site) -> Iterator[Edit]:
    for node, parent, _ in site.places:
        if not isinstance(node, ast.expr) or not site.is_value(node):
            continue
        value = number(node)
        if value is not None and not (isinstance(parent, ast.UnaryOp) and isinstance(parent.op, ast.USub)):
            for rank, new in enumerate(_neighbours(value)):
                yield Edit(
                    (site.replaced(node, written(new)),),
                    f"`{site.text(node)}` becomes `{new!r}`",
                    0.3 * rank,
                )
            yield Edit((site.replaced(node, "None"),), f"`{site.text(node)}` becomes `None`", 2.5)
        elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
            yield Edit(
                (site.replaced(node, repr(not node.value)),), f"`{node.value}` becomes `{not node.value}`"
            )
            yield Edit((site.replaced(node, "None"),), f"`{node.value}` becomes `None`", 1.5)
        elif _is_empty(node):
            old = site.text(node)
            for rank, text in enumerate(
                each for each in _EMPTY if each not in (old, "''" if old == '""' else old)
            ):
                yield Edit((site.replaced(node, text),), f"`{old}` becomes `{text}`", 1.0 + 0.3 * rank)


def _neighbours(value: float) -> list[float]:
    near: list[float] = [value + 1, value - 1]
    near += [-value] if value else []
    near += [each for each in (0, 1, -1, 2) if each not in (value, *near)]
    if isinstance(value, int):
        near += [value * 2, value * 10, float(value)] + ([value // 2] if value and value % 2 == 0 else [])
    elif value == int(value):
        near.append(int(value))
    return [
        each
        for index, each in enumerate(near)
        if (type(each), each) not in [(type(old), old) for old in near[:index]]
    ]


def _is_empty(node: ast.expr) -> bool:
    match node:
        case ast.Constant(value=None | ""):
            return True
        case (
            ast.List(elts=[])
            | ast.Tuple(elts=[])
            | ast.Dict(keys=[])
            | ast.Call(func=ast.Name(id="set" | "list" | "dict"), args=[], keywords=[])
        ):
            return True
    return False


def string(site: Site) -> Iterator[Edit]:
    """Another string of the file, or the same one written a little differently."""
    for node in site.nodes(ast.Constant):
        if (
            not isinstance(node.value, str)
            or not node.value
            or not site.is_value(node)
            or (isinstance(site.statement, ast.Expr) and site.statement.value is node)
        ):
            continue
        old = node.value
        variants = [
            old.strip(),
            old.lower(),
            old.upper(),
            old.capitalize(),
            old + " ",
            " " + old,
            old + "\n",
            old.rstrip("s"),
            old + "s",
            old[:-1],
            old[1:],
            "",
        ]
        if old.startswith("_"):
            variants.append(old[1:])
        chosen = list(dict.fromkeys(each for each in variants if each != old))
        for rank, new in enumerate(chosen):
            yield Edit((site.replaced(node, repr(new)),), f"{old!r} becomes {new!r}", 1.5 + 0.2 * rank)
        if len(old) <= 40:
            alike = sorted(
                (each for each in site.module.strings if each not in (old, *chosen) and len(each) <= 40),
                key=lambda each: (-_likeness(old, each), each),
            )
            for rank, new in enumerate(alike[:15]):
                yield Edit((site.replaced(node, repr(new)),), f"{old!r} becomes {new!r}", 0.5 + 0.25 * rank)


def _likeness(one: str, other: str) -> float:
    common = len(set(one) & set(other)) / len(set(one) | set(other)) if one and other else 0.0
    return (
        common - 0.1 * min(5, abs(len(one) - len(other))) + 0.3 * (one.isidentifier() == other.isidentifier())
    )
