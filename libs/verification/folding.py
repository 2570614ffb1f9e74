"""Works out texts that code puts together from constants, so that splitting a word hides nothing."""

from __future__ import annotations

import ast

#: Text methods whose result on constants is what they are called for: to write a word without writing it.
_METHODS = frozenset(
    ("join", "replace", "lower", "upper", "strip", "format", "swapcase", "title", "casefold", "decode",
     "encode", "removeprefix", "removesuffix", "lstrip", "rstrip")
)  # fmt: skip
_DEPTH = 40
_LONGEST = 10_000


def fold(node: ast.expr, depth: int = _DEPTH) -> str | None:
    """Give the text that an expression of constants stands for; None if it is no such expression."""
    try:
        value = _value(node, depth)
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, MemoryError):
        return None
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else None


def _value(node: ast.expr, depth: int) -> object:
    if depth <= 0:
        raise ValueError("too deep")
    depth -= 1
    match node:
        case ast.Constant(value=value):
            return value
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            return [_value(part, depth) for part in parts]
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _short(_value(left, depth) + _value(right, depth))  # type: ignore[operator]
        case ast.BinOp(left=left, op=ast.Mod(), right=right):
            template, values = _value(left, depth), _value(right, depth)
            if isinstance(template, str) and len(template) < _LONGEST and "*" not in template:
                return _short(template % (tuple(values) if isinstance(values, list) else values))
        case ast.JoinedStr(values=parts):
            return "".join([str(_value(part, depth)) for part in parts])
        case ast.FormattedValue(value=inner, format_spec=None):
            return _value(inner, depth)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int(number))):
            return -number
        case ast.Subscript(value=inner, slice=ast.Slice(lower=lower, upper=upper, step=step)):
            ends = [None if end is None else _value(end, depth) for end in (lower, upper, step)]
            return _value(inner, depth)[slice(*ends)]  # type: ignore[index]
        case ast.Call(func=ast.Name(id="chr"), args=[one]):
            return chr(_value(one, depth))  # type: ignore[arg-type]
        case ast.Call(func=ast.Name(id="bytes"), args=[one]):
            return bytes(_value(one, depth))  # type: ignore[call-overload]
        case ast.Call(func=ast.Attribute(value=inner, attr=name), args=args, keywords=[]) if name in _METHODS:
            text = _value(inner, depth)
            given = [_value(one, depth) for one in args]
            if isinstance(text, str | bytes) and (name != "format" or ":" not in str(text)):
                return _short(getattr(text, name)(*given))
    raise ValueError("not a constant")


def _short(value: object) -> object:
    if isinstance(value, str | bytes | list) and len(value) > _LONGEST:
        raise ValueError("too long")
    return value
