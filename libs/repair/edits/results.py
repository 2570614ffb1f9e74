"""What a function gives back and what it begins with: returns, yields, initial values, defaults, accumulation."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from libs.repair.edits import source as tight
from libs.repair.edits.blocks import after, is_docstring, movable, step
from libs.repair.edits.module import size
from libs.repair.edits.site import Edit, Site
from libs.repair.edits.source import Change, Piece

_INITIAL = (
    "0",
    "1",
    "None",
    "[]",
    "''",
    "{}",
    "-1",
    "float('inf')",
    "float('-inf')",
    "set()",
    "True",
    "False",
    "[[]]",
    "()",
    "[0]",
    "[None]",
)


def returned(site: Site) -> Iterator[Edit]:
    """Another value returned: a local name, an expression of the function, part of the value, a constant."""
    statement = site.statement
    if not isinstance(statement, ast.Return):
        return
    old = "" if statement.value is None else site.text(statement.value)
    options: dict[str, tuple[float, str]] = {}
    for name, unlikely in site.names(statement, frozenset(), without=frozenset(("self", "cls")))[:12]:
        if site.scope.visible()[name].origin in ("parameter", "local"):
            options.setdefault(name, (0.2 + unlikely, ""))
    elsewhere = [
        node.value
        for node in ast.walk(site.scope.node)
        if isinstance(node, ast.Return) and node.value is not None
    ]
    for rank, value in enumerate(elsewhere):
        if site.usable(value, statement):
            options.setdefault(site.text(value), (0.5 + 0.2 * rank, ""))
    for name in site.scope.parameters:
        if name not in ("self", "cls"):
            options.setdefault(f"[{name}]", (1.3, ""))
    variable = statement.value is not None and size(statement.value) > 1
    for rank, text in enumerate(("None", "[]", "True", "False", "0", "-1", "1", "''", "{}", "()", "[[]]")):
        reason = "returns a constant whatever it is given" if variable else ""
        options.setdefault(text, (1.0 + 0.15 * rank, reason))
    if statement.value is not None:
        options.setdefault(f"[{old}]", (1.2, ""))
        options.setdefault(f"({old},)", (2.5, ""))
    start, end = site.source.span(statement)
    for text, (surprise, reason) in options.items():
        if text != old and "\n" not in text:
            yield Edit(
                (Change(start, end, f"return {text}"),),
                f"`return {old}` becomes `return {text}`",
                surprise,
                reason,
            )


def return_added(site: Site) -> Iterator[Edit]:
    """An expression statement's value is returned; a missing return at the end of a block."""
    statement = site.statement
    if (
        isinstance(statement, ast.Expr)
        and not is_docstring(statement)
        and site.scope.is_function
        and not isinstance(statement.value, (ast.Yield, ast.YieldFrom))
    ):
        start = site.source.span(statement)[0]
        yield Edit((Change(start, start, "return "),), f"`{site.text(statement)}` is returned", 0.3)
    if (
        not movable(site)
        or site.index != len(site.block) - 1
        or isinstance(statement, (ast.Return, ast.Raise, ast.Continue, ast.Break))
    ):
        return
    values: dict[str, float] = {}
    for node in ast.walk(site.scope.node):
        if (
            isinstance(node, ast.Return)
            and node.value is not None
            and site.usable(node.value, statement)
            and "\n" not in site.text(node.value)
        ):
            values.setdefault(site.text(node.value), 0.7 + 0.2 * len(values))
    for name, unlikely in site.names(statement, frozenset(), without=frozenset(("self", "cls")))[:8]:
        if site.scope.visible()[name].origin in ("parameter", "local"):
            values.setdefault(name, unlikely + (0.0 if site.owner is site.scope.node else 0.7))
    if "self" in site.scope.parameters:
        values.setdefault("self", 1.5)
    for text, surprise in values.items():
        yield Edit((after(site, f"return {text}"),), f"`return {text}` is added behind it", surprise)


def return_extended(site: Site) -> Iterator[Edit]:
    """What is returned, yielded or assigned, and something of the same scope."""
    statement = site.statement
    value = statement.value if isinstance(statement, (ast.Return, ast.Assign)) else None
    if value is None or not isinstance(value, ast.expr):
        return
    weight = 0.0 if isinstance(statement, ast.Return) else 0.8
    old = site.source.piece(value)
    sorts = site.sorts(value)
    for name, unlikely in site.names(value, sorts, without=frozenset(("self", "cls")))[:8]:
        binding = site.scope.visible()[name]
        if binding.origin not in ("parameter", "local", "comprehension"):
            continue
        options = [(f"{old.within(tight.SUM)} + {name}", 0.4), (f"{name} + {old.within(tight.TERM)}", 0.6)]
        if "collection" in sorts or not sorts:
            options += [
                (f"{old.within(tight.SUM)} + [{name}]", 0.5),
                (f"[{name}] + {old.within(tight.TERM)}", 0.5),
            ]
        options += [(f"{old.within(tight.OR)} or {name}", 1.2), (f"{old.within(tight.AND)} and {name}", 1.2)]
        for text, surprise in options:
            piece = Piece(text, tight.OR)
            yield Edit(
                (site.replaced(value, piece),), f"`{old.text}` becomes `{text}`", weight + unlikely + surprise
            )
    if isinstance(statement, ast.Return):
        for rank, text in enumerate(("[]", "None", "0", "''", "False", "{}")):
            yield Edit(
                (site.replaced(value, Piece(f"{old.within(tight.OR)} or {text}", tight.OR)),),
                f"`{old.text}` becomes `{old.text} or {text}`",
                1.2 + 0.2 * rank,
            )


