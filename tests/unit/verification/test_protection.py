from __future__ import annotations

import msgspec
import pytest

from libs.verification.configuration import steers_the_same
from libs.verification.paths import Layout, is_configuration, is_permitted
from libs.verification.protection import protect

BASE = (
    "README.md", "setup.py", "pyproject.toml", "src/shop/__init__.py", "src/shop/core.py", "src/shop/testing/fake.py",
    "tests/__init__.py", "tests/test_core.py", "tests/helpers.py", "tests/data/a.json", "json_testcases/b.json",
    "src/shop/json/__init__.py", "scripts/check.sh", "scripts/lint.py", ".github/workflows/ci.yml", "checks/money.py",
)  # fmt: skip
LAYOUT = Layout(
    BASE,
    ["bash scripts/check.sh", "python -m pytest tests", "python scripts/lint.py src"],
    ["checks/money.py"],
)


class Edit(msgspec.Struct, frozen=True):
    path: str
    status: str = "M"
    new_mode: str = "100644"


async def judged(
    *edits: Edit, permitted: tuple[str, ...] = (), texts: dict[str, tuple[str, str]] | None = None
) -> set[str]:
    async def contents(path: str) -> tuple[bytes | None, bytes | None]:
        before, after = (texts or {}).get(path, ("", ""))
        return before.encode(), after.encode()

    protection = await protect(
        LAYOUT,
        edits,
        permitted,
        contents,
        search_path=("", "src", "tests"),
        outside_modules=("wcwidth.table",),
    )
    return {f"{problem.code}" for problem in protection.problems}


@pytest.mark.parametrize(
    "path",
    [
        "tests/test_core.py", "tests/helpers.py", "tests/data/a.json", "json_testcases/b.json", "scripts/check.sh",
        "scripts/lint.py", ".github/workflows/ci.yml", "checks/money.py",
    ],
)  # fmt: skip
@pytest.mark.parametrize("status", ["M", "D", "T"])
async def test_what_judges_the_change_must_stay(path: str, status: str) -> None:
    assert await judged(Edit(path, status)) == {"protected_changed"}
    assert await judged(Edit(path, status), permitted=(path,)) == set()


@pytest.mark.parametrize("path", ["README.md", "src/shop/core.py", "src/shop/testing/fake.py"])
@pytest.mark.parametrize("status", ["M", "D"])
async def test_the_product_may_change(path: str, status: str) -> None:
    assert await judged(Edit(path, status)) == set()


@pytest.mark.parametrize(
    "path",
    [
        "conftest.py", "tests/conftest.py", "src/conftest.py", "pytest.ini", ".pytest.ini", "tox.ini", "setup.cfg",
        "noxfile.py", "Makefile", ".coveragerc", "sitecustomize.py", "src/usercustomize.py", "a.pth", ".gitattributes",
        ".github/workflows/x.yml", ".gitlab-ci.yml", "x.dist-info/entry_points.txt", "src/x.egg-info/PKG-INFO", ".env",
        "src/shop/core.pyc", "tests/__pycache__/test_core.cpython-311.pyc", "src/shop/fast.so",
    ],
)  # fmt: skip
async def test_nothing_that_steers_may_be_added(path: str) -> None:
    assert await judged(Edit(path, "A")) == {"configuration_added"}


@pytest.mark.parametrize(
    "path", ["tests/test_new.py", "tests/data/b.json", "src/shop/new.py", "src/shop/json/x.py"]
)
async def test_tests_and_product_may_be_added(path: str) -> None:
    assert await judged(Edit(path, "A")) == set()


@pytest.mark.parametrize(
    "path",
    ["pytest.py", "src/json.py", "tests/random.py", "wcwidth.py", "src/wcwidth/__init__.py", "_pytest/a.py"],
)
async def test_no_module_of_the_environment_may_be_shadowed(path: str) -> None:
    assert await judged(Edit(path, "A")) == {"module_shadowed"}


async def test_links_must_stay_inside() -> None:
    def link(target: str) -> dict[str, tuple[str, str]]:
        return {"src/data": ("", target)}

    edit = Edit("src/data", "A", "120000")
    for target in ("/etc", "../../other", "../.."):
        assert await judged(edit, texts=link(target)) == {"link_leaves_tree"}
    assert await judged(edit, texts=link("../tests/data")) == set()
    assert await judged(edit, texts=link("/etc"), permitted=("src/data",)) == {"link_leaves_tree"}


@pytest.mark.parametrize(
    ("path", "before", "after", "same"),
    [
        ("pyproject.toml", '[project]\nversion = "1"', '[project]\nversion = "2"\ndependencies = ["x"]', True),
        ("pyproject.toml", "", '[tool.pytest.ini_options]\naddopts = "-k x"', False),
        ("pyproject.toml", "", '[tool.ruff]\nexclude = ["src"]', False),
        ("pyproject.toml", "", '[build-system]\nrequires = []', False),
        ("pyproject.toml", "", '[project.entry-points.pytest11]\nx = "y"', False),
        ("pyproject.toml", '[tool.poetry]\nversion = "1"', '[tool.poetry]\nversion = "2"', True),
        ("pyproject.toml", "", "not toml", False),
        ("setup.cfg", "[metadata]\nversion = 1", "[metadata]\nversion = 2", True),
        ("setup.cfg", "[metadata]\nversion = 1", "[metadata]\nversion = 1\n[tool:pytest]\naddopts = -x", False),
        ("setup.cfg", "", "[options.entry_points]\npytest11 =\n  a = b", False),
        ("setup.py", "setup(name='a', version='1')", "setup(name='a', version='2')", True),
        ("setup.py", "setup(name='a')", "setup(name='a', entry_points={'pytest11': ['a = b']})", False),
        ("setup.py", "setup(name='a')", "import os\nsetup(name='a')", False),
        ("setup.py", "setup(version='1')", "setup(version=exec('1'))", False),
        ("package.json", '{"version": "1"}', '{"version": "2"}', True),
        ("package.json", '{"scripts": {"test": "jest"}}', '{"scripts": {"test": "true"}}', False),
    ],
)  # fmt: skip
async def test_only_the_part_of_a_mixed_file_that_steers_is_protected(
    path: str, before: str, after: str, same: bool
) -> None:
    assert steers_the_same(path, before.encode(), after.encode()) is same
    assert (await judged(Edit(path), texts={path: (before, after)}) == set()) is same


def test_a_folder_named_for_tests_that_holds_only_product_is_product() -> None:
    layout = Layout(["src/shop/testing/fake.py", "testing/test_a.py", "testing/tool.py"])

    assert not layout.is_protected("src/shop/testing/fake.py")
    assert layout.is_protected("testing/tool.py")


def test_product_code_that_a_command_merely_names_is_not_protected() -> None:
    layout = Layout(
        ["app.py", "run.py"], ["python -m py_compile app.py && FLAG=1 python -X dev run.py app.py"]
    )

    assert layout.named == {"run.py"}


def test_configuration_is_known_anywhere_and_in_any_case() -> None:
    assert is_configuration("a/b/conftest.py")
    assert is_configuration("makefile")
    assert not is_configuration("src/environment.py")


def test_permission_is_given_by_path_folder_or_pattern() -> None:
    assert is_permitted("tests/a/test_b.py", ["./tests/a/"])
    assert is_permitted("tests/test_b.py", ["tests/test_*.py"])
    assert not is_permitted("tests/test_b.py", ["tests/test_c.py", "test"])
