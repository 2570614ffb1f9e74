"""Calls: their arguments, calls put around expressions or taken off, calls that are missing."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from libs.repair.edits import source as tight
from libs.repair.edits.blocks import after, before, is_docstring, movable
from libs.repair.edits.scopes import BUILTINS
from libs.repair.edits.site import Edit, Site, called, size
from libs.repair.edits.source import Change, Piece

_WRAPPERS: dict[str, tuple[str, ...]] = {
    "number": ("int", "abs", "str", "float", "round"),
    "text": ("int", "str", "list", "len", "float", "set"),
    "collection": ("list", "sorted", "set", "tuple", "len", "reversed", "dict", "sum", "max", "min", "iter"),
    "truth": ("bool", "int"),
    "": ("str", "int", "list", "len", "set", "sorted", "abs", "tuple", "bool", "float", "dict", "repr"),
}
_METHODS: dict[str, tuple[str, ...]] = {
    "text": (".strip()", ".lower()", ".upper()", ".rstrip()", ".lstrip()", ".split()", ".encode()"),
    "collection": (".copy()", ".items()", ".keys()", ".values()"),
    "": (".copy()", ".strip()", ".items()", ".values()", ".lower()", ".keys()"),
}


def swapped_arguments(site: Site) -> Iterator[Edit]:
    for node in site.nodes(ast.Call):
        plain = [each for each in node.args if not isinstance(each, ast.Starred)]
        for first, one in enumerate(plain):
            for distance, other in enumerate(plain[first + 1 :]):
                left, right = site.text(one), site.text(other)
                if left != right:
                    changes = (
                        site.replaced(one, site.source.piece(other)),
                        site.replaced(other, site.source.piece(one)),
                    )
                    yield Edit(changes, f"`{left}` and `{right}` change places", 0.5 * distance)
        values = [each.value for each in node.keywords if each.arg]
        for one, other in zip(values, values[1:], strict=False):
            if site.text(one) != site.text(other):
                changes = (
                    site.replaced(one, site.source.piece(other)),
                    site.replaced(other, site.source.piece(one)),
                )
                yield Edit(changes, f"`{site.text(one)}` and `{site.text(other)}` change places", 1.5)


def argument(site: Site) -> Iterator[Edit]:
    """An argument replaced by what another call of the same function is given, or by a small expression of the function."""
    for node in site.nodes(ast.Call):
        name = called(node)
        siblings = [each for each in site.module.calls.get(name, []) if each is not node] if name else []
        for index, old in enumerate(node.args):
            if isinstance(old, ast.Starred):
                continue
            given = {
                ast.unparse(each.args[index]): each.args[index] for each in siblings if len(each.args) > index
            }
            usable = [
                each
                for each in given.values()
                if not isinstance(each, ast.Starred) and size(each) <= 8 and site.usable(each, old)
            ]
            for rank, new in enumerate(usable[:10]):
                yield Edit(
                    (site.replaced(old, site.source.piece(new)),),
                    f"`{site.text(old)}` becomes `{site.text(new)}`",
                    0.3 + 0.3 * rank,
                )
        for keyword in node.keywords:
            for each in siblings:
                for other in each.keywords:
                    if other.arg == keyword.arg and keyword.arg and site.usable(other.value, keyword.value):
                        change = site.replaced(keyword.value, site.source.piece(other.value))
                        yield Edit((change,), f"`{site.text(keyword)}` becomes `{site.text(other)}`", 0.7)


def argument_added(site: Site) -> Iterator[Edit]:
    """An argument that other calls of the function have; a name passed on; what the called function takes by that name."""
    for node in site.nodes(ast.Call):
        name = called(node)
        end = site.source.span(node)[1] - 1
        if site.source.text[end : end + 1] != ")" or (
            len(node.args) == 1 and isinstance(node.args[0], ast.GeneratorExp)
        ):
            continue
        inside = site.source.text[site.source.span(node.func)[1] : end]
        comma = ", " if (node.args or node.keywords) and not inside.rstrip().endswith(",") else ""
        has = {each.arg for each in node.keywords}
        offered: dict[str, float] = {}
        for each in site.module.calls.get(name, []) if name else []:
            for keyword in each.keywords:
                if keyword.arg and keyword.arg not in has and site.usable(keyword.value, node):
                    offered.setdefault(site.text(keyword), 0.3)
            for extra in each.args[len(node.args) :][:1]:
                if not isinstance(extra, ast.Starred) and site.usable(extra, node) and not node.keywords:
                    offered.setdefault(site.text(extra), 0.5)
        for parameter in _parameters(site, name):
            if parameter not in has and parameter in site.scope.visible():
                offered.setdefault(f"{parameter}={parameter}", 0.2)
        own = site.scope.parameters
        for parameter in own:
            if parameter not in ("self", "cls") and parameter not in {
                each.id for each in ast.walk(node) if isinstance(each, ast.Name)
            }:
                if name and getattr(site.scope.node, "name", "") == name:
                    offered.setdefault(f"{parameter}={parameter}", 0.4)
                offered.setdefault(parameter if not node.keywords else f"{parameter}={parameter}", 1.2)
                offered.setdefault(f"{parameter}={parameter}", 2.0)
        for other, surprise in site.names(node, frozenset())[:8]:
            if not node.keywords:
                offered.setdefault(other, 1.2 + surprise)
        for literal in ("None", "0", "1", "''"):
            if not node.keywords and node.args:
                offered.setdefault(literal, 2.2)
        for text, surprise in offered.items():
            yield Edit((Change(end, end, f"{comma}{text}"),), f"`{name}(…)` is given `{text}` too", surprise)
        for other, surprise in site.names(node, frozenset())[:8]:
            if node.args and not isinstance(node.args[0], ast.Starred):
                start = site.source.span(node.args[0])[0]
                yield Edit(
                    (Change(start, start, f"{other}, "),),
                    f"`{name}(…)` is given `{other}` first",
                    1.8 + surprise,
                )


def _parameters(site: Site, name: str) -> list[str]:
    """Parameters of the functions of that name in the file."""
    found: dict[str, None] = {}
    for node in site.module.functions.get(name, ()):
        arguments = node.args
        found.update(
            dict.fromkeys(
                each.arg
                for each in (*arguments.args, *arguments.kwonlyargs)
                if each.arg not in ("self", "cls")
            )
        )
    return [*found]


def argument_dropped(site: Site) -> Iterator[Edit]:
    for node in site.nodes(ast.Call):
        parts: list[ast.expr | ast.keyword] = [*node.args, *node.keywords]
        for index, part in enumerate(parts):
            start, end = site.source.span(part)
            if index + 1 < len(parts):
                end = site.source.span(parts[index + 1])[0]
            elif index:
                start = site.source.span(parts[index - 1])[1]
            if (
                isinstance(part, ast.expr)
                and site.source.text[start - 1 : start] == "("
                and start - 1 != site.source.span(node.func)[1]
            ):
                continue  # in parentheses of its own
            yield Edit(
                (Change(start, end, ""),),
                f"`{site.text(part)}` is no longer given to `{called(node)}`",
                0.0 if len(parts) > 1 else 0.8,
            )


def wrap(site: Site) -> Iterator[Edit]:
    """A call put around an expression: of a function that the file calls, or of a usual one."""
    local = [name for name in site.module.calls if name in site.scope.visible()]
    calls_one = {
        name
        for name in local
        for each in site.module.calls[name]
        if len(each.args) == 1 and isinstance(each.func, ast.Name)
    }
    used = [name for name in site.module.calls if name in BUILTINS]
    for node, parent, field in site.places:
        if (
            not isinstance(node, ast.expr)
            or not site.is_value(node)
            or (isinstance(parent, ast.Call) and field == "func")
        ):
            continue
        if (
            isinstance(node, ast.Constant)
            or (isinstance(parent, (ast.Attribute, ast.keyword)) and not isinstance(node, ast.Name))
            or size(node) > 12
        ):
            continue
        around = parent.func.id if isinstance(parent, ast.Call) and isinstance(parent.func, ast.Name) else ""
        outer = (
            0.0 if isinstance(node, (ast.Name, ast.Attribute, ast.Subscript, ast.Call, ast.BinOp)) else 0.8
        )
        sorts = sorted(site.sorts(node)) or [""]
        functions = dict.fromkeys(name for sort in sorts for name in _WRAPPERS.get(sort, _WRAPPERS[""]))
        text = site.text(node)
        ranked = [
            (name, 0.4 + 0.25 * rank - (0.4 if name in used else 0.0)) for rank, name in enumerate(functions)
        ]
        ranked += [
            (name, 1.0 + 0.2 * rank) for rank, name in enumerate(sorted(calls_one - set(functions))[:8])
        ]
        for name, surprise in ranked:
            if name != around and not (isinstance(node, ast.Call) and called(node) == name):
                yield Edit(
                    (site.replaced(node, f"{name}({text})"),),
                    f"`{text}` becomes `{name}({text})`",
                    outer + max(0.0, surprise),
                )
        methods = dict.fromkeys(method for sort in sorts for method in _METHODS.get(sort, ()))
        for rank, method in enumerate(methods):
            new = f"{site.source.piece(node).within(tight.ATOM)}{method}"
            yield Edit((site.replaced(node, new),), f"`{text}` becomes `{new}`", outer + 1.0 + 0.3 * rank)
        yield from _combined(site, node, text, outer)


def _combined(site: Site, node: ast.expr, text: str, outer: float) -> Iterator[Edit]:
    """`e` becomes `max(e, 0)`, `min(e, n)` and their like."""
    if site.sorts(node) and "number" not in site.sorts(node):
        return
    partners = ["0", "1", *(name for name, _ in site.names(node, frozenset(("number",)))[:4])]  # type: ignore[arg-type]
    for rank, partner in enumerate(partners):
        for extra, name in ((0.0, "max"), (0.1, "min")):
            if partner != text:
                new = f"{name}({text}, {partner})"
                yield Edit(
                    (site.replaced(node, new),), f"`{text}` becomes `{new}`", outer + 1.6 + 0.2 * rank + extra
                )


def unwrap(site: Site) -> Iterator[Edit]:
    """A call gives way to its argument, or to the object whose method it is."""
    for node in site.nodes(ast.Call):
        if not site.is_value(node):
            continue
        for rank, inner in enumerate(node.args[:3]):
            if not isinstance(inner, ast.Starred):
                new = site.source.piece(inner)
                surprise = (
                    (0.0 if isinstance(node.func, ast.Name) else 1.0)
                    + 0.5 * rank
                    + 0.3 * (len(node.args) > 1)
                )
                yield Edit((site.replaced(node, new),), f"`{site.text(node)}` becomes `{new.text}`", surprise)
        if isinstance(node.func, ast.Attribute):
            new = site.source.piece(node.func.value)
            yield Edit((site.replaced(node, new),), f"`{site.text(node)}` becomes `{new.text}`", 0.3)
        new = site.source.piece(node.func)
        if (
            not node.args
            and not node.keywords
            and isinstance(site.parent(node)[0], (ast.Call, ast.keyword, ast.Return, ast.Assign))
        ):
            yield Edit((site.replaced(node, new),), f"`{site.text(node)}` becomes `{new.text}`", 1.5)
    for node in site.nodes(ast.Attribute):
        if (
            site.is_value(node)
            and site.parent(node)[1] != "func"
            and (node.attr in site.module.calls or node.attr in site.module.functions)
        ):
            yield Edit((site.replaced(node, f"{site.text(node)}()"),), f"`{site.text(node)}` is called", 0.8)


def call_statement(site: Site) -> Iterator[Edit]:
    """A missing call as a statement of its own: a method that is called on the object, or usual for its sort."""
    if not movable(site) or is_docstring(site.statement):
        return
    last = site.index == len(site.block) - 1
    ends = isinstance(site.statement, (ast.Return, ast.Raise, ast.Break, ast.Continue))
    for text, surprise in _missing(site)[:60]:
        yield Edit((before(site, text),), f"`{text}` is added", surprise)
        if last and not ends:
            yield Edit((after(site, text),), f"`{text}` is added behind it", surprise + 0.2)


def _missing(site: Site) -> list[tuple[str, float]]:
    found: dict[str, float] = {}
    near = site.names(site.statement, frozenset(), without=frozenset(("self", "cls")))[:12]
    arguments = [
        (name, unlikely)
        for name, unlikely in near
        if site.scope.visible()[name].origin in ("parameter", "local", "comprehension")
    ]
    for name, unlikely in near:
        binding = site.scope.visible()[name]
        if binding.origin in ("class", "import", "function"):
            continue
        seen = {attr for attr in site.module.members.get(name, {}) if attr in site.module.calls}
        methods = dict.fromkeys(seen, 0.3)
        for attr in binding.made:
            methods.setdefault(attr, 0.5)
        for attr, extra in methods.items():
            if attr in (
                "append",
                "add",
                "extend",
                "remove",
                "discard",
                "update",
                "push",
                "put",
                "appendleft",
            ):
                for other, second in arguments:
                    if other != name:
                        found.setdefault(f"{name}.{attr}({other})", 0.5 * (unlikely + second) + extra)
            elif attr in ("pop", "clear", "popleft", "sort", "reverse", "close", "flush", "reset"):
                found.setdefault(f"{name}.{attr}()", unlikely + extra + 0.5)
    for attr, count in sorted(site.members(ast.Name("self", ast.Load())).items()) if site.scope.owner else ():
        if attr in site.module.functions and count:
            found.setdefault(f"self.{attr}()", 2.0)
    return sorted(found.items(), key=lambda pair: (pair[1], pair[0]))


__all__ = ["Piece"]