def yielded(site: Site) -> Iterator[Edit]:
    """`return` for `yield`, `yield` for `yield from`, and back."""
    statement = site.statement
    if not site.scope.is_function:
        return
    start = site.source.span(statement)[0]
    match statement:
        case ast.Return(value=ast.expr() as value):
            gap = site.source.span(value)[0]
            for rank, word in enumerate(("yield ", "yield from ")):
                yield Edit(
                    (Change(start, gap, word),), f"`return` becomes `{word.strip()}`", 0.7 + 0.5 * rank
                )
        case ast.Expr(value=ast.YieldFrom(value=value)):
            gap = site.source.span(value)[0]
            yield Edit((Change(start, gap, "yield "),), "`yield from` becomes `yield`")
            yield Edit((Change(start, gap, "return "),), "`yield from` becomes `return`", 0.7)
        case ast.Expr(value=ast.Yield(value=ast.expr() as value)):
            gap = site.source.span(value)[0]
            yield Edit((Change(start, gap, "yield from "),), "`yield` becomes `yield from`")
            yield Edit((Change(start, gap, "return "),), "`yield` becomes `return`", 0.7)
        case ast.Expr(value=ast.Call()):
            yield Edit((Change(start, start, "yield from "),), "the call's items are yielded", 1.0)


def initial(site: Site) -> Iterator[Edit]:
    """Another value to begin with."""
    statement = site.statement
    if not isinstance(statement, (ast.Assign, ast.AnnAssign)) or statement.value is None:
        return
    value = statement.value
    plain = isinstance(value, ast.Constant) or (
        size(value) <= 2 and not isinstance(value, (ast.Name, ast.Attribute))
    )
    if not plain:
        return
    old = site.text(value)
    for rank, text in enumerate(each for each in _INITIAL if each != old):
        yield Edit((site.replaced(value, text),), f"`{old}` becomes `{text}`", 0.3 + 0.12 * rank)
    names = site.names(value, site.sorts(value), without=frozenset(("self", "cls")))
    for name, unlikely in names[:8]:
        binding = site.scope.visible()[name]
        if binding.origin == "parameter":
            yield Edit((site.replaced(value, name),), f"`{old}` becomes `{name}`", 0.4 + unlikely)
            if isinstance(value, (ast.List, ast.Constant)):
                yield Edit(
                    (site.replaced(value, f"[{name}]"),), f"`{old}` becomes `[{name}]`", 0.8 + unlikely
                )
            if isinstance(value, (ast.Set, ast.Call)):
                yield Edit(
                    (site.replaced(value, f"{{{name}}}"),), f"`{old}` becomes `{{{name}}}`", 0.8 + unlikely
                )
            if "collection" in binding.sorts:
                yield Edit(
                    (site.replaced(value, f"{name}[0]"),), f"`{old}` becomes `{name}[0]`", 0.8 + unlikely
                )


def accumulate(site: Site) -> Iterator[Edit]:
    """`x = e` becomes `x = max(x, e)`, `min(x, e)`, `x + e`, `x += e`; `x += e` becomes `x = e`."""
    statement = site.statement
    if (
        not isinstance(statement, ast.Assign)
        or len(statement.targets) != 1
        or isinstance(statement.targets[0], (ast.Tuple, ast.List))
    ):
        return
    target = site.text(statement.targets[0])
    value = site.source.piece(statement.value)
    before_ = any(
        isinstance(node, ast.Name) and node.id == target
        for node in ast.walk(site.scope.node)
        if node is not statement.targets[0]
    )
    weight = 0.0 if before_ or isinstance(statement.targets[0], (ast.Subscript, ast.Attribute)) else 2.0
    for rank, (text, binds) in enumerate(
        (
            (f"max({target}, {value.text})", tight.ATOM),
            (f"min({target}, {value.text})", tight.ATOM),
            (f"{target} + {value.within(tight.TERM)}", tight.SUM),
            (f"{target} or {value.within(tight.AND)}", tight.OR),
            (f"{target} and {value.within(tight.NOT)}", tight.AND),
            (f"{target} | {value.within(tight.BIT_XOR)}", tight.BIT_OR),
        )
    ):
        yield Edit(
            (site.replaced(statement.value, Piece(text, binds)),),
            f"`{target} = {value.text}` becomes `{target} = {text}`",
            weight + 0.25 * rank,
        )


def default(site: Site) -> Iterator[Edit]:
    """A default that is made once becomes one that each call makes; another default."""
    statement = site.statement
    if not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return
    arguments = statement.args
    positional = [*arguments.posonlyargs, *arguments.args]
    pairs = [*zip(positional[len(positional) - len(arguments.defaults) :], arguments.defaults, strict=True)]
    pairs += [
        (argument, value)
        for argument, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        if value is not None
    ]
    for argument, value in pairs:
        old = site.text(value)
        name = argument.arg
        if (
            isinstance(value, (ast.List, ast.Dict, ast.Set, ast.Call))
            and statement.body[0].lineno > statement.lineno
        ):
            first = (
                statement.body[1]
                if is_docstring(statement.body[0]) and len(statement.body) > 1
                else statement.body[0]
            )
            at = site.source.line_start(first.lineno)
            indent = site.source.indent(first.lineno)
            inner = step(site) if indent.startswith("\t") else "    "
            line = site.source.newline
            text = f"{indent}if {name} is None:{line}{indent}{inner}{name} = {old}{line}"
            changes = (site.replaced(value, "None"), Change(at, at, text))
            yield Edit(changes, f"the default of `{name}` is made by each call", 0.0)
        for rank, text in enumerate(
            each for each in ("None", "True", "False", "0", "1", "''", "()") if each != old
        ):
            yield Edit(
                (site.replaced(value, text),), f"the default of `{name}` becomes `{text}`", 0.8 + 0.25 * rank
            )
