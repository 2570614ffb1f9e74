"""Arguments of calls: exchanged, replaced, added, dropped."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import pairwise

from libs.repair.edits.module import called, size
from libs.repair.edits.site import Edit, Site
from libs.repair.edits.source import Change


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
        for one, other in pairwise(values):
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
        if isinstance(site.scope.node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for star, rest in (("*", site.scope.node.args.vararg), ("**", site.scope.node.args.kwarg)):
                if rest is not None and rest.arg not in {
                    each.id for each in ast.walk(node) if isinstance(each, ast.Name)
                }:
                    offered.setdefault(f"{star}{rest.arg}", 0.4)
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
