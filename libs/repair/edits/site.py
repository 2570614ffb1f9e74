"""Where edits are made: a statement with its file, its names and its neighbours."""

from __future__ import annotations

import ast
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import NamedTuple, TypeVar

from libs.repair.edits.acceptance import Unit, first_line, future, unit
from libs.repair.edits.scopes import BUILTINS, Binding, Scope, children
from libs.repair.edits.sorts import Sorts, likeness, made, used
from libs.repair.edits.source import Change, Piece, Source, demanded
from libs.verification import syntax

_Node = TypeVar("_Node", bound=ast.AST)
_BLOCKS = ("body", "orelse", "finalbody")
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
#: Expressions of more nodes than this are no ingredients: what is copied is to stay small.
_SMALL = 12


class Edit(NamedTuple):
    """What an operator of one kind proposes."""

    changes: tuple[Change, ...]
    description: str
    #: Nats beyond the cost of the kind: how unlikely this substitute is among those of its kind.
    surprise: float = 0.0
    #: Why it answers to the tested inputs alone; empty otherwise.
    special_case: str = ""


class Module:
    """A file that may be edited. Raises what `ast.parse` raises."""

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self.source = Source(text)
        self.tree = syntax.parse(text)
        self.flags = future(self.tree)
        self.scope = Scope(self.tree, None)

    def sites(self) -> Iterator[Site]:
        """Statements in order, those of functions with their function's unit."""
        whole = Unit(0, len(self.source.text), indented=False)
        yield from self._sites(self.tree, self.scope, whole, None)

    def _sites(
        self, owner: ast.AST, scope: Scope, around: Unit, handler: ast.excepthandler | None
    ) -> Iterator[Site]:
        for field in _BLOCKS:
            block = getattr(owner, field, None)
            if isinstance(block, list):
                for index, statement in enumerate(block):
                    alone = around if scope.is_function else unit(self.source, statement) or around
                    # A loop's `break` or `try`'s handler compiles only where it stands.
                    within = (
                        around
                        if not isinstance(owner, (ast.Module, ast.ClassDef))
                        and not isinstance(statement, _DEFINITIONS)
                        else alone
                    )
                    yield Site(self, statement, scope, within, block, index, owner)
                    inner = Scope(statement, scope) if isinstance(statement, _DEFINITIONS) else scope
                    yield from self._sites(statement, inner, within, handler)
        for each in getattr(owner, "handlers", ()):
            yield from self._sites(each, scope, around, each)
        for each in getattr(owner, "cases", ()):
            yield from self._sites(each, scope, around, handler)

    @cached_property
    def strings(self) -> Counter[str]:
        """String constants of the file that are no docstrings."""
        return Counter(value for value in self._constants if isinstance(value, str))

    @cached_property
    def literals(self) -> frozenset[tuple[type, object]]:
        """Every constant of the file."""
        return frozenset((type(value), value) for value in self._constants)

    @cached_property
    def _constants(self) -> list[object]:
        prose = {id(node.value) for node in ast.walk(self.tree) if isinstance(node, ast.Expr)}
        return [
            node.value
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Constant) and id(node) not in prose
        ]

    @cached_property
    def calls(self) -> dict[str, list[ast.Call]]:
        """Calls of the file by the name of function or method."""
        found: dict[str, list[ast.Call]] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call) and (name := called(node)):
                found.setdefault(name, []).append(node)
        return found

    @cached_property
    def functions(self) -> dict[str, list[ast.FunctionDef | ast.AsyncFunctionDef]]:
        """Functions and methods of the file by name."""
        found: dict[str, list[ast.FunctionDef | ast.AsyncFunctionDef]] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                found.setdefault(node.name, []).append(node)
        return found

    @cached_property
    def members(self) -> dict[str, Counter[str]]:
        """Attributes seen in the file, by the name of the object; those of `self` by class as `Class.self`."""
        found: dict[str, Counter[str]] = {}
        stack: list[tuple[ast.AST, str]] = [(self.tree, "")]
        while stack:
            node, owner = stack.pop()
            if isinstance(node, ast.ClassDef):
                owner = node.name
            if isinstance(node, ast.Attribute):
                key = (
                    f"{owner}.self"
                    if isinstance(node.value, ast.Name) and node.value.id == "self"
                    else ast.unparse(node.value)
                )
                found.setdefault(key, Counter())[node.attr] += 1
            stack.extend((child, owner) for child, _ in children(node))
        return found

    @cached_property
    def conditions(self) -> list[ast.expr]:
        """Conditions of the file."""
        return [*conditions(self.tree)]


