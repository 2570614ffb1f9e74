"""Where things begin and end: off by one in ranges, indices, comparisons; bounds of slices."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from libs.repair.edits import source as tight
from libs.repair.edits.constants import number, written
from libs.repair.edits.module import called
from libs.repair.edits.operators import between, sign
from libs.repair.edits.site import Edit, Site
from libs.repair.edits.sorts import Sort
from libs.repair.edits.source import Change, Piece


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
    value = number(node)
    if value is not None:
        return written(value + step)
    return Piece(f"{site.source.piece(node).within(tight.SUM)} {'+' if step > 0 else '-'} 1", tight.SUM)


def bound(site: Site) -> Iterator[Edit]:
    """One more or less where a number says where something begins or ends."""
    for node, surprise in _bounds(site):
        for step in (1, -1):
            new = _plus(site, node, step)
            yield Edit((site.replaced(node, new),), f"`{site.text(node)}` becomes `{new.text}`", surprise)
    yield from _loosened(site)
    for call in site.nodes(ast.Call):
        if called(call) == "range" and not call.keywords:
            yield from _ranges(site, call)


_LOOSER = {"==": (("<=", 1), (">=", -1)), "<": (("<=", 1),), ">": ((">=", -1),), "!=": ((">", 1), ("<", -1))}


def _loosened(site: Site) -> Iterator[Edit]:
    """A comparison with a number that holds for one number more: `n == 0` becomes `n <= 1`."""
    for node in site.nodes(ast.Compare):
        value = number(node.comparators[-1])
        if len(node.ops) == 1 and isinstance(value, int) and (old := sign(node.ops[0])) in _LOOSER:
            for operator, step in _LOOSER[old]:
                start, _ = between(site, node.left, node.comparators[0], old)
                end = site.source.span(node.comparators[0])[1]
                yield Edit(
                    (Change(start, end, f"{operator} {value + step}"),),
                    f"`{old} {value}` becomes `{operator} {value + step}`",
                    1.0,
                )


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
            case ast.AugAssign() if field == "value" and not isinstance(node, ast.Constant):
                yield node, 0.7
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
    for cut in site.nodes(ast.Slice):
        parts = [
            ("" if each is None else site.source.piece(each).within(tight.TEST))
            for each in (cut.lower, cut.upper, cut.step)
        ]
        start, end = site.source.span(cut)
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
    for subscript in site.nodes(ast.Subscript):
        if isinstance(subscript.ctx, ast.Load) and not isinstance(subscript.slice, (ast.Slice, ast.Tuple)):
            index = site.source.piece(subscript.slice)
            start, end = site.source.span(subscript.slice)
            if _texty(site, subscript.slice):
                continue
            value = number(subscript.slice)
            for text, surprise in (
                (f"{index.text}:", 1.0),
                (f":{index.text}", 1.0),
                *([(f"-{index.within(tight.SIGN)}", 0.8)] if value is None else []),
            ):
                yield Edit((Change(start, end, text),), f"`[{index.text}]` becomes `[{text}]`", surprise)
    for read in site.nodes(ast.Name):
        if (
            site.is_value(read)
            and "collection" in site.sorts(read)
            and site.parent(read)[1] in ("args", "iter", "value")
        ):
            for text, surprise in (("[1:]", 1.2), ("[:-1]", 1.6), ("[::-1]", 1.8), *_cuts(site, read)):
                yield Edit(
                    (site.replaced(read, f"{read.id}{text}"),),
                    f"`{read.id}` becomes `{read.id}{text}`",
                    surprise,
                )


def _cuts(site: Site, node: ast.Name) -> Iterator[tuple[str, float]]:
    """Parts of a collection before or behind a number in scope."""
    numbers = site.names(node, frozenset((Sort.NUMBER,)), without=frozenset((node.id,)))
    for name, unlikely in numbers[:5]:
        if Sort.NUMBER in site.scope.sorts(name):
            yield f"[{name}:]", 0.4 + unlikely
            yield f"[:{name}]", 0.5 + unlikely
            yield f"[{name} + 1:]", 1.0 + unlikely
