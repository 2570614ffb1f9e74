"""Measures a change by reading it: size, complexity, names removed, placeholders, evasions."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Sequence

import lizard
from lizard_languages import get_reader_for  # type: ignore[import-untyped]

from libs.verification.checkout import Edit
from libs.verification.evasions import MAX_BYTES
from libs.verification.paths import Layout, is_configuration, is_documentation
from libs.verification.protection import Contents
from libs.verification.scrutiny import scrutinize
from libs.verification.syntax import parse
from libs.verification.tested import Constant, special_cases
from libs.verification.types import Facts

_MARKER = re.compile(r"\b(?:TODO|FIXME|XXX)\b")


async def measure(
    changes: Sequence[Edit],
    layout: Layout,
    protected: Collection[str],
    contents: Contents,
    tests: Collection[str],
    permitted: Collection[str] = (),
    tested: frozenset[Constant] = frozenset(),
) -> Facts:
    """Read both sides of every changed file; nothing is run.

    `permitted` files may reach where they like; `tested` are the constants of the tests that the change has to pass.
    """
    complexity = _Complexity()
    removed: list[str] = []
    placeholders: list[str] = []
    special: list[str] = []
    for change in changes:
        before, after = await contents(change.path)
        # Larger files are generated or data: measuring them says nothing about the change.
        if change.binary or len(before or b"") > MAX_BYTES or len(after or b"") > MAX_BYTES:
            continue
        complexity.add(change.path, before, after)
        product = not (layout.is_test(change.path) or is_configuration(change.path))
        if change.path.endswith(".py") and product:
            removed += _removed_names(change.path, before, after)
            placeholders += _placeholders(change.path, before, after)
            special += special_cases(change.path, before, after, tested)
    return Facts(
        files=tuple(change.path for change in changes),
        added_lines=sum(change.added for change in changes),
        removed_lines=sum(change.removed for change in changes),
        complexity_delta=complexity.delta,
        complexity_max=complexity.highest,
        protected_touched=tuple(sorted(protected)),
        tests_added=tuple(
            change.path for change in changes if change.status == "A" and layout.is_test(change.path)
        ),
        docs_touched=any(is_documentation(change.path) for change in changes),
        public_removed=tuple(removed),
        evasions=await scrutinize(changes, layout, contents, tests, permitted),
        placeholders=tuple(placeholders),
        special_cases=tuple(special),
    )


class _Complexity:
    def __init__(self) -> None:
        self.delta: int | None = None
        self.highest: int | None = None

    def add(self, path: str, before: bytes | None, after: bytes | None) -> None:
        old, new = _functions(path, before), _functions(path, after)
        if old is None or new is None:
            return
        self.delta = (self.delta or 0) + sum(new) - sum(old)
        if new:
            self.highest = max(self.highest or 0, *new)


def _functions(path: str, content: bytes | None) -> list[int] | None:
    """Give the cyclomatic complexity of each function; None for a language that cannot be measured."""
    if get_reader_for(path) is None:
        return None
    if content is None:
        return []
    try:
        measured = lizard.analyze_file.analyze_source_code(  # type: ignore[attr-defined]
            path, content.decode("utf-8", "replace")
        )
    except Exception:  # the measuring of hostile text may fail anyhow, and is then no measurement
        return None
    return [function.cyclomatic_complexity for function in measured.function_list]


def _parse(content: bytes | None) -> ast.Module | None:
    try:
        return parse(content or b"")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _removed_names(path: str, before: bytes | None, after: bytes | None) -> list[str]:
    old, new = _parse(before), _parse(after)
    if old is None or new is None:
        return []
    module = path.removesuffix(".py").removesuffix("/__init__").removeprefix("src/").replace("/", ".")
    return [f"{module}.{name}" for name in sorted(_public(old) - _public(new))]


def _public(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
            if isinstance(node, ast.ClassDef):
                names |= {
                    f"{node.name}.{one.name}"
                    for one in node.body
                    if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)
                }
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names if alias.asname}
    return {name for name in names if not any(part.startswith("_") for part in name.split("."))}


def _placeholders(path: str, before: bytes | None, after: bytes | None) -> list[str]:
    tree = _parse(after)
    if tree is None or after is None:
        return []
    old = _empty_functions(_parse(before) or ast.Module(body=[], type_ignores=[]))
    found = [f"{path}: {name} has no body" for name in sorted(_empty_functions(tree) - old)]
    known = set((before or b"").decode("utf-8", "replace").splitlines())
    for number, line in enumerate(after.decode("utf-8", "replace").splitlines(), start=1):
        if line not in known and (marker := _MARKER.search(line.partition("#")[2])):
            found.append(f"{path}:{number}: {marker.group()}")
    return found


def _empty_functions(tree: ast.Module) -> set[str]:
    return {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and not node.decorator_list
        and all(_says_nothing(statement) for statement in node.body)
    }


def _says_nothing(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Pass):
        return True
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    if isinstance(statement, ast.Raise) and statement.exc is not None:
        raised = statement.exc.func if isinstance(statement.exc, ast.Call) else statement.exc
        return isinstance(raised, ast.Name) and raised.id == "NotImplementedError"
    return False
