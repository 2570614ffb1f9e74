"""Constants: numbers, truths, emptiness, strings, and the bounds of ranges, indices and slices."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from libs.repair.edits import source as tight
from libs.repair.edits.site import Edit, Site, called
from libs.repair.edits.source import Change, Piece

_EMPTY = ("None", "[]", "{}", "set()", "''", "()", "0")


def _number(node: ast.AST) -> int | float | None:
    """The value of a number as it is written, its sign included."""
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)) if (
            not isinstance(value, bool)
        ):
            return -value
    return None


def _written(value: float) -> Piece:
    return Piece(repr(value), tight.SIGN if value < 0 else tight.ATOM)


def constant(site: Site) -> Iterator[Edit]:
    for node, parent, _ in site.places:
        if not isinstance(node, ast.expr) or not site.is_value(node):
            continue
        value = _number(node)
        if value is not None and not (isinstance(parent, ast.UnaryOp) and isinstance(parent.op, ast.USub)):
            for rank, new in enumerate(_neighbours(value)):
                yield Edit(
                    (site.replaced(node, _written(new)),),
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


def _plus(site: Site, node: ast.expr, step: int) -> Piece:
    """`n` plus or minus one, where `n - 1` plus one is `n`."""
    if (
        isinstance(node, ast.BinOp)
        and isinstance(node.op, (ast.Add, ast.Sub))
        and isinstance(node.right, ast.Constant)
        and type(node.right.value) is int
    ):
        right = node.right.value if isinstance(node.op, ast.Add) else -node.right.value
        if right + step == 0:
            return site.source.piece(node.left)
        total = right + step
        return Piece(
            f"{site.source.piece(node.left).within(tight.SUM)} {'+' if total > 0 else '-'} {abs(total)}",
            tight.SUM,
        )
    value = _number(node)
    if value is not None:
        return _written(value + step)
    return Piece(f"{site.source.piece(node).within(tight.SUM)} {'+' if step > 0 else '-'} 1", tight.SUM)


def bound(site: Site) -> Iterator[Edit]:
    """One more or less where a number says where something begins or ends."""
    for node, surprise in _bounds(site):
        for step in (1, -1):
            new = _plus(site, node, step)
            yield Edit((site.replaced(node, new),), f"`{site.text(node)}` becomes `{new.text}`", surprise)
    for node in site.nodes(ast.Call):
        if called(node) == "range" and not node.keywords:
            yield from _ranges(site, node)


def _bounds(site: Site) -> Iterator[tuple[ast.expr, float]]:
    """Expressions that say where something begins or ends, with the surprise of an error there."""
    for node, parent, field in site.places:
        if not isinstance(node, ast.expr) or not site.is_value(node):
            continue
        match parent:
            case ast.Call(func=ast.Name(id="range")):
                yield node, 0.0
            case ast.Subscript() if (
                field == "slice"
                and not isinstance(node, (ast.Tuple, ast.Constant))
                and not _texty(site, node)
            ):
                yield node, 0.3
            case ast.Slice() if field in ("lower", "upper"):
                yield node, 0.2
            case ast.Compare(ops=[ast.Lt() | ast.LtE() | ast.Gt() | ast.GtE() | ast.Eq() | ast.NotEq()]):
                if (isinstance(node, ast.Call) and called(node) == "len") or "number" in site.sorts(node):
                    yield node, 0.7 if isinstance(node, (ast.Call, ast.Name, ast.BinOp)) else 1.5
            case ast.Call() if _recursive(site, parent):
                if not _texty(site, node):
                    yield node, 0.5
            case ast.Return():
                if not _texty(site, node) and not isinstance(
                    node, (ast.Constant, ast.Compare, ast.BoolOp, ast.Tuple)
                ):
                    yield node, 0.5
            case ast.Assign() if field == "value":
                if "number" in site.sorts(node) or isinstance(node, (ast.BinOp, ast.Name, ast.Subscript)):
                    yield node, 1.0
            case ast.BinOp() | ast.Call() | ast.Tuple() if "number" in site.sorts(node) or called_len(node):
                yield node, 1.3


def called_len(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and called(node) == "len"


def _texty(site: Site, node: ast.expr) -> bool:
    sorts = site.sorts(node)
    return bool(sorts) and "number" not in sorts


def _recursive(site: Site, node: ast.Call) -> bool:
    scope = site.scope
    while scope is not None and scope.is_function:
        if getattr(scope.node, "name", "") == called(node):
            return True
        scope = scope.parent  # type: ignore[assignment]
    return False


def _ranges(site: Site, node: ast.Call) -> Iterator[Edit]:
    texts = [site.text(each) for each in node.args]
    start, end = site.source.span(node.args[0])[0], site.source.span(node.args[-1])[1] if node.args else 0
    new: list[tuple[str, float]] = []
    if len(texts) == 1:
        new += [
            (f"1, {texts[0]}", 0.2),
            (f"1, {_plus(site, node.args[0], 1).text}", 0.4),
            (f"{texts[0]} - 1, -1, -1", 2.0),
        ]
    elif len(texts) == 2:
        new += [(texts[1], 0.7), (f"{texts[0]}, {texts[1]}, 2", 2.5), (f"{texts[1]}, {texts[0]}, -1", 2.5)]
    elif len(texts) == 3:
        new += [(f"{texts[0]}, {texts[1]}", 1.0)]
    for text, surprise in new:
        yield Edit(
            (Change(start, end, text),), f"`range({', '.join(texts)})` becomes `range({text})`", surprise
        )


def slice_bound(site: Site) -> Iterator[Edit]:
    for node in site.nodes(ast.Slice):
        parts = [
            ("" if each is None else site.source.piece(each).within(tight.TEST))
            for each in (node.lower, node.upper, node.step)
        ]
        start, end = site.source.span(node)
        old = site.source.text[start:end]
        lower, upper, step = parts
        options: list[tuple[tuple[str, str, str], float]] = []
        if lower:
            options += [(("", upper, step), 0.3), ((upper, lower, step), 0.8)]
        if upper:
            options += [((lower, "", step), 0.3)]
        if not upper:
            options += [((lower, "-1", step), 0.8)]
        if not lower:
            options += [(("1", upper, step), 0.8)]
        options += (
            [((lower, upper, ""), 0.3)] if step else [((lower, upper, "-1"), 1.2), ((lower, upper, "2"), 2.5)]
        )
        for (first, second, third), surprise in options:
            text = f"{first}:{second}" + (f":{third}" if third else "")
            yield Edit((Change(start, end, text),), f"`[{old}]` becomes `[{text}]`", surprise)
    for node in site.nodes(ast.Subscript):
        if isinstance(node.ctx, ast.Load) and not isinstance(node.slice, (ast.Slice, ast.Tuple)):
            index = site.source.piece(node.slice)
            start, end = site.source.span(node.slice)
            if _texty(site, node.slice):
                continue
            value = _number(node.slice)
            for text, surprise in (
                (f"{index.text}:", 1.0),
                (f":{index.text}", 1.0),
                *([(f"-{index.within(tight.SIGN)}", 0.8)] if value is None else []),
            ):
                yield Edit((Change(start, end, text),), f"`[{index.text}]` becomes `[{text}]`", surprise)
    for node in site.nodes(ast.Name):
        if (
            site.is_value(node)
            and "collection" in site.sorts(node)
            and site.parent(node)[1] in ("args", "iter", "value")
        ):
            for text, surprise in (("[1:]", 1.2), ("[:-1]", 1.6), ("[::-1]", 1.8)):
                yield Edit(
                    (site.replaced(node, f"{node.id}{text}"),),
                    f"`{node.id}` becomes `{node.id}{text}`",
                    surprise,
                )
