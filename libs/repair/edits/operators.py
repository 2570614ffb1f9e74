"""Operators: comparison, boolean, arithmetic, signs, negations, and the order of operands."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from libs.repair.edits import source as tight
from libs.repair.edits.site import Edit, Site
from libs.repair.edits.source import Change, Piece, binding

_SIGNS: dict[type[ast.AST], str] = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
    ast.Is: "is", ast.IsNot: "is not", ast.In: "in", ast.NotIn: "not in", ast.And: "and", ast.Or: "or",
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%", ast.Pow: "**",
    ast.BitAnd: "&", ast.BitOr: "|", ast.BitXor: "^", ast.LShift: "<<", ast.RShift: ">>", ast.MatMult: "@",
}  # fmt: skip

#: Likeliest first: what is mistaken for what.
_COMPARISONS: dict[str, tuple[str, ...]] = {
    "<": ("<=", ">", ">=", "!=", "=="), "<=": ("<", ">=", ">", "==", "!="),
    ">": (">=", "<", "<=", "!=", "=="), ">=": (">", "<=", "<", "==", "!="),
    "==": ("!=", "<=", ">=", "is", "in", "<", ">"), "!=": ("==", "is not", "<", ">", "not in"),
    "is": ("is not", "=="), "is not": ("is", "!="), "in": ("not in", "=="), "not in": ("in", "!="),
}  # fmt: skip
_ARITHMETIC: dict[str, tuple[str, ...]] = {
    "+": ("-", "*", "|"), "-": ("+", "/", "%"), "*": ("/", "+", "**", "//"), "/": ("//", "*", "-"), "//": ("/", "%", "*", ">>"),
    "%": ("//", "/"), "**": ("*",), "&": ("|", "^"), "|": ("&", "^", "+"), "^": ("&", "|"), "<<": (">>",), ">>": ("<<", "//"), "@": ("*",),
}  # fmt: skip
_COMMENT = re.compile(r"#[^\r\n]*")


def sign(node: ast.AST) -> str:
    """An operator as it is written."""
    return _SIGNS[type(node)]


def between(site: Site, left: ast.expr, right: ast.expr, operator: str) -> tuple[int, int]:
    """Where the operator between two operands stands."""
    start, end = site.source.span(left)[1], site.source.span(right)[0]
    gap = _COMMENT.sub(lambda comment: " " * len(comment[0]), site.source.text[start:end])
    found = re.search(r"\s+".join(re.escape(word) for word in operator.split()), gap)
    assert found is not None, f"no {operator!r} in {gap!r}"
    return start + found.start(), start + found.end()


def _exchanged(site: Site, left: ast.expr, right: ast.expr, old: str, new: str, surprise: float) -> Edit:
    start, end = between(site, left, right, old)
    # `a<b` has no room for a word.
    pad = " " if new[0].isalpha() and not site.source.text[start - 1].isspace() else ""
    after = " " if new[-1].isalpha() and not site.source.text[end : end + 1].isspace() else ""
    return Edit((Change(start, end, pad + new + after),), f"`{old}` becomes `{new}`", surprise)


def comparison(site: Site) -> Iterator[Edit]:
    for node in site.nodes(ast.Compare):
        operands = [node.left, *node.comparators]
        for operator, left, right in zip(node.ops, operands, operands[1:], strict=False):
            literal = any(
                (isinstance(each, ast.Constant) and each.value not in (None, ...))
                or isinstance(each, ast.Tuple)
                for each in (left, right)
            )
            for rank, new in enumerate(_COMPARISONS[sign(operator)]):
                if new in ("is", "is not") and literal:
                    continue  # the compiler warns of it
                if (
                    new in ("in", "not in")
                    and isinstance(right, ast.Constant)
                    and not isinstance(right.value, str)
                ):
                    continue
                yield _exchanged(site, left, right, sign(operator), new, 0.45 * rank)


def nothing(site: Site) -> Iterator[Edit]:
    """True or not None: `if x` becomes `if x is not None`, `if not x` becomes `if x is None`, and back."""
    for node in _tests(site):
        match node:
            case ast.UnaryOp(op=ast.Not(), operand=ast.Name() | ast.Attribute() | ast.Subscript() as subject):
                new = Piece(f"{site.text(subject)} is None", tight.COMPARE)
                surprise = 0.3
            case ast.Name() | ast.Attribute() | ast.Subscript():
                new = Piece(f"{site.text(node)} is not None", tight.COMPARE)
                yield Edit(
                    (site.replaced(node, f"{site.text(node)} is None"),),
                    f"`{site.text(node)}` becomes `{site.text(node)} is None`",
                    1.0,
                )
                surprise = 0.3
            case ast.Compare(left=subject, ops=[ast.Is()], comparators=[ast.Constant(value=None)]):
                new = Piece(f"not {site.source.piece(subject).within(tight.NOT)}", tight.NOT)
                surprise = 0.5
            case ast.Compare(left=subject, ops=[ast.IsNot()], comparators=[ast.Constant(value=None)]):
                new = site.source.piece(subject)
                surprise = 0.5
            case _:
                continue
        yield Edit((site.replaced(node, new),), f"`{site.text(node)}` becomes `{new.text}`", surprise)


def boolean(site: Site) -> Iterator[Edit]:
    for node in site.nodes(ast.BoolOp):
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        parts = []
        for left, right in zip(node.values, node.values[1:], strict=False):
            start, end = between(site, left, right, old)
            parts.append(Change(start, end, new))
        yield Edit(tuple(parts), f"`{old}` becomes `{new}`")
        if len(parts) > 1:
            for part in parts:
                yield Edit((part,), f"one `{old}` becomes `{new}`", 0.7)


def _tests(site: Site) -> Iterator[ast.expr]:
    """Conditions and their parts, and truths that are returned or assigned."""
    for node, parent, field in site.places:
        if not isinstance(node, ast.expr) or not site.is_value(node):
            continue
        if field in ("test", "ifs") or (
            isinstance(parent, ast.BoolOp) and not isinstance(node, ast.Constant)
        ):
            yield node
        elif isinstance(parent, ast.UnaryOp) and isinstance(parent.op, ast.Not):
            continue
        elif isinstance(node, (ast.BoolOp, ast.Compare)) or (
            isinstance(parent, ast.Return) and isinstance(node, (ast.Call, ast.Name))
        ):
            yield node


def negation(site: Site) -> Iterator[Edit]:
    for unary in site.nodes(ast.UnaryOp):
        if isinstance(unary.op, ast.Not):
            yield Edit((site.replaced(unary, site.source.piece(unary.operand)),), "`not` is taken off")
    for node in _tests(site):
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            continue
        plain = isinstance(node, ast.Compare) and len(node.ops) == 1
        whole = Piece(f"not {site.source.piece(node).within(tight.NOT)}", tight.NOT)
        # The negated comparison is among the comparison operators already.
        yield Edit((site.replaced(node, whole),), f"`{site.text(node)}` is negated", 1.5 if plain else 0.3)


def arithmetic(site: Site) -> Iterator[Edit]:
    for node in site.nodes(ast.BinOp):
        old = sign(node.op)
        if (
            isinstance(node.left, (ast.Constant, ast.JoinedStr))
            and isinstance(getattr(node.left, "value", ""), str)
            and old == "%"
        ):
            continue  # formatting
        for rank, new in enumerate(_ARITHMETIC[old]):
            yield _exchanged(site, node.left, node.right, old, new, 0.45 * rank)
    if isinstance(site.statement, ast.AugAssign):
        statement = site.statement
        old = sign(statement.op)
        for rank, new in enumerate(_ARITHMETIC[old]):
            yield _exchanged(site, statement.target, statement.value, f"{old}=", f"{new}=", 0.45 * rank)
        start, end = between(site, statement.target, statement.value, f"{old}=")
        yield Edit((Change(start, end, "="),), f"`{old}=` becomes `=`", 1.0)


def signs(site: Site) -> Iterator[Edit]:
    for unary in site.nodes(ast.UnaryOp):
        if not isinstance(unary.op, ast.Not):
            yield Edit((site.replaced(unary, site.source.piece(unary.operand)),), "the sign is taken off")
    for node in site.nodes(ast.expr):
        parent, _ = site.parent(node)
        if site.is_value(node) and isinstance(
            node, (ast.Constant, ast.Name, ast.Attribute, ast.Call, ast.Subscript)
        ):
            if isinstance(parent, (ast.UnaryOp, ast.Attribute)) or (
                isinstance(node, ast.Constant) and type(node.value) not in (int, float)
            ):
                continue
            if "number" in site.sorts(node) or isinstance(node, ast.Call):
                weight = 0.0 if isinstance(parent, (ast.Return, ast.Subscript)) else 1.0
                yield Edit(
                    (
                        site.replaced(
                            node, Piece(f"-{site.source.piece(node).within(tight.POWER)}", tight.SIGN)
                        ),
                    ),
                    f"`{site.text(node)}` gets a minus",
                    weight,
                )


def swapped_operands(site: Site) -> Iterator[Edit]:
    for binary in site.nodes(ast.BinOp):
        commutes = isinstance(binary.op, (ast.Mult, ast.BitAnd, ast.BitOr, ast.BitXor)) or (
            isinstance(binary.op, ast.Add) and site.sorts(binary) == frozenset(("number",))
        )
        yield from _swapped(site, binary.left, binary.right, 3.0 if commutes else 0.0)
    for comparing in site.nodes(ast.Compare):
        if len(comparing.ops) == 1:
            asymmetric = isinstance(comparing.ops[0], (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn))
            if asymmetric:
                yield from _swapped(site, comparing.left, comparing.comparators[0], 0.7)
    for junction in site.nodes(ast.BoolOp):
        for left, right in zip(junction.values, junction.values[1:], strict=False):
            yield from _swapped(site, left, right, 0.5)
    for choice in site.nodes(ast.IfExp):
        yield from _swapped(site, choice.body, choice.orelse, 0.5)
    for group in site.nodes(ast.Tuple):
        for left, right in zip(group.elts, group.elts[1:], strict=False):
            yield from _swapped(site, left, right, 0.3)
    for mapping in site.nodes(ast.Dict):
        for key, value in zip(mapping.keys, mapping.values, strict=True):
            if key is not None and not isinstance(key, ast.Constant):
                yield from _swapped(site, key, value, 0.3)
    for comprehension in site.nodes(ast.DictComp):
        yield from _swapped(site, comprehension.key, comprehension.value, 0.3)


def _swapped(site: Site, left: ast.expr, right: ast.expr, surprise: float) -> Iterator[Edit]:
    one, other = site.text(left), site.text(right)
    if one != other and not isinstance(left, ast.Starred) and not isinstance(right, ast.Starred):
        changes = (
            site.replaced(left, site.source.piece(right)),
            site.replaced(right, site.source.piece(left)),
        )
        yield Edit(changes, f"`{one}` and `{other}` change places", surprise)


def grouping(site: Site) -> Iterator[Edit]:
    """`a + b * c` becomes `(a + b) * c`, and back."""
    for binary in site.nodes(ast.BinOp):
        for inner, on_left in ((binary.left, True), (binary.right, False)):
            if not isinstance(inner, ast.BinOp):
                continue
            outer_sign, inner_sign = sign(binary.op), sign(inner.op)
            if on_left:  # (a ∘ b) • c becomes a ∘ (b • c)
                first, second, third = inner.left, inner.right, binary.right
                pieces = (first, inner_sign, (second, outer_sign, third))
                if type(inner.op) is type(binary.op) and isinstance(binary.op, (ast.Add, ast.Mult)):
                    continue
                grouped = _binary(site, pieces[0], inner.op, _binary_piece(site, second, binary.op, third))
            else:  # a • (b ∘ c) becomes (a • b) ∘ c
                first, second, third = binary.left, inner.left, inner.right
                if type(inner.op) is type(binary.op) and isinstance(binary.op, (ast.Add, ast.Mult)):
                    continue
                grouped = _binary(site, _binary_piece(site, first, binary.op, second), inner.op, third)
            yield Edit((site.replaced(binary, grouped),), f"`{site.text(binary)}` becomes `{grouped.text}`")
    for junction in site.nodes(ast.BoolOp):
        for value in junction.values:
            if isinstance(value, ast.BoolOp) and len(junction.values) == 2 and len(value.values) == 2:
                yield from _regrouped(site, junction, value)
    for unary in site.nodes(ast.UnaryOp):
        if isinstance(unary.op, ast.Not) and isinstance(unary.operand, ast.BoolOp):
            parts = [site.source.piece(value).within(tight.NOT) for value in unary.operand.values]
            word = sign(unary.operand.op)
            yield Edit(
                (
                    site.replaced(
                        unary,
                        Piece(
                            f"not {parts[0]} {word} " + f" {word} ".join(parts[1:]), binding(unary.operand)
                        ),
                    ),
                ),
                "`not` is for the first part only",
            )


def _regrouped(site: Site, node: ast.BoolOp, value: ast.BoolOp) -> Iterator[Edit]:
    outer, inner = sign(node.op), sign(value.op)
    text = [
        site.source.piece(each).within(tight.NOT)
        for each in (
            [node.values[0], *value.values] if node.values[1] is value else [*value.values, node.values[1]]
        )
    ]
    words = (outer, inner) if node.values[1] is value else (inner, outer)
    left_first = f"({text[0]} {words[0]} {text[1]}) {words[1]} {text[2]}"
    right_first = f"{text[0]} {words[0]} ({text[1]} {words[1]} {text[2]})"
    new = left_first if node.values[1] is value else right_first
    yield Edit((site.replaced(node, Piece(new, tight.OR)),), f"`{site.text(node)}` becomes `{new}`")


def _binary_piece(site: Site, left: ast.expr, operator: ast.operator, right: ast.expr) -> Piece:
    return _binary(site, site.source.piece(left), operator, site.source.piece(right))


def _binary(site: Site, left: ast.expr | Piece, operator: ast.operator, right: ast.expr | Piece) -> Piece:
    one = left if isinstance(left, Piece) else site.source.piece(left)
    other = right if isinstance(right, Piece) else site.source.piece(right)
    own = binding(ast.BinOp(ast.Constant(0), operator, ast.Constant(0)))
    return Piece(f"{one.within(own)} {sign(operator)} {other.within(own + 1)}", own)
