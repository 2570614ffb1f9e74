"""What is refused before anything is started, and what every command gets."""

from __future__ import annotations

import marshal
from pathlib import Path
from typing import Any

import pytest

from libs.sandbox.command import Command, Mount
from libs.sandbox.errors import SandboxError
from libs.sandbox.layout import spec


def command(*mounts: Mount, **changed: Any) -> Command:
    return Command(**{"script": "true", "cwd": "/", "env": {}, "mounts": mounts, **changed})


@pytest.mark.parametrize(
    "target", ["/", "//", "/a/", "/a/../b", "/./a", "a", "/proc", "/proc/sys", "/dev/null", "/sys/x"]
)
def test_a_target_that_cannot_be_meant_is_refused(target: str) -> None:
    with pytest.raises(SandboxError) as caught:
        spec(command(Mount(source="/usr", target=target)))

    assert caught.value.stage == f"mount {target}"


def test_a_relative_source_is_refused() -> None:
    with pytest.raises(SandboxError, match="absolute"):
        spec(command(Mount(source="usr", target="/w")))


@pytest.mark.parametrize(
    ("changed", "stage"),
    [
        ({"cwd": "work"}, "working directory"),
        ({"pass_fds": (2,)}, "descriptors"),
        ({"script": "a\0b"}, "command"),
        ({"env": {"A=B": "x"}}, "command"),
        ({"env": {"": "x"}}, "command"),
        ({"env": {"A": "x\0"}}, "command"),
    ],
)
def test_a_command_that_cannot_be_meant_is_refused(changed: dict[str, Any], stage: str) -> None:
    with pytest.raises(SandboxError) as caught:
        spec(command(**changed))

    assert caught.value.stage == stage


def test_mounts_are_made_from_the_outside_in() -> None:
    inner, outer = Mount(source="/usr/lib", target="/u/lib"), Mount(source="/usr", target="/u")

    assert [bind["target"] for bind in spec(command(inner, outer))["mounts"]] == ["/u", "/u/lib"]


def test_a_mount_inside_another_does_not_follow_its_links(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/usr")

    with pytest.raises(SandboxError, match="symbolic link"):
        spec(command(Mount(source=str(tmp_path), target="/w"), Mount(source="/usr", target="/w/link")))


def test_a_mount_inside_another_needs_its_place(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="no such mount point"):
        spec(command(Mount(source=str(tmp_path), target="/w"), Mount(source="/usr", target="/w/sub")))


def test_defaults_give_way_to_the_given_environment() -> None:
    written = spec(command(env={"HOME": "/w", "A": "b"}, cookie="c"))

    assert written["env"] == {
        "HOME": "/w",
        "TMPDIR": "/tmp",
        "LANG": "C.UTF-8",
        "A": "b",
        "AUTOPILOT_COOKIE": "c",
    }


def test_it_survives_the_way_to_the_supervisor() -> None:
    written = spec(command(Mount(source="/usr", target="/u p/ö"), env={"A": "ö\n'"}, pass_fds=(7,)))

    assert marshal.loads(marshal.dumps(dict(written))) == written
