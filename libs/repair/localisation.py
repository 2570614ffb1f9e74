"""Finds files to suspect where coverage says nothing: those that the failing tests import. Pure but for reading them."""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping
from pathlib import Path

from libs.repair.learning import Target
from libs.repair.suspicion import UNKNOWN
from libs.repair.trial import Place
from libs.verification.syntax import parse


def fallback(tree: Path, sources: Mapping[str, str], targets: Collection[Target]) -> dict[Place, float]:
    """Score the lines of functions in the files that the failing tests import; of all files, if they import none."""
    tests = named([target.command for target in targets])
    for target in targets:
        tests |= {name.partition("::")[0] for name in (*target.failing, *target.base.collect_errors)}
    names = {name for test in sorted(tests) for name in _imported(tree / test)}
    chosen = [path for path in sources if any(_is_module(path, name) for name in names)] or list(sources)
    return {(path, line): UNKNOWN for path in chosen for line in _lines(sources[path])}


def named(commands: Collection[str]) -> set[str]:
    """List paths that commands may name: files, and modules as in `python -m unittest tests.test_x.Case`."""
    words = " ".join(commands).replace("::", " ").split()
    paths = {word for word in words if word.endswith(".py")}
    parts = [word.split(".") for word in words if "/" not in word]
    return paths | {f"{'/'.join(part[:n])}.py" for part in parts for n in range(1, len(part) + 1)}


def is_test(text: str) -> bool:
    """Tell whether a module is made of tests whatever it is called: it imports a framework of tests."""
    try:
        module = parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return bool(_names(module) & {"pytest", "unittest"})


def _imported(path: Path) -> set[str]:
    if path.is_symlink() or not path.is_file():
        return set()
    try:
        module = parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    return _names(module)


def _names(module: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _is_module(path: str, name: str) -> bool:
    place = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return place == name or place.endswith(f".{name}")


def _lines(text: str) -> set[int]:
    """Lines of statements inside functions; of the whole module where there is no function."""
    try:
        module = parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    functions: list[ast.AST] = [
        node for node in ast.walk(module) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return {
        node.lineno
        for function in functions or [module]
        for node in ast.walk(function)
        if isinstance(node, ast.stmt)
    }
