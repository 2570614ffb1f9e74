"""What sort of value an expression stands for, guessed from how it is made and used: enough to rank substitutes."""

from __future__ import annotations

import ast
from enum import StrEnum


class Sort(StrEnum):
    NUMBER = "number"
    TEXT = "text"
    SIZED = "collection"
    CALLABLE = "callable"
    TRUTH = "truth"
    OBJECT = "object"


Sorts = frozenset[Sort]
UNKNOWN: Sorts = frozenset()

_BUILTIN: dict[str, Sort] = {
    **dict.fromkeys(
        ("len", "int", "float", "abs", "round", "sum", "ord", "id", "hash", "pow", "divmod"), Sort.NUMBER
    ),
    **dict.fromkeys(("str", "repr", "chr", "format", "ascii", "hex", "oct", "bin"), Sort.TEXT),
    **dict.fromkeys(
        (
            "list",
            "dict",
            "set",
            "tuple",
            "frozenset",
            "sorted",
            "reversed",
            "zip",
            "map",
            "filter",
            "range",
            "enumerate",
            "iter",
        ),
        Sort.SIZED,
    ),
    **dict.fromkeys(("bool", "isinstance", "issubclass", "hasattr", "callable", "any", "all"), Sort.TRUTH),
}
_TAKES_SIZED = frozenset(
    (
        "len",
        "sorted",
        "sum",
        "any",
        "all",
        "set",
        "list",
        "tuple",
        "enumerate",
        "zip",
        "reversed",
        "iter",
        "frozenset",
        "dict",
    )
)
_TAKES_NUMBER = frozenset(("range", "abs", "chr", "round", "divmod"))
_METHODS: dict[str, Sort] = {
    **{name: Sort.SIZED for kind in (list, dict, set) for name in dir(kind) if not name.startswith("_")},
    **{name: Sort.TEXT for name in dir(str) if not name.startswith("_")},
}
for _shared in ("count", "index", "copy", "pop", "remove", "update"):
    _METHODS[_shared] = Sort.SIZED
_NUMERIC = (ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Pow, ast.LShift, ast.RShift)


def made(node: ast.expr) -> Sorts:
    """Guessed from how the expression is made; names are unknown here."""
    match node:
        case ast.Constant(value=bool()):
            return frozenset((Sort.TRUTH,))
        case ast.Constant(value=int() | float() | complex()):
            return frozenset((Sort.NUMBER,))
        case ast.Constant(value=str() | bytes()) | ast.JoinedStr():
            return frozenset((Sort.TEXT,))
        case (
            ast.List()
            | ast.Tuple()
            | ast.Dict()
            | ast.Set()
            | ast.ListComp()
            | ast.SetComp()
            | ast.DictComp()
            | ast.GeneratorExp()
        ):
            return frozenset((Sort.SIZED,))
        case ast.Compare() | ast.UnaryOp(op=ast.Not()):
            return frozenset((Sort.TRUTH,))
        case ast.UnaryOp():
            return frozenset((Sort.NUMBER,))
        case ast.BinOp(left=left, op=op, right=right):
            sorts = (made(left) | made(right)) - {Sort.TRUTH}
            if Sort.TEXT in sorts or Sort.SIZED in sorts:
                return sorts - {Sort.NUMBER}
            return frozenset((Sort.NUMBER,)) if sorts or isinstance(op, _NUMERIC) else UNKNOWN
        case ast.Call(func=ast.Name(id=name)) if name in _BUILTIN:
            return frozenset((_BUILTIN[name],))
        case ast.Call(
            func=ast.Attribute(attr="join" | "strip" | "lower" | "upper" | "format" | "replace" | "decode")
        ):
            return frozenset((Sort.TEXT,))
        case ast.Call(func=ast.Attribute(attr="split" | "keys" | "values" | "items")):
            return frozenset((Sort.SIZED,))
        case ast.Lambda():
            return frozenset((Sort.CALLABLE,))
        case ast.IfExp(body=body, orelse=orelse):
            return made(body) | made(orelse)
        case ast.BoolOp(values=values):
            return frozenset().union(*(made(value) for value in values))
    return UNKNOWN


def mutators(node: ast.expr) -> frozenset[str]:
    """Methods that put something into what an expression makes, or take it out."""
    match node:
        case ast.List() | ast.ListComp() | ast.Call(func=ast.Name(id="list" | "sorted")):
            return frozenset(("append", "extend", "pop", "sort", "reverse"))
        case ast.Set() | ast.SetComp() | ast.Call(func=ast.Name(id="set")):
            return frozenset(("add", "update", "discard"))
        case ast.Dict() | ast.DictComp() | ast.Call(func=ast.Name(id="dict")):
            return frozenset(("update", "pop"))
        case ast.Call(func=ast.Name(id="deque") | ast.Attribute(attr="deque")):
            return frozenset(("append", "appendleft", "popleft", "pop"))
    return frozenset()


def used(node: ast.expr, parent: ast.AST | None, field: str) -> Sorts:
    """Guessed from the place in which the expression stands."""
    match parent:
        case ast.Call() if field == "func":
            return frozenset((Sort.CALLABLE,))
        case ast.Call(func=ast.Name(id=name)) if field == "args":
            if name in _TAKES_SIZED:
                return frozenset((Sort.SIZED,))
            return frozenset((Sort.NUMBER,)) if name in _TAKES_NUMBER else UNKNOWN
        case ast.Call(func=ast.Attribute(attr="join" | "extend")) if field == "args":
            return frozenset((Sort.SIZED,))
        case ast.BinOp(left=left, op=op, right=right):
            other = made(right if node is left else left)
            if isinstance(op, (ast.Add, ast.Mod, ast.Mult)) and other:
                return other
            return frozenset((Sort.NUMBER,)) if isinstance(op, _NUMERIC) else UNKNOWN
        case ast.UnaryOp(op=ast.USub()):
            return frozenset((Sort.NUMBER,))
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            if isinstance(ops[0], (ast.In, ast.NotIn)):
                return frozenset((Sort.SIZED,)) if node is not left else UNKNOWN
            others = [each for each in (left, *comparators) if each is not node]
            known = frozenset[Sort]().union(*(made(each) for each in others))
            return known or (
                frozenset((Sort.NUMBER,))
                if isinstance(ops[0], (ast.Lt, ast.LtE, ast.Gt, ast.GtE))
                else UNKNOWN
            )
        case ast.Subscript() if field == "value":
            return frozenset((Sort.SIZED,))
        case ast.Slice():
            return frozenset((Sort.NUMBER,))
        case ast.For() | ast.AsyncFor() | ast.comprehension() if field == "iter":
            return frozenset((Sort.SIZED,))
        case ast.Attribute(attr=attr):
            return frozenset((_METHODS.get(attr, Sort.OBJECT),))
        case ast.AugAssign(value=value):
            return made(value) if node is not value else UNKNOWN
        case ast.Assign(value=value) | ast.AnnAssign(value=value) if (
            field in ("targets", "target") and value is not None
        ):
            return made(value)
        case (
            ast.For(iter=ast.Call(func=ast.Name(id="range")))
            | ast.comprehension(iter=ast.Call(func=ast.Name(id="range")))
        ):
            return frozenset((Sort.NUMBER,))
    return UNKNOWN


def likeness(one: Sorts, other: Sorts) -> float:
    """Chance in (0, 1] that a value of one guess may stand where the other is wanted."""
    if not one or not other:
        return 0.5
    return 1.0 if one & other else 0.12
