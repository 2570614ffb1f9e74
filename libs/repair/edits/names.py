"""Names, attributes and functions that stand for one another."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from libs.repair.edits import source as tight
from libs.repair.edits.module import size
from libs.repair.edits.scopes import BUILTINS
from libs.repair.edits.site import Edit, Site
from libs.repair.edits.sorts import made, used
from libs.repair.edits.source import Change

#: Functions and methods that are taken for one another; each for all others of its row.
_KIN: tuple[tuple[str, ...], ...] = (
    ("min", "max"),
    ("any", "all"),
    ("sum", "len", "max"),
    ("sorted", "reversed", "list"),
    ("list", "tuple", "set", "iter"),
    ("int", "float", "round"),
    ("str", "repr", "bytes"),
    ("isinstance", "issubclass"),
    ("getattr", "hasattr"),
    ("range", "enumerate"),
    ("append", "extend", "insert", "add"),
    ("add", "update", "discard"),
    ("append", "appendleft"),
    ("pop", "popleft", "popitem"),
    ("lstrip", "rstrip", "strip"),
    ("startswith", "endswith"),
    ("find", "rfind", "index", "rindex"),
    ("split", "rsplit", "splitlines", "partition", "rpartition"),
    ("partition", "rpartition"),
    ("lower", "upper", "casefold", "title", "capitalize"),
    ("keys", "values", "items"),
    ("get", "pop", "setdefault"),
    ("update", "difference_update", "intersection_update"),
    ("union", "intersection", "difference", "symmetric_difference"),
    ("issubset", "issuperset", "isdisjoint"),
    ("remove", "discard", "pop"),
    ("match", "search", "fullmatch"),
    ("findall", "finditer"),
    ("group", "groups", "groupdict"),
    ("isdigit", "isdecimal", "isnumeric", "isalnum", "isalpha"),
    ("isupper", "islower"),
    ("ljust", "rjust", "center"),
    ("encode", "decode"),
    ("read", "readline", "readlines"),
    ("heappush", "heappop", "heappushpop", "heapreplace"),
    ("bisect_left", "bisect_right", "bisect"),
    ("floor", "ceil", "trunc"),
    ("deepcopy", "copy"),
    ("dict", "OrderedDict", "defaultdict"),
    ("chain", "zip", "product"),
    ("zip", "zip_longest"),
    ("days", "seconds", "microseconds", "total_seconds"),
    ("start", "end", "stop"),
    ("left", "right"),
    ("prev", "next"),
    ("first", "last"),
    ("begin", "end"),
    ("lower", "upper"),
    ("key", "value"),
    ("width", "height"),
    ("row", "column", "col"),
    ("parent", "child"),
    ("src", "dst"),
    ("source", "target"),
)


def kin(name: str) -> list[str]:
    """What is taken for a function, method or attribute, likeliest first."""
    found: dict[str, None] = {}
    for row in _KIN:
        if name in row:
            found.update(dict.fromkeys(each for each in row if each != name))
    return [*found]


def name(site: Site) -> Iterator[Edit]:
    """Another name of the scope, or an attribute or element of the name's kin."""
    for read in site.nodes(ast.Name):
        parent, field = site.parent(read)
        if not site.is_value(read) or (isinstance(parent, ast.Call) and field == "func"):
            continue
        wanted = frozenset(made(read)) | used(read, parent, field) | site.scope.sorts(read.id)
        if read.id in ("self", "cls"):
            continue
        for other, surprise in site.names(read, wanted, without=frozenset((read.id, "self", "cls")))[:25]:
            yield Edit((site.replaced(read, other),), f"`{read.id}` becomes `{other}`", surprise)
        if (
            site.scope.owner is not None
            and not isinstance(parent, ast.Attribute)
            and read.id in site.members(_SELF)
        ):
            yield Edit(
                (site.replaced(read, f"self.{read.id}"),), f"`{read.id}` becomes `self.{read.id}`", 0.5
            )
    for member in site.nodes(ast.Attribute):
        own = isinstance(member.value, ast.Name) and member.value.id == "self" and site.is_value(member)
        if own and member.attr in site.scope.visible():
            yield Edit(
                (site.replaced(member, member.attr),),
                f"`self.{member.attr}` becomes `{member.attr}`",
                0.5,
            )
    yield from _targets(site)


_SELF = ast.Name("self", ast.Load())


def _targets(site: Site) -> Iterator[Edit]:
    """Another name assigned to; two targets, or the names of two loops, exchanged."""
    statement = site.statement
    targets = (
        statement.targets
        if isinstance(statement, ast.Assign)
        else [statement.target]
        if isinstance(statement, (ast.AugAssign, ast.AnnAssign, ast.For, ast.AsyncFor))
        else []
    )
    comprehensions = [each.target for each in site.nodes(ast.comprehension)]
    for target in (*targets, *comprehensions):
        if isinstance(target, ast.Tuple):
            for left, right in zip(target.elts, target.elts[1:], strict=False):
                one, other = site.text(left), site.text(right)
                if one != other and not isinstance(left, ast.Starred) and not isinstance(right, ast.Starred):
                    changes = (Change(*site.source.span(left), other), Change(*site.source.span(right), one))
                    yield Edit(changes, f"`{one}` and `{other}` change places", 0.7)
    for target in targets:
        if isinstance(target, ast.Name):
            wanted = site.scope.sorts(target.id)
            for other, surprise in site.names(target, wanted, without=frozenset((target.id, "self", "cls")))[
                :8
            ]:
                if other in site.scope.bindings:
                    change = Change(*site.source.span(target), other)
                    yield Edit((change,), f"`{target.id}` becomes `{other}`", 1.0 + surprise)


