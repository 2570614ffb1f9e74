"""Which directories are shown for a PATH."""

from __future__ import annotations

from pathlib import Path

import pytest

from libs.sandbox.command import Mount
from libs.sandbox.interpreters import required_mounts


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home directory."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    return home


def python(prefix: Path) -> Path:
    """Make something that looks like a Python installation."""
    (prefix / "bin").mkdir(parents=True)
    (prefix / "bin" / "python3.12").touch()
    (prefix / "lib" / "python3.12").mkdir(parents=True)
    (prefix / "lib" / "python3.12" / "os.py").touch()
    return prefix


def venv(root: Path, program: Path) -> Path:
    """Make something that looks like a virtual environment of that interpreter."""
    (root / "bin").mkdir(parents=True)
    (root / "bin" / "python3").symlink_to(program)
    (root / "bin" / "python").symlink_to("python3")
    (root / "pyvenv.cfg").write_text(f"home = {program.parent}\nversion = 3.12.1\n", encoding="utf-8")
    return root


def shown(path: Path) -> Mount:
    return Mount(source=str(path), target=str(path))


def link(path: Path, to: Path) -> Mount:
    return Mount(source=str(to), target=str(path), link=True)


def test_an_environment_brings_its_root_and_the_prefix_it_was_made_from(home: Path) -> None:
    prefix = python(home / "pythons" / "3.12.1")
    root = venv(home / "code" / "venv", prefix / "bin" / "python3.12")

    assert required_mounts([str(root / "bin")]) == (shown(root), shown(prefix))


def test_a_prefix_that_is_reached_by_links_brings_them_along(home: Path) -> None:
    prefix = python(home / "pythons" / "3.12.1")
    (home / "pythons" / "3.12").symlink_to("3.12.1")
    (home / "bin").mkdir()
    (home / "bin" / "python3").symlink_to(home / "pythons" / "3.12" / "bin" / "python3.12")
    root = venv(home / "venv", home / "bin" / "python3")

    assert required_mounts([str(root / "bin")]) == (
        shown(prefix),
        shown(root),
        link(home / "bin" / "python3", prefix / "bin" / "python3.12"),
        link(home / "pythons" / "3.12", prefix),
    )


def test_an_environment_that_is_reached_by_a_link_is_found_under_both_names(
    home: Path, tmp_path: Path
) -> None:
    prefix = python(tmp_path / "python")
    root = venv(tmp_path / "real", prefix / "bin" / "python3.12")
    (tmp_path / "venv").symlink_to("real")

    assert required_mounts([str(tmp_path / "venv" / "bin")]) == (
        shown(prefix),
        shown(root),
        link(tmp_path / "venv", root),
    )


def test_a_directory_without_python_is_shown_alone(home: Path) -> None:
    (home / "tools").mkdir()

    assert required_mounts([str(home / "tools")]) == (shown(home / "tools"),)


def test_an_installation_is_shown_whole(tmp_path: Path, home: Path) -> None:
    prefix = python(tmp_path / "python")

    assert required_mounts([str(prefix / "bin")]) == (shown(prefix),)


def test_packages_of_the_user_do_not_make_a_prefix_of_a_home(home: Path) -> None:
    local = home / ".local"
    (local / "lib" / "python3.12" / "site-packages").mkdir(parents=True)
    (local / "bin").mkdir()
    (local / "bin" / "python3").symlink_to("/usr/bin/env")

    assert required_mounts([str(local / "bin")]) == (shown(local / "bin"),)


def test_a_home_is_never_shown_as_a_whole(home: Path) -> None:
    python(home)
    (home / "pyvenv.cfg").write_text("home = /usr/bin\n", encoding="utf-8")

    assert required_mounts([str(home), str(home / "bin")]) == (shown(home / "bin"),)


def test_what_holds_a_home_is_never_shown(home: Path) -> None:
    assert required_mounts([str(home.parent), "/", "/root", "/home", "/etc", "/tmp"]) == ()


def test_what_every_sandbox_has_needs_no_mount(home: Path) -> None:
    assert required_mounts(["/usr/bin", "/bin", "/usr/local/bin", "/nowhere", "relative", ""]) == ()


def test_links_that_lead_in_a_circle_end(home: Path) -> None:
    (home / "bin").mkdir()
    (home / "bin" / "python").symlink_to("python3")
    (home / "bin" / "python3").symlink_to("python")

    assert required_mounts([str(home / "bin")]) == (shown(home / "bin"),)
