"""Where edits are made: a statement with its file, its names and its neighbours."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import NamedTuple, TypeVar

from libs.repair.edits.acceptance import Unit, first_line, unit
from libs.repair.edits.module import Module
from libs.repair.edits.scopes import BUILTINS, Binding, Scope, children
from libs.repair.edits.sorts import Sorts, likeness, made, used
from libs.repair.edits.source import Change, Piece, demanded

_Node = TypeVar("_Node", bound=ast.AST)
_BLOCKS = ("body", "orelse", "finalbody")
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class Edit(NamedTuple):
    """What an operator of one kind proposes."""

    changes: tuple[Change, ...]
    description: str
    #: Nats beyond the cost of the kind: how unlikely this substitute is among those of its kind.
    surprise: float = 0.0
    #: Why it answers to the tested inputs alone; empty otherwise.
    special_case: str = ""


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

    def suspicion(self, scores: Mapping[tuple[str, int], float]) -> float:
        """Suspicion of the statement: that of its most suspicious line, blocks left out.

        The head of a function runs when the file is imported, so it gets half of what its first statements have; the
        head of an `except` belongs to its `try`.
        """
        path = self.module.path
        lines = [*range(first_line(self.statement), self.last_line + 1)]
        lines += [handler.lineno for handler in getattr(self.statement, "handlers", ())]
        own = max((scores.get((path, line), 0.0) for line in lines), default=0.0)
        if isinstance(self.statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
            own = max(own, *(0.5 * scores.get((path, each.lineno), 0.0) for each in self.statement.body[:3]))
        return own

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
            sorts: Sorts = frozenset(binding.sorts)
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
        return self.module.ingredients(self.function)


def surprise(chance: float) -> float:
    """Nats of a chance in (0, 1]."""
    return -math.log(max(chance, 1e-6))


def sites(module: Module) -> Iterator[Site]:
    """Statements of a file, outer ones first."""
    yield from _sites(module, module.tree, module.scope, Unit(0, len(module.source.text), indented=False))


def _sites(module: Module, owner: ast.AST, scope: Scope, around: Unit) -> Iterator[Site]:
    for field in _BLOCKS:
        for index, statement in enumerate(block := getattr(owner, field, None) or []):
            definition = isinstance(statement, _DEFINITIONS)
            # Inside a function all belongs to it; a `break` or `except` of a branch compiles only with what it is in.
            alone = not scope.is_function and (definition or isinstance(owner, (ast.Module, ast.ClassDef)))
            within = (unit(module.source, statement) if alone else None) or around
            yield Site(module, statement, scope, within, block, index, owner)
            yield from _sites(module, statement, Scope(statement, scope) if definition else scope, within)
    for each in (*getattr(owner, "handlers", ()), *getattr(owner, "cases", ())):
        yield from _sites(module, each, scope, around)