def attribute(site: Site) -> Iterator[Edit]:
    """Another attribute that is seen on the same object, or one of its kin."""
    for member in site.nodes(ast.Attribute):
        parent, field = site.parent(member)
        if isinstance(parent, ast.Call) and field == "func":
            continue
        end = site.source.span(member)[1]
        begin = end - len(member.attr)
        if site.source.text[begin:end] != member.attr:
            continue
        seen = site.members(member.value)
        others = sorted((each for each in seen if each != member.attr), key=lambda each: (-seen[each], each))
        for rank, other in enumerate(dict.fromkeys([*kin(member.attr), *others[:15]])):
            yield Edit((Change(begin, end, other),), f"`.{member.attr}` becomes `.{other}`", 0.25 * rank)
        if site.is_value(member) and not (isinstance(member.value, ast.Name) and member.value.id == "self"):
            yield Edit(
                (site.replaced(member, site.source.piece(member.value)),),
                f"`.{member.attr}` is taken off",
                1.5,
            )
    for read in site.nodes(ast.Name):
        parent, _ = site.parent(read)
        if site.is_value(read) and not isinstance(parent, ast.Attribute) and read.id not in ("self", "cls"):
            seen = site.members(read)
            for rank, other in enumerate(sorted(seen, key=lambda each: (-seen[each], each))[:6]):
                yield Edit(
                    (site.replaced(read, f"{read.id}.{other}"),),
                    f"`{read.id}` becomes `{read.id}.{other}`",
                    1.5 + 0.3 * rank,
                )


def callee(site: Site) -> Iterator[Edit]:
    """Another function or method in a call: one of its kin, or one that the file calls on such objects."""
    for call in site.nodes(ast.Call):
        function = call.func
        if isinstance(function, ast.Name):
            near = [each for each in kin(function.id) if site.known(each)]
            others = [
                each
                for each, binding in site.scope.visible().items()
                if each not in (function.id, *near)
                and ("callable" in binding.sorts or binding.origin == "function")
            ]
            others.sort(key=lambda each: (-_shared(each, function.id), each))
            for rank, other in enumerate(near):
                yield Edit(
                    (Change(*site.source.span(function), other),),
                    f"`{function.id}` becomes `{other}`",
                    0.3 * rank,
                )
            for rank, other in enumerate(others[:10]):
                yield Edit(
                    (Change(*site.source.span(function), other),),
                    f"`{function.id}` becomes `{other}`",
                    1.5 + 0.3 * rank,
                )
        elif isinstance(function, ast.Attribute):
            end = site.source.span(function)[1]
            start = end - len(function.attr)
            if site.source.text[start:end] != function.attr:
                continue
            seen = site.members(function.value)
            others = sorted(
                (each for each in seen if each != function.attr),
                key=lambda each: (-_shared(each, function.attr), -seen[each], each),
            )
            near = kin(function.attr)
            for rank, other in enumerate(near):
                surprise = 0.3 * rank if other not in seen else 0.0
                yield Edit((Change(start, end, other),), f"`.{function.attr}` becomes `.{other}`", surprise)
            for rank, other in enumerate(each for each in others[:12] if each not in near):
                yield Edit(
                    (Change(start, end, other),), f"`.{function.attr}` becomes `.{other}`", 0.8 + 0.3 * rank
                )
    # `d.get(k)` and `d[k]`; `f(x)` and `x.f()`.
    for call in site.nodes(ast.Call):
        if (
            not site.is_value(call)
            or call.keywords
            or any(isinstance(each, ast.Starred) for each in call.args)
        ):
            continue
        match call:
            case ast.Call(func=ast.Attribute(value=value, attr="get"), args=[key, *_]):
                new = f"{site.source.piece(value).text}[{site.text(key)}]"
                yield Edit((site.replaced(call, new),), f"`{site.text(call)}` becomes `{new}`", 0.5)
            case ast.Call(func=ast.Name(id=called), args=[first, *rest]) if (
                called not in BUILTINS and called in site.module.calls and size(call) <= 8
            ):
                methods = [each for each in site.module.calls[called] if isinstance(each.func, ast.Attribute)]
                if methods:
                    new = f"{site.source.piece(first).within(tight.ATOM)}.{called}({', '.join(site.text(each) for each in rest)})"
                    yield Edit((site.replaced(call, new),), f"`{site.text(call)}` becomes `{new}`", 2.0)
    for subscript in site.nodes(ast.Subscript):
        if site.is_value(subscript) and not isinstance(subscript.slice, (ast.Slice, ast.Tuple)):
            index, mapping = site.text(subscript.slice), site.text(subscript.value)
            for default, surprise in (("", 0.7), (", 0", 1.2), (", []", 1.8), (", ''", 1.8)):
                new = f"{mapping}.get({index}{default})"
                yield Edit(
                    (site.replaced(subscript, new),), f"`{site.text(subscript)}` becomes `{new}`", surprise
                )


def _shared(one: str, other: str) -> float:
    """How much two names have in common, in [0, 1], by pairs of letters."""
    left, right = ({word[index : index + 2] for index in range(len(word) - 1)} for word in (one, other))
    return len(left & right) / max(1, len(left | right))