def called(node: ast.Call) -> str:
    """Name of the function or method of a call; empty for what has none."""
    match node.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def conditions(root: ast.AST) -> Iterator[ast.expr]:
    """What `if`, `while`, `assert` and filters ask below a node, with the parts of `and` and `or`."""
    for node in ast.walk(root):
        match node:
            case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test) | ast.Assert(test=test):
                yield test
                if isinstance(test, ast.BoolOp):
                    yield from test.values
            case ast.comprehension(ifs=ifs):
                yield from ifs


def size(node: ast.AST) -> int:
    """Nodes of a tree, contexts and operators left out."""
    return sum(1 for each in ast.walk(node) if isinstance(each, (ast.expr, ast.keyword, ast.comprehension)))


class Site:
    """A statement that may be edited."""

    def __init__(
        self,
        module: Module,
        statement: ast.stmt,
        scope: Scope,
        within: Unit,
        block: list[ast.stmt],
        index: int,
        owner: ast.AST,
    ) -> None:
        self.module = module
        self.source = module.source
        self.statement = statement
        #: The innermost function, class or module around the statement.
        self.scope = scope
        #: The part of the file that shows whether an edit compiles.
        self.unit = within
        self.block = block
        self.index = index
        #: What holds the block: a compound statement, handler, function, class or module.
        self.owner = owner

    @cached_property
    def last_line(self) -> int:
        """Last line of a simple statement, or of what stands before a compound statement's block."""
        body = getattr(self.statement, "body", None) or getattr(self.statement, "cases", None)
        end = self.statement.end_lineno or self.statement.lineno
        if not isinstance(body, list):
            return end
        first = body[0]
        below = first_line(first) if isinstance(first, ast.stmt) else first.pattern.lineno
        return max(self.statement.lineno, below - 1)

    def lines(self) -> range:
        """Lines whose suspicion is the statement's."""
        return range(first_line(self.statement), self.last_line + 1)

    @cached_property
    def places(self) -> list[tuple[ast.AST, ast.AST, str]]:
        """Expressions of the statement in order, each with its parent and field; blocks left out.

        What is inside an f-string is left out too: before 3.12 Python does not tell where it stands.
        """
        found: list[tuple[ast.AST, ast.AST, str]] = []
        stack: list[tuple[ast.AST, ast.AST, str]] = [(self.statement, self.statement, "")]
        while stack:
            node, parent, field = stack.pop()
            if node is not self.statement:
                if isinstance(node, (ast.stmt, ast.match_case)):
                    continue
                found.append((node, parent, field))
                if isinstance(node, ast.JoinedStr):
                    continue
            stack.extend((child, node, name) for child, name in reversed([*children(node)]))
        return found

    @cached_property
    def _parents(self) -> dict[int, tuple[ast.AST, str]]:
        return {id(node): (parent, field) for node, parent, field in self.places}

    def nodes(self, kind: type[_Node]) -> Iterator[_Node]:
        """Nodes of a class in the statement, blocks left out, outer ones first."""
        return (node for node, _, _ in self.places if isinstance(node, kind))

    def parent(self, node: ast.AST) -> tuple[ast.AST, str]:
        """Parent of a node of the statement and the field that holds it."""
        return self._parents[id(node)]

    def is_value(self, node: ast.AST) -> bool:
        """Whether an expression is read where it stands, and may give way to another."""
        if (
            not isinstance(node, ast.expr)
            or isinstance(node, (ast.Starred, ast.Slice))
            or not isinstance(getattr(node, "ctx", ast.Load()), ast.Load)
        ):
            return False
        parent, field = self.parent(node)
        return field not in ("annotation", "returns", "decorator_list", "bases") and not isinstance(
            parent, (ast.JoinedStr, ast.FormattedValue)
        )

    def text(self, node: ast.expr | ast.stmt | ast.keyword | ast.arg) -> str:
        """A node as it is written."""
        return self.source.segment(node)

    def replaced(self, node: ast.expr, new: Piece | str) -> Change:
        """The change that puts another expression into the place of a node."""
        piece = Piece(new) if isinstance(new, str) else new
        parent, field = self.parent(node)
        start, end = self.source.span(node)
        demand = demanded(parent, field, node)
        if (
            piece.binds < demand
            and self.source.text[:start].endswith("(")
            and self.source.text[end:].startswith(")")
            and not isinstance(parent, ast.Call)
        ):
            demand = 0
        return Change(start, end, piece.within(demand))

    def sorts(self, node: ast.expr) -> Sorts:
        """What sort of value an expression is, from how it is made, named and used."""
        found = made(node)
        if isinstance(node, ast.Name):
            found = found | self.scope.sorts(node.id)
        if not found and id(node) in self._parents:
            found = used(node, *self.parent(node))
        return found

    def names(
        self, near: ast.AST, wanted: Sorts, *, without: frozenset[str] = frozenset()
    ) -> list[tuple[str, float]]:
        """Names that may be read at a node, likeliest first, each with its surprise in nats.

        Likely is what is of the wanted sort, of the same function, and used close by.
        """
        line = getattr(near, "lineno", self.statement.lineno)
        found: list[tuple[float, str]] = []
        for name, binding in self.scope.visible().items():
            if name in without or not self._meaningful(binding, near):
                continue
            sorts: Sorts = frozenset(binding.sorts)  # type: ignore[arg-type]
            chance = likeness(wanted, sorts)
            if binding.origin in ("function", "class", "import"):
                chance *= 0.1
            elif name not in self.scope.bindings:
                chance *= 0.5
            distance = min((abs(line - each) for each in binding.lines), default=50)
            found.append((chance / (1 + min(distance, 40) / 20), name))
        found.sort(key=lambda pair: (-pair[0], pair[1]))
        total = sum(chance for chance, _ in found) or 1.0
        return [
            (name, 0.5 * surprise(chance / total) + 0.1 * rank) for rank, (chance, name) in enumerate(found)
        ]

    def _meaningful(self, binding: Binding, near: ast.AST) -> bool:
        if binding.name.startswith("__"):
            return False
        if binding.inside is None or binding.origin != "comprehension":
            return True
        node: ast.AST = near
        while id(node) in self._parents:
            node = self._parents[id(node)][0]
            if node is binding.inside:
                return True
        return False

    def members(self, base: ast.expr) -> Mapping[str, int]:
        """Attributes seen on the same object elsewhere in the file, with how often."""
        if isinstance(base, ast.Name) and base.id == "self":
            owner = self.scope.owner
            return self.module.members.get(f"{owner.name}.self" if owner else ".self", {})
        return self.module.members.get(ast.unparse(base), {})

    @cached_property
    def function(self) -> ast.AST:
        """The outermost function around the statement, or the statement itself."""
        scope, outer = self.scope, None
        while scope is not None and scope.is_function:
            outer, scope = scope.node, scope.parent  # type: ignore[assignment]
        return outer if outer is not None else self.statement

    def known(self, name: str) -> bool:
        """Whether a name means something here."""
        return name in self.scope.visible() or name in BUILTINS

    def usable(self, node: ast.expr, near: ast.AST) -> bool:
        """Whether every name of an expression from elsewhere means something at a node here."""
        bound = {
            each.id
            for each in ast.walk(node)
            if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
        }
        visible = self.scope.visible()
        for each in ast.walk(node):
            if isinstance(each, (ast.Yield, ast.YieldFrom, ast.Await, ast.NamedExpr, ast.JoinedStr)):
                return False
            if isinstance(each, ast.Name) and each.id not in bound:
                binding = visible.get(each.id)
                if not (self._meaningful(binding, near) if binding is not None else each.id in BUILTINS):
                    return False
        return True

    def ingredients(self) -> list[ast.expr]:
        """Small expressions of the outermost function, each once, in order of appearance."""
        return ingredients(self.function)


def surprise(chance: float) -> float:
    """Nats of a chance in (0, 1]."""
    return -math.log(max(chance, 1e-6))


def ingredients(root: ast.AST) -> list[ast.expr]:
    """Small expressions below a node that are read, each once, in order of appearance."""
    kept: list[ast.expr] | None = getattr(root, "_ingredients", None)
    if kept is not None:
        return kept
    found: dict[str, ast.expr] = {}
    stack: list[ast.AST] = [root]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.JoinedStr):
            continue
        if (
            isinstance(node, ast.expr)
            and not isinstance(node, (ast.Starred, ast.Slice, ast.Constant))
            and isinstance(getattr(node, "ctx", ast.Load()), ast.Load)
            and size(node) <= _SMALL
        ):
            found.setdefault(ast.unparse(node), node)
        stack.extend(
            reversed([child for child, field in children(node) if field not in ("annotation", "returns")])
        )
    root._ingredients = [*found.values()]  # type: ignore[attr-defined]
    return root._ingredients  # type: ignore[attr-defined, no-any-return]
