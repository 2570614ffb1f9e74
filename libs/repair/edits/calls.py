"""Calls put around expressions or taken off, and calls that are missing."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from libs.repair.edits import source as tight
from libs.repair.edits.blocks import after, before, is_docstring, movable
from libs.repair.edits.module import called, size
from libs.repair.edits.scopes import BUILTINS
from libs.repair.edits.site import Edit, Site
from libs.repair.edits.sorts import Sort

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
        sorts = [str(sort) for sort in sorted(site.sorts(node))] or [""]
        functions = dict.fromkeys(name for sort in sorts for name in _WRAPPERS.get(sort, _WRAPPERS[""]))
        text = site.text(node)
        ranked = [
            (name, 0.4 + 0.25 * rank - (0.4 if name in used else 0.0)) for rank, name in enumerate(functions)
        ]
        if field == "iter":
            ranked += [("enumerate", 0.3), ("reversed", 0.6), ("range", 0.6)]
            for rank, method in enumerate(
                (".items()", ".split()", ".values()", ".keys()", ".splitlines()", "[1:]")
            ):
                new = f"{site.source.piece(node).within(tight.ATOM)}{method}"
                yield Edit((site.replaced(node, new),), f"`{text}` becomes `{new}`", outer + 0.2 + 0.2 * rank)
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
    partners = ["0", "1", *(name for name, _ in site.names(node, frozenset((Sort.NUMBER,)))[:4])]
    for rank, partner in enumerate(partners):
        for extra, name in ((0.0, "max"), (0.1, "min")):
            if partner != text:
                new = f"{name}({text}, {partner})"
                yield Edit(
                    (site.replaced(node, new),), f"`{text}` becomes `{new}`", outer + 1.6 + 0.2 * rank + extra
                )


def unwrap(site: Site) -> Iterator[Edit]:
    """A call gives way to its argument, or to the object whose method it is."""
    for call in site.nodes(ast.Call):
        if not site.is_value(call):
            continue
        for rank, inner in enumerate(call.args[:3]):
            if not isinstance(inner, ast.Starred):
                new = site.source.piece(inner)
                surprise = (
                    (0.0 if isinstance(call.func, ast.Name) else 1.0)
                    + 0.5 * rank
                    + 0.3 * (len(call.args) > 1)
                )
                yield Edit((site.replaced(call, new),), f"`{site.text(call)}` becomes `{new.text}`", surprise)
        if isinstance(call.func, ast.Attribute):
            new = site.source.piece(call.func.value)
            yield Edit((site.replaced(call, new),), f"`{site.text(call)}` becomes `{new.text}`", 0.3)
        new = site.source.piece(call.func)
        if (
            not call.args
            and not call.keywords
            and isinstance(site.parent(call)[0], (ast.Call, ast.keyword, ast.Return, ast.Assign))
        ):
            yield Edit((site.replaced(call, new),), f"`{site.text(call)}` becomes `{new.text}`", 1.5)
    for member in site.nodes(ast.Attribute):
        if (
            site.is_value(member)
            and site.parent(member)[1] != "func"
            and (member.attr in site.module.calls or member.attr in site.module.functions)
        ):
            yield Edit(
                (site.replaced(member, f"{site.text(member)}()"),), f"`{site.text(member)}` is called", 0.8
            )


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
