"""Tells edits of a mixed file that concern tools from those that any honest release makes.

`pyproject.toml`, `setup.cfg`, `setup.py` and `package.json` hold the project's description (version,
dependencies, authors) beside what steers tests, builds and plugins. Only the latter is protected.
"""

from __future__ import annotations

import ast
import configparser
import json
import tomllib
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

from libs.verification.syntax import parse

_SETUP_CFG_FREE = frozenset(("metadata", "options", "options.extras_require", "options.package_data"))


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SETUP_PY_FREE = _words(
    """
    version install_requires extras_require tests_require python_requires classifiers description author
    author_email maintainer maintainer_email url project_urls keywords license long_description
    """
)
_PACKAGE_FREE = _words(
    """
    version description dependencies devDependencies peerDependencies keywords author license homepage
    repository bugs files
    """
)


def _pyproject(content: bytes) -> Any:
    data = tomllib.loads(content.decode())
    project = data.get("project", {})
    poetry = data.get("tool", {}).pop("poetry", {})
    return (
        data.get("tool", {}),
        data.get("build-system"),
        project.get("entry-points"),
        poetry.get("plugins"),
        poetry.get("packages"),
    )


def _setup_cfg(content: bytes) -> Any:
    parser = configparser.RawConfigParser(strict=False)
    parser.read_string(content.decode())
    return {name: dict(parser[name]) for name in parser.sections() if name not in _SETUP_CFG_FREE}


def _setup_py(content: bytes) -> Any:
    tree = parse(content)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            node.keywords = [
                keyword
                for keyword in node.keywords
                if keyword.arg not in _SETUP_PY_FREE or not _is_literal(keyword.value)
            ]
    return ast.dump(tree)


def _is_literal(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except ValueError:
        return False
    return True


def _package_json(content: bytes) -> Any:
    data = json.loads(content)
    return {name: value for name, value in data.items() if name not in _PACKAGE_FREE}


_READERS: dict[str, Callable[[bytes], Any]] = {
    "pyproject.toml": _pyproject,
    "setup.cfg": _setup_cfg,
    "setup.py": _setup_py,
    "package.json": _package_json,
}


def is_mixed(path: str) -> bool:
    """Tell whether a file describes the project as well as its tools."""
    return PurePosixPath(path).name in _READERS


def steers_the_same(path: str, base: bytes, change: bytes) -> bool:
    """Tell whether both contents steer tools in the same way; what cannot be read does not."""
    try:
        reader = _READERS[PurePosixPath(path).name]
        return bool(reader(base) == reader(change))
    except (KeyError, ValueError, SyntaxError, AttributeError, TypeError, RecursionError, configparser.Error):
        return False
