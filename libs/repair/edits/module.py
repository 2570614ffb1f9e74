"""What a file holds: constants, calls, functions, attributes and conditions, each found when it is first asked for."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from functools import cached_property

from libs.repair.edits.acceptance import future
from libs.repair.edits.scopes import Scope, children
from libs.repair.edits.source import Source
from libs.verification import syntax

#: Expressions of more nodes than this are no ingredients: what is copied is to stay small.
_SMALL = 12


class Module:
    """A file that may be edited. Raises what `ast.parse` raises."""

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self.source = Source(text)
        self.tree = syntax.parse(text)
        self.flags = future(self.tree)
        self.scope = Scope(self.tree, None)
        self._conditions: dict[int, dict[str, ast.expr]] = {}
        self._ingredients: dict[int, list[ast.expr]] = {}

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

    def conditions(self, root: ast.AST) -> dict[str, ast.expr]:
        """Small conditions below a node, each once, by their normal form."""
        if id(root) not in self._conditions:
            small = [each for each in conditions(root) if size(each) <= _SMALL]
            self._conditions[id(root)] = {ast.unparse(each): each for each in reversed(small)}
        return self._conditions[id(root)]

    def ingredients(self, root: ast.AST) -> list[ast.expr]:
        """Small expressions below a node that are read, each once, in order of appearance."""
        if id(root) not in self._ingredients:
            self._ingredients[id(root)] = _ingredients(root)
        return self._ingredients[id(root)]


def _ingredients(root: ast.AST) -> list[ast.expr]:
    found: dict[str, ast.expr] = {}
    stack: list[ast.AST] = [root]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.JoinedStr):
            continue
        read = isinstance(node, ast.expr) and isinstance(getattr(node, "ctx", ast.Load()), ast.Load)
        if read and not isinstance(node, (ast.Starred, ast.Slice, ast.Constant)) and size(node) <= _SMALL:
            assert isinstance(node, ast.expr)
            found.setdefault(ast.unparse(node), node)
        stack.extend(
            reversed([child for child, field in children(node) if field not in ("annotation", "returns")])
        )
    return [*found.values()]


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
