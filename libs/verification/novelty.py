"""Says which classes of a change decide anew when a value equals another: values of these may lie."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

import msgspec

from libs.verification.environment import TREE
from libs.verification.syntax import parse

#: What a class can define to make an assertion hold that its value does not deserve.
COMPARISONS = tuple(
    re.findall(
        r"\S+",
        """
    __eq__ __ne__ __lt__ __le__ __gt__ __ge__ __hash__ __bool__ __len__ __iter__ __contains__ __getitem__
    __int__ __float__ __index__ __abs__ __round__ __str__ __sub__ __rsub__ __add__ __radd__ __mul__ __rmul__
    __truediv__ __rtruediv__ keys items values
    """,
    )
)
_DEFINED = re.compile(rb"(?:def|class) +(\w+)|^(\w+) *=", re.M)
_JUDGES = frozenset(sys.stdlib_module_names) | {"pytest", "_pytest", "mock", "hypothesis"}


class Novelty(msgspec.Struct, frozen=True, kw_only=True):
    """What of the change's classes is new."""

    #: Python files that the change adds or edits, as the sandbox names them.
    files: tuple[str, ...] = ()
    #: Files that hold tests of the base, as the sandbox names them.
    tests: tuple[str, ...] = ()
    #: `file:class:method` of what the changed files define on the base already.
    known: tuple[str, ...] = ()
    #: Classes that the tests of the base ask for by their names: what they equal is what the tests are about.
    demanded: tuple[str, ...] = ()


def novelty(
    changed: Mapping[str, tuple[bytes | None, bytes | None]],
    tests: Mapping[str, bytes],
    others: Callable[[], Iterable[bytes]] = tuple,
) -> Novelty:
    """Compare the changed files, before and after, with what the base's tests speak of.

    `others` gives the product's other files; it is asked only where tests name a class that is new.
    """
    known: set[str] = set()
    classes: set[str] = set()
    functions: set[str] = set()
    added: set[str] = set()
    for path, (before, after) in changed.items():
        for node in _nodes(before):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                functions.add(node.name)
            elif isinstance(node, ast.ClassDef):
                classes.add(node.name)
                known.update(f"{TREE}/{path}:{node.name}:{name}" for name in _names(node.body))
        added |= {node.name for node in _nodes(after) if isinstance(node, ast.ClassDef)}
    spoken: set[str] = set()
    for content in tests.values():
        names, own = _spoken(content)
        spoken |= names
        functions |= own
    fresh = (added - classes - functions) & spoken
    if fresh:
        for content in others():
            fresh -= {name.decode() for pair in _DEFINED.findall(content) for name in pair}
    return Novelty(
        files=tuple(sorted(f"{TREE}/{path}" for path in changed)),
        tests=tuple(sorted(f"{TREE}/{path}" for path in tests)),
        known=tuple(sorted(known)),
        demanded=tuple(sorted(fresh | (classes & spoken - functions))),
    )


def _nodes(content: bytes | None) -> Iterator[ast.AST]:
    try:
        yield from ast.walk(parse(content or b""))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return


def _spoken(content: bytes) -> tuple[set[str], set[str]]:
    """List what a file of tests takes from modules that are no judges, and the functions that it defines."""
    names: set[str] = set()
    modules: set[str] = set()
    own: set[str] = set()
    nodes = list(_nodes(content))
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            own.add(node.name)
        elif isinstance(node, ast.Import):
            for name in node.names:
                if name.name.partition(".")[0] not in _JUDGES:
                    modules.add(name.asname or name.name.partition(".")[0])
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] not in _JUDGES:
            names.update(name.name for name in node.names)
            modules.update(name.asname or name.name for name in node.names)
    for node in nodes:
        if isinstance(node, ast.Attribute):
            root: ast.expr = node.value
            while isinstance(root, ast.Attribute):
                root = root.value
            if isinstance(root, ast.Name) and root.id in modules:
                names.add(node.attr)
    return names, own


def _names(body: Collection[ast.stmt]) -> set[str]:
    found: set[str] = set()
    for node in body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found.update(target.id for target in node.targets if isinstance(target, ast.Name))
    return found & set(COMPARISONS)
