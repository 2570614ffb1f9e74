"""Where control groups are looked for, on machines of either kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from libs.sandbox import groups
from libs.sandbox.cgroup import Group
from libs.sandbox.groups import Parent
from libs.sandbox.layout import Place


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder that stands for /proc/self and for what is mounted."""
    (tmp_path / "mounted").mkdir()
    return tmp_path


def describe(machine: Path, kind: str, options: str, groups_of: str, root: str = "/") -> None:
    """Write what the kernel says of one mounted hierarchy and of the groups that a process is in."""
    mount = f"30 25 0:27 {root} {machine}/mounted rw,nosuid shared:9 - {kind} cgroup rw,{options}\n"
    (machine / "mountinfo").write_text("22 1 8:1 / / rw - ext4 /dev/sda1 rw\n" + mount)
    (machine / "cgroup").write_text(groups_of)


def controllers(machine: Path, group: str, offered: str, enabled: str = "") -> None:
    """Write what a group of version 2 offers to those below it."""
    folder = machine / "mounted" / group
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cgroup.controllers").write_text(offered)
    (folder / "cgroup.subtree_control").write_text(enabled)


def found(machine: Path) -> list[Parent]:
    """List the candidates for memory."""
    return list(groups._candidates("memory", machine))


def test_with_version_1_it_is_our_own_group_in_the_hierarchy_of_the_controller(machine: Path) -> None:
    describe(machine, "cgroup", "memory", "9:pids:/elsewhere\n4:cpu,memory:/jobs/7\n0::/\n")
    assert found(machine) == [Parent(version=1, path=f"{machine}/mounted/jobs/7")]


def test_a_hierarchy_of_another_controller_is_none(machine: Path) -> None:
    describe(machine, "cgroup", "cpu", "4:memory:/jobs/7\n")
    assert found(machine) == []


def test_with_version_2_it_is_our_own_group_and_then_the_one_around_it(machine: Path) -> None:
    describe(machine, "cgroup2", "nsdelegate", "0::/user/app/unit\n")
    controllers(machine, "user/app/unit", "memory pids", "memory pids")
    controllers(machine, "user/app", "cpu memory pids", "memory pids")
    assert found(machine) == [
        Parent(version=2, path=f"{machine}/mounted/user/app/unit"),
        Parent(version=2, path=f"{machine}/mounted/user/app"),
    ]


def test_with_version_2_a_controller_that_is_not_delegated_is_none(machine: Path) -> None:
    describe(machine, "cgroup2", "nsdelegate", "0::/unit\n")
    controllers(machine, "unit", "cpu")
    controllers(machine, "", "cpu memory")
    assert found(machine) == [Parent(version=2, path=f"{machine}/mounted")]


def test_the_controller_is_enabled_where_that_is_ours_to_do(machine: Path) -> None:
    describe(machine, "cgroup2", "", "0::/unit\n")
    controllers(machine, "unit", "memory")
    found(machine)
    assert (machine / "mounted/unit/cgroup.subtree_control").read_text() == "+memory"


def test_inside_a_container_paths_count_from_what_is_mounted(machine: Path) -> None:
    describe(machine, "cgroup", "memory", "4:memory:/docker/abc/inner\n", root="/docker/abc")
    assert found(machine) == [Parent(version=1, path=f"{machine}/mounted/inner")]


def test_a_machine_without_control_groups_says_so(machine: Path) -> None:
    (machine / "mountinfo").write_text("22 1 8:1 / / rw - ext4 /dev/sda1 rw\n")
    (machine / "cgroup").write_text("")
    assert groups.find(machine).missing == (
        "no control group can be made for memory (no mounted hierarchy has the controller)",
        "no control group can be made for pids (no mounted hierarchy has the controller)",
    )


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"memory.events": "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\n"}, ""),
        ({"memory.events": "low 0\nhigh 0\nmax 9\noom 1\noom_kill 3\n"}, "memory"),
        ({"memory.events": "low 0\nhigh 0\nmax 0\noom 0\noom_kill 1\n"}, "starved"),
        ({"memory.events": "max 0\noom_kill 0\n", "pids.events": "max 2\n"}, "processes"),
    ],
)
def test_what_version_2_counts_is_understood(tmp_path: Path, files: dict[str, str], said: str) -> None:
    # The kernel of these machines has no memory controller of version 2: the texts are those of its documentation.
    for name, text in {"cgroup.procs": "", **files}.items():
        (tmp_path / name).write_text(text)
    place = Place(version=2, folder=str(tmp_path))
    assert Group(place, place).exceeded() == said
