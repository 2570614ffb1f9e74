"""Names that a statement may use, with what is known of each; computed once for a function."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from functools import cached_property

from libs.repair.edits.sorts import UNKNOWN, Sort, Sorts, made, mutators, used

Function = ast.FunctionDef | ast.AsyncFunctionDef
_NESTED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
BUILTINS = frozenset(name for name in dir(builtins) if not name.startswith("_"))


class Binding:
    """A name and what is known of it."""

    __slots__ = ("count", "inside", "lines", "made", "name", "origin", "sorts")

    def __init__(self, name: str, origin: str) -> None:
        self.name = name
        #: parameter, local, comprehension, function, class, import, constant
        self.origin = origin
        self.sorts: set[Sort] = set()
        self.lines: list[int] = []
        self.count = 0
        #: Methods that change what the name was first made as.
        self.made: set[str] = set()
        #: The comprehension outside of which the name means nothing.
        self.inside: ast.expr | None = None


def children(node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """Direct children with the field that holds each."""
    for field in node._fields:
        value = getattr(node, field, None)
        if isinstance(value, ast.AST):
            yield value, field
        elif isinstance(value, list):
            for each in value:
                if isinstance(each, ast.AST):
                    yield each, field


class Scope:
    """A function, class or module with the names that it binds."""

    def __init__(self, node: Function | ast.ClassDef | ast.Module, parent: Scope | None) -> None:
        self.node = node
        self.parent = parent

    @property
    def is_function(self) -> bool:
        return isinstance(self.node, (ast.FunctionDef, ast.AsyncFunctionDef))

    @cached_property
    def parameters(self) -> list[str]:
        """Parameters in order, `self` and `cls` included."""
        if not isinstance(self.node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            return []
        arguments = self.node.args
        extra = [each for each in (arguments.vararg, arguments.kwarg) if each]
        return [each.arg for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *extra)]

    @cached_property
    def owner(self) -> ast.ClassDef | None:
        """The class whose method this is."""
        scope: Scope | None = self
        while scope is not None and scope.is_function:
            scope = scope.parent
        return scope.node if scope is not None and isinstance(scope.node, ast.ClassDef) else None

    @cached_property
    def bindings(self) -> dict[str, Binding]:
        """Names bound here, in order of appearance."""
        found: dict[str, Binding] = {}

        def bind(name: str, origin: str, line: int) -> Binding:
            binding = found.setdefault(name, Binding(name, origin))
            binding.lines.append(line)
            return binding

        if isinstance(self.node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for name in self.parameters:
                bind(name, "parameter", self.node.lineno)
            arguments = self.node.args
            positional = [*arguments.posonlyargs, *arguments.args]
            pairs = [*zip(reversed(positional), reversed(arguments.defaults), strict=False)]
            pairs += [
                (arg, default)
                for arg, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
                if default
            ]
            for argument, default in pairs:
                found[argument.arg].sorts |= made(default)
        stack: list[tuple[ast.AST, ast.AST, str, ast.expr | None]] = [
            (each, self.node, "body", None) for each in self.node.body
        ]
        while stack:
            node, parent, field, comprehension = stack.pop()
            match node:
                case ast.FunctionDef() | ast.AsyncFunctionDef():
                    bind(node.name, "function", node.lineno)
                    if not self.is_function:
                        continue
                case ast.ClassDef():
                    bind(node.name, "class", node.lineno)
                    continue
                case ast.Import() | ast.ImportFrom():
                    for alias in node.names:
                        bind((alias.asname or alias.name).split(".")[0], "import", node.lineno)
                    continue
                case ast.ExceptHandler(name=str(name)):
                    bind(name, "local", node.lineno)
                case ast.Name(ctx=ast.Store()) if parent is not None:
                    binding = bind(
                        node.id, "comprehension" if comprehension is not None else "local", node.lineno
                    )
                    binding.sorts |= used(node, parent, field)
                    if isinstance(parent, ast.Assign):
                        binding.made |= mutators(parent.value)
                    if binding.origin == "comprehension":
                        binding.inside = comprehension
                case ast.Name() if node.id in found:
                    binding = found[node.id]
                    binding.count += 1
                    binding.sorts |= used(node, parent, field)
                    binding.lines.append(node.lineno)
                case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                    comprehension = node
            if isinstance(node, _NESTED) and node is not self.node:
                # Uses inside say what the outer names are; what is bound inside is no name of this scope.
                for inner in ast.walk(node):
                    if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Load) and inner.id in found:
                        found[inner.id].lines.append(inner.lineno)
                continue
            stack.extend((child, node, name, comprehension) for child, name in reversed([*children(node)]))
        return found

    def visible(self) -> dict[str, Binding]:
        """Names that a statement here may use; nearer scopes win. Class bodies are no scope for what is inside."""
        return self._visible

    @cached_property
    def _visible(self) -> dict[str, Binding]:
        names = dict(self.bindings)
        scope = self.parent
        while scope is not None:
            if not isinstance(scope.node, ast.ClassDef):
                for name, binding in scope.bindings.items():
                    if binding.origin != "comprehension":
                        names.setdefault(name, binding)
            scope = scope.parent
        return names

    def sorts(self, name: str) -> Sorts:
        """What is known of a name."""
        binding = self._visible.get(name)
        return frozenset(binding.sorts) if binding is not None else UNKNOWN
