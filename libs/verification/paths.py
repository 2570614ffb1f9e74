"""Tells by its path what a file is for: testing, configuring tools, integrating, or none of these."""

from __future__ import annotations

import fnmatch
import re
import shlex
from collections.abc import Collection, Iterable
from pathlib import PurePosixPath

_TEST_FILE = re.compile(
    r"^(?:test_.*\.py|.*_test\.py|tests\.py|.*[.-](?:test|spec)\.[cm]?[jt]sx?|.*_test\.go|.*_(?:test|spec)\.rb"
    r"|.*Tests?\.(?:java|kt|cs|php))$"
)
_TEST_FOLDER = re.compile(
    r"^(?:.*[_-])?(?:tests?|testing|testcases?|testdata|unittests?|__tests__|__snapshots__)(?:[_-].*)?$"
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_CONFIGURATION = _words(
    """
    conftest.py pytest.ini .pytest.ini pytest.toml .pytest.toml tox.ini tox.toml setup.cfg setup.py
    pyproject.toml noxfile.py makefile gnumakefile justfile taskfile.yml taskfile.yaml .coveragerc
    mypy.ini .mypy.ini ruff.toml .ruff.toml .flake8 .pylintrc pylintrc .bandit .pre-commit-config.yaml
    sitecustomize.py usercustomize.py .gitattributes .gitmodules .env .envrc pyvenv.cfg hatch.toml
    package.json nose2.cfg unittest.cfg .noserc pytest_plugins.py pyrightconfig.json .nycrc
    .mocharc.json .mocharc.yml phpunit.xml phpunit.xml.dist
    """
)
_CONFIGURATION_PATTERN = re.compile(r"^(?:jest|vitest|karma|babel|playwright|cypress)\.(?:config|conf)\..*$")
_CONFIGURATION_SUFFIXES = (".pth", ".egg-link")
_CONFIGURATION_FOLDERS = (".dist-info", ".egg-info")
_CI_FILES = _words(
    """
    .gitlab-ci.yml .travis.yml azure-pipelines.yml jenkinsfile .drone.yml appveyor.yml .appveyor.yml
    bitbucket-pipelines.yml .cirrus.yml .woodpecker.yml codecov.yml .codecov.yml
    """
)
_CI_FOLDERS = frozenset((".github", ".gitlab", ".circleci", ".buildkite", ".ci", ".woodpecker"))
_COMPILED = (".pyc", ".pyo", ".pyd", ".so")
_DOCS = re.compile(
    r"(?:^|/)(?:docs?|documentation)/|\.(?:md|rst|adoc)$|(?:^|/)(?:changes|changelog|news)[^/]*$", re.I
)
_SCRIPT_RUNNER = re.compile(r"(?:^|/)(?:python[\d.]*|pypy[\d.]*|sh|bash|dash|zsh|node|ruby|perl|source|\.)$")
_SEPARATORS = frozenset(("&&", "||", ";", "|", "&", "(", ")", "then", "do", "!", "exec", "time", "env"))


def is_configuration(path: str) -> bool:
    """Tell whether a file steers tests, tools, the interpreter's start or continuous integration."""
    pure = PurePosixPath(path)
    name = pure.name.lower()
    return (
        name in _CONFIGURATION
        or name in _CI_FILES
        or name.endswith(_CONFIGURATION_SUFFIXES)
        or bool(_CONFIGURATION_PATTERN.match(name))
        or any(part.lower() in _CI_FOLDERS for part in pure.parts[:-1])
        or any(part.lower().endswith(_CONFIGURATION_FOLDERS) for part in pure.parts[:-1])
    )


def is_compiled(path: str) -> bool:
    """Tell whether Python would load a file without its source being read by anybody."""
    pure = PurePosixPath(path)
    return pure.name.lower().endswith(_COMPILED) or "__pycache__" in pure.parts


def is_documentation(path: str) -> bool:
    """Tell whether a file is written for people."""
    return bool(_DOCS.search(path))


def is_permitted(path: str, patterns: Iterable[str]) -> bool:
    """Tell whether the task lets the change edit a protected file: by path, folder or glob pattern."""
    return any(
        path == pattern.removeprefix("./").rstrip("/")
        or path.startswith(pattern.removeprefix("./").rstrip("/") + "/")
        or fnmatch.fnmatchcase(path, pattern.removeprefix("./"))
        for pattern in patterns
    )


class Layout:
    """What the files of the base are for; built from the base's tree, commands and collected tests."""

    def __init__(
        self, files: Collection[str], commands: Iterable[str] = (), collected: Iterable[str] = ()
    ) -> None:
        self.files = frozenset(files)
        self.named = frozenset(path for command in commands for path in _named(command, self.files))
        self.collected = frozenset(collected) & self.files
        #: Folders that hold tests or their data.
        self.test_folders = self._find_test_folders()

    def is_test(self, path: str) -> bool:
        """Tell whether a path is a test file, or data in a folder of tests."""
        if _TEST_FILE.match(PurePosixPath(path).name) or path in self.collected:
            return True
        return any(str(folder) in self.test_folders for folder in PurePosixPath(path).parents)

    def is_protected(self, path: str) -> bool:
        """Tell whether what stands on the base under this path must stay as it is."""
        return self.is_test(path) or is_configuration(path) or path in self.named

    def _find_test_folders(self) -> frozenset[str]:
        """Find folders that are named for tests and hold some, or hold nothing but data.

        A package of the product may be called `testing` too: it holds Python files, and no tests.
        """
        holds_python: set[str] = set()
        holds_tests: set[str] = set()
        named: set[str] = set()
        for path in self.files:
            pure = PurePosixPath(path)
            below = [str(folder) for folder in pure.parents if str(folder) != "."]
            named.update(folder for folder in below if _TEST_FOLDER.match(PurePosixPath(folder).name.lower()))
            if path in self.collected or _TEST_FILE.match(pure.name):
                holds_tests.update(below)
            if pure.suffix == ".py" and pure.name != "__init__.py":
                holds_python.update(below)
        return frozenset(folder for folder in named if folder in holds_tests or folder not in holds_python)


def _named(command: str, files: Collection[str]) -> list[str]:
    """Find the files that a command names: scripts it runs, and anything that is not Python code."""
    try:
        lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words = list(lexer)
    except ValueError:
        words = command.split()
    found = []
    starts = True
    runner = False
    previous = ""
    for word in words:
        if word in _SEPARATORS:
            starts, runner = True, False
            continue
        if starts and re.match(r"^[A-Za-z_]\w*=", word):
            continue
        path = str(PurePosixPath(word.rpartition("=")[2].partition("::")[0]))
        if path in files and (starts or runner or not path.endswith(".py")):
            found.append(path)
        # Options of an interpreter may stand between it and its script; `-m` and `-c` mean that there is none.
        if not (runner and previous in ("-X", "-W")):
            option = word.startswith("-") and word not in ("-m", "-c")
            runner = bool(_SCRIPT_RUNNER.search(word)) or (runner and option)
        previous = word
        starts = False
    return found
