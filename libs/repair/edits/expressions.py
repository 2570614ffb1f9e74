"""Expressions: operands dropped and added, expressions of the function for one another, exception types."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from libs.repair.edits import source as tight
from libs.repair.edits.module import size
from libs.repair.edits.operators import sign
from libs.repair.edits.site import Edit, Site
from libs.repair.edits.sorts import Sort, likeness
from libs.repair.edits.source import Change, Piece, binding

_EXCEPTIONS: dict[str, tuple[str, ...]] = {
    "KeyError": ("(KeyError, TypeError)", "LookupError", "IndexError", "AttributeError"),
    "IndexError": ("(IndexError, KeyError)", "LookupError", "KeyError", "(IndexError, TypeError)"),
    "ValueError": (
        "(ValueError, TypeError)",
        "TypeError",
        "(ValueError, OverflowError)",
        "(ValueError, IndexError)",
    ),
    "TypeError": ("(TypeError, ValueError)", "ValueError", "(TypeError, AttributeError)"),
    "AttributeError": ("(AttributeError, TypeError)", "TypeError", "(AttributeError, KeyError)"),
    "ImportError": ("ModuleNotFoundError", "Exception"),
    "OSError": ("(OSError, ValueError)", "Exception"),
    "UnicodeDecodeError": ("UnicodeError", "ValueError"),
    "UnicodeEncodeError": ("UnicodeError", "ValueError"),
    "StopIteration": ("IndexError", "GeneratorExit"),
    "ZeroDivisionError": ("ArithmeticError", "(ZeroDivisionError, ValueError)"),
}


def operand_dropped(site: Site) -> Iterator[Edit]:
    for binary in site.nodes(ast.BinOp):
        for rank, part in enumerate((binary.left, binary.right)):
            piece = site.source.piece(part)
            yield Edit(
                (site.replaced(binary, piece),), f"`{site.text(binary)}` becomes `{piece.text}`", 0.4 * rank
            )
    for junction in site.nodes(ast.BoolOp):
        for index in range(len(junction.values)):
            rest = [value for each, value in enumerate(junction.values) if each != index]
            own = binding(junction)
            if len(rest) == 1:
                new = site.source.piece(rest[0])
            else:
                new = Piece(
                    f" {sign(junction.op)} ".join(site.source.piece(each).within(own + 1) for each in rest),
                    own,
                )
            yield Edit(
                (site.replaced(junction, new),),
                f"`{site.text(junction.values[index])}` is no longer asked",
                0.0,
            )
    for choice in site.nodes(ast.IfExp):
        for rank, part in enumerate((choice.body, choice.orelse)):
            piece = site.source.piece(part)
            yield Edit(
                (site.replaced(choice, piece),),
                f"`{site.text(choice)}` becomes `{piece.text}`",
                0.5 + 0.3 * rank,
            )
    for subscript in site.nodes(ast.Subscript):
        if site.is_value(subscript):
            piece = site.source.piece(subscript.value)
            yield Edit(
                (site.replaced(subscript, piece),), f"`{site.text(subscript)}` becomes `{piece.text}`", 0.5
            )
    for node in site.places:
        sequence = node[0]
        if (
            isinstance(sequence, (ast.Tuple, ast.List, ast.Set))
            and len(sequence.elts) > 1
            and site.is_value(sequence)
        ):
            for index, part in enumerate(sequence.elts):
                start, end = site.source.span(part)
                if index + 1 < len(sequence.elts):
                    end = site.source.span(sequence.elts[index + 1])[0]
                elif len(sequence.elts) > 2 or not isinstance(sequence, ast.Tuple):
                    start = site.source.span(sequence.elts[index - 1])[1]
                else:
                    start = site.source.span(sequence.elts[index - 1])[1] + 1
                if len(sequence.elts) <= 12:
                    yield Edit((Change(start, end, ""),), f"`{site.text(part)}` is left out", 1.0)


def operand_added(site: Site) -> Iterator[Edit]:
    """`e` becomes `e + 1`, `e - n`, `e * n`, `[x] + e` … with names in scope."""
    for node, parent, field in site.places:
        if (
            not isinstance(node, ast.expr)
            or not site.is_value(node)
            or isinstance(node, (ast.Compare, ast.BoolOp, ast.Tuple, ast.Dict, ast.JoinedStr))
        ):
            continue
        if (
            isinstance(node, ast.Constant)
            or (isinstance(parent, (ast.Attribute, ast.UnaryOp)))
            or (isinstance(parent, ast.Call) and field == "func")
        ):
            continue
        if isinstance(parent, ast.BinOp) and not isinstance(node, ast.Name):
            continue
        sorts = site.sorts(node)
        old = site.source.piece(node)
        if size(node) > 10:
            continue
        weight = (
            0.3
            if isinstance(
                parent,
                (ast.Return, ast.Assign, ast.AugAssign, ast.Subscript, ast.Slice, ast.Call, ast.Compare),
            )
            else 1.0
        )
        if not sorts or "number" in sorts:
            for name, unlikely in site.names(
                node, frozenset((Sort.NUMBER,)), without=frozenset(("self", "cls", old.text))
            )[:6]:
                if site.scope.visible()[name].origin not in ("parameter", "local", "comprehension"):
                    continue
                for rank, (operator, binds) in enumerate(
                    (
                        ("+", tight.SUM),
                        ("-", tight.SUM),
                        ("*", tight.TERM),
                        ("//", tight.TERM),
                        ("%", tight.TERM),
                    )
                ):
                    new = Piece(f"{old.within(binds)} {operator} {name}", binds)
                    yield Edit(
                        (site.replaced(node, new),),
                        f"`{old.text}` becomes `{new.text}`",
                        weight + unlikely + 0.3 * rank,
                    )
            for rank, (text, binds) in enumerate(
                (
                    (f"{old.within(tight.TERM)} * 2", tight.TERM),
                    (f"{old.within(tight.TERM)} // 2", tight.TERM),
                    (f"1 - {old.within(tight.TERM)}", tight.SUM),
                )
            ):
                yield Edit(
                    (site.replaced(node, Piece(text, binds)),),
                    f"`{old.text}` becomes `{text}`",
                    weight + 1.5 + 0.3 * rank,
                )
        if "text" in sorts:
            for rank, text in enumerate(("'\\n'", "' '")):
                yield Edit(
                    (site.replaced(node, Piece(f"{old.within(tight.SUM)} + {text}", tight.SUM)),),
                    f"`{old.text}` becomes `{old.text} + {text}`",
                    weight + 1.5 + 0.2 * rank,
                )
    for sequence, _, _ in site.places:
        if (
            isinstance(sequence, (ast.Tuple, ast.List, ast.Set))
            and sequence.elts
            and site.is_value(sequence)
            and len(sequence.elts) <= 12
        ):
            end = site.source.span(sequence.elts[-1])[1]
            for name, unlikely in site.names(sequence, frozenset())[:6]:
                yield Edit(
                    (Change(end, end, f", {name}"),),
                    f"`{name}` is put behind `{site.text(sequence.elts[-1])}`",
                    1.2 + unlikely,
                )


def expression(site: Site) -> Iterator[Edit]:
    """An expression replaced by another one of the function, of a like shape."""
    pool = [(each, site.text(each), site.sorts(each), size(each)) for each in site.ingredients()]
    for node, parent, field in site.places:
        if (
            not isinstance(node, ast.expr)
            or not site.is_value(node)
            or (isinstance(node, (ast.Name, ast.Constant)) and isinstance(parent, ast.Attribute))
        ):
            continue
        if isinstance(parent, ast.Call) and field == "func":
            continue
        old, sorts, own = site.text(node), site.sorts(node), size(node)
        ranked: list[tuple[float, str, ast.expr]] = []
        for other, text, kind, nodes in pool:
            if (
                text == old
                or (isinstance(node, ast.Name) and isinstance(other, ast.Name))
                or nodes > own + 8
                or "\n" in text
            ):
                continue
            alike = 0.0 if type(other) is type(node) else 0.5
            distance = abs(other.lineno - node.lineno) / 20
            unlikely = (
                -1.0 * (likeness(sorts, kind) - 1) + alike + 0.12 * abs(nodes - own) + min(1.0, distance)
            )
            ranked.append((unlikely, text, other))
        ranked.sort(key=lambda each: each[:2])
        for rank, (unlikely, text, other) in enumerate(ranked[:14]):
            if site.usable(other, node):
                yield Edit(
                    (site.replaced(node, site.source.piece(other)),),
                    f"`{old}` becomes `{text}`",
                    0.3 + 0.6 * unlikely + 0.1 * rank,
                )


def exception(site: Site) -> Iterator[Edit]:
    """The type of a handler or of what is raised made wider, or another."""
    handlers = site.statement.handlers if isinstance(site.statement, ast.Try) else []
    places = [handler.type for handler in handlers if handler.type is not None]
    if isinstance(site.statement, ast.Raise) and site.statement.exc is not None:
        exc = site.statement.exc
        places = [exc.func if isinstance(exc, ast.Call) else exc]
    for node in places:
        names = (
            [node]
            if isinstance(node, ast.Name)
            else [each for each in node.elts if isinstance(each, ast.Name)]
            if isinstance(node, ast.Tuple)
            else []
        )
        for name in names:
            others = [
                *_EXCEPTIONS.get(name.id, ()),
                "Exception",
                "ValueError",
                "TypeError",
                "KeyError",
                "AttributeError",
            ]
            raising = isinstance(site.statement, ast.Raise)
            chosen = [
                each
                for each in dict.fromkeys(others)
                if each != name.id and not (raising and each.startswith("("))
            ]
            for rank, new in enumerate(chosen):
                yield Edit(
                    (Change(*site.source.span(name), new),), f"`{name.id}` becomes `{new}`", 0.25 * rank
                )
        if isinstance(node, ast.Tuple) and not isinstance(site.statement, ast.Raise):
            end = site.source.span(node.elts[-1])[1]
            for rank, new in enumerate(
                ("TypeError", "ValueError", "AttributeError", "KeyError", "IndexError", "OverflowError")
            ):
                yield Edit((Change(end, end, f", {new}"),), f"`{new}` is handled too", 0.25 * rank)
