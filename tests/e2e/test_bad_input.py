"""Bad input is refused by a sentence that names the field or the cause, and nobody else notices."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.e2e import till
from tests.e2e.stack import Stack, git, running_with

GOOD = till.task("/nowhere")


def _yaml(**changed: Any) -> str:
    return json.dumps({**GOOD, **changed})


#: What a file holds, and words of the complaint: one that cannot be read, one that is no task, one that names what is not
#: there, one that the stack alone can refuse. (All the others are in tests/integration/cli/test_refused_files.py.)
FILES = {
    "malformed": ("title: [unclosed\nrepos: x\n", ["not valid YAML", "line"]),
    "unknown field of a repository": (_yaml(repos=[{**GOOD["repos"][0], "brnch": "x"}]), ["repos", "brnch"]),
    "missing patch file": (_yaml(patch="nowhere.patch"), ["patch", "nowhere.patch"]),
    "unknown dependency": (_yaml(depends_on=["tnobody"]), ["depends_on[0]", "tnobody"]),
}


def _task_ids(stack: Stack) -> list[str]:
    listed = stack.http("scheduler", "GET", "/v1/tasks", params={"limit": 500}).json()
    return [one["id"] for one in listed["tasks"]]


@pytest.fixture
def nothing_new(stack: Stack) -> Iterator[None]:
    """Holds a refusal to having made nothing."""
    before = _task_ids(stack)
    yield
    assert _task_ids(stack) == before


@pytest.fixture(scope="module")
def refusals(
    stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, subprocess.CompletedProcess[str]]:
    """What was said to each of the files; nothing has come of any of them."""
    place = tmp_path_factory.mktemp("files")
    files = {}
    for name, (content, _) in FILES.items():
        files[name] = place / f"{name}.yaml"
        files[name].write_text(content)
    before = _task_ids(stack)
    done = stack.run_all(*(["submit", file] for file in files.values()))
    assert _task_ids(stack) == before
    return dict(zip(files, done, strict=True))


@pytest.mark.parametrize("fault", FILES)
def test_a_file_is_refused(refusals: dict[str, subprocess.CompletedProcess[str]], fault: str) -> None:
    refused = refusals[fault]
    assert refused.returncode == 2, refused
    assert refused.stdout == ""
    assert "Traceback" not in refused.stderr
    for word in [f"{fault}.yaml", *FILES[fault][1]]:
        assert word in refused.stderr, (word, refused.stderr)


@pytest.mark.usefixtures("nothing_new")
def test_files_that_do_not_go_together_are_refused(stack: Stack, tmp_path: Path) -> None:
    def file(name: str, **changed: Any) -> Path:
        return till.write(tmp_path / f"{name}.yaml", {**GOOD, "key": name, **changed})

    a, b = file("a", depends_on=["b"]), file("b", depends_on=["a"])
    cycle = stack.run("submit", a, b)
    assert cycle.returncode == 2
    assert "depends_on: dependency cycle" in cycle.stderr

    twice = stack.run("submit", file("c"), file("d", key="c"))
    assert twice.returncode == 2
    assert "d.yaml: key: 'c' names 2 tasks" in twice.stderr

    # One good, one bad: neither is taken.
    half = stack.run("submit", file("good"), file("bad", engine="llm"))
    assert half.returncode == 2
    assert "bad.yaml" in half.stderr


@pytest.mark.usefixtures("nothing_new")
def test_bodies_are_refused_as_problems(stack: Stack) -> None:
    cases: list[tuple[bytes, int, str]] = [
        (b"{", 400, ""),
        (b"[]", 422, ""),
        (json.dumps({**GOOD, "colour": "blue"}).encode(), 422, "colour"),
        (json.dumps({**GOOD, "budget": {"wall_s": 0}}).encode(), 422, "budget.wall_s"),
        (json.dumps({**GOOD, "depends_on": ["tnobody"]}).encode(), 422, "depends_on[0]"),
        (json.dumps({**GOOD, "title": "a\0b"}).encode(), 422, ""),
    ]
    for body, status, field in cases:
        answer = stack.http("scheduler", "POST", "/v1/tasks", content=body)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert field in problem["detail"]
        assert field in problem.get("field", "") or field == "colour"


class World(msgspec.Struct, frozen=True, kw_only=True):
    """Tasks that can only be found wanting while they run, beside one that is well."""

    #: Task ids by what is wrong with them; `well` is the one that is not.
    ids: dict[str, str]
    repositories: dict[str, Path]
    #: Comes into being if a hook of a repository is run.
    canary: Path


@pytest.fixture(scope="module")
def world(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> World:
    """All of them, submitted at once."""
    place = tmp_path_factory.mktemp("bad")
    canary = place / "canary"
    plain = till.make(place / "plain")
    repositories = {
        "well": till.make(place / "well"),
        "submodules": _with_submodule(till.make(place / "submodules"), plain),
        "odd": _with_hooks(_with_links(_with_spaces(place), place), canary),
    }
    hangs = {"fail_to_pass": ["python -m pytest -q; sleep 86399"]}
    loud = {"fail_to_pass": ["head -c 30000000 /dev/zero | tr '\\0' x; python -m pytest -q"]}
    suite = {"verify": {"test": "python -m pytest -q"}}
    tasks = {
        "well": till.task(repositories["well"], repo=suite, priority="low"),
        "unclonable": till.task(place / "nowhere"),
        "no base": till.task(plain, repo={"base": "no-such-branch"}),
        "does not apply": till.task(plain, patch=till.ELSEWHERE),
        "is no patch": till.task(plain, patch="please\nmend it\n"),
        "leaves the tree": till.task(plain, patch=till.MENDED.replace("till.py", "../till.py")),
        "hangs": till.task(plain, repo=hangs, budget={"memory_mb": 256, "wall_s": 5, "stage_wall_s": 600}),
        "submodules": till.task(repositories["submodules"]),
        "odd": till.task(repositories["odd"], repo=loud),
    }
    files = {
        name: till.write(place / f"{number}.yaml", task) for number, (name, task) in enumerate(tasks.items())
    }
    ids = stack.submit(*files.values())
    return World(ids=dict(zip(files, ids, strict=True)), repositories=repositories, canary=canary)


def _with_spaces(place: Path) -> Path:
    return till.make(place / "a name with spaces", {"docs/read me first.txt": "It adds up.\n"})


def _with_submodule(repository: Path, other: Path) -> Path:
    git(repository, "submodule", "--quiet", "add", str(other), "parts")
    git(repository, "commit", "-q", "-m", "A submodule")
    return repository


def _with_links(repository: Path, place: Path) -> Path:
    outside = place / "outside.txt"
    outside.write_text("not yours\n")
    (repository / "absolute").symlink_to(outside)
    (repository / "relative").symlink_to("../outside.txt")
    (repository / "dangling").symlink_to("/no/such/place")
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "Links")
    return repository


def _with_hooks(repository: Path, canary: Path) -> Path:
    hooks = repository / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("post-checkout", "pre-commit", "post-commit", "pre-push", "update", "reference-transaction"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch '{canary}'\n")
        (hooks / name).chmod(0o755)
    for setting in ("core.fsmonitor", "uploadpack.packObjectsHook", "core.sshCommand"):
        git(repository, "config", setting, str(hooks / "update"))
    return repository


#: What each ends with, and words of the reason.
GIVEN_UP = {
    "unclonable": ["nowhere"],
    "no base": ["no-such-branch", "branch"],
    "does not apply": ["patch does not apply", "till.py"],
    "is no patch": ["patch"],
    "leaves the tree": ["../till.py"],
    "hangs": ["sleep 86399", "limit", "wall"],
    "submodules": ["submodules", "parts"],
}


@pytest.mark.parametrize("fault", GIVEN_UP)
def test_a_task_is_given_up_with_its_cause(stack: Stack, world: World, fault: str) -> None:
    ended = stack.ended(world.ids[fault])
    assert ended["phase"] == "incident", ended
    for word in GIVEN_UP[fault]:
        assert word in ended["reason"], ended["reason"]
    assert "pull_requests" not in ended
    assert (stack.data_dir / "incidents" / ended["incident_id"] / "README.md").exists()


def test_what_is_only_odd_is_done(stack: Stack, world: World) -> None:
    """Spaces in names, links that lead out, hooks that want to be run, and 30 MB of output."""
    ended = stack.ended(world.ids["odd"])
    assert ended["phase"] == "done", ended
    assert not world.canary.exists()
    logs = [one for one in stack.json("evidence", world.ids["odd"]) if one["name"].endswith(".log")]
    assert [one["name"].partition("/")[0] for one in logs] == ["workspace", "verify", "verify"]
    assert all(1_000_000 < one["size"] < 20_000_000 for one in logs)


def test_nothing_of_a_hanging_command_stays(stack: Stack, world: World) -> None:
    stack.ended(world.ids["hangs"])
    assert running_with("sleep 86399") == []


def test_the_users_own_checkouts_are_untouched(stack: Stack, world: World) -> None:
    for task_id in world.ids.values():
        stack.ended(task_id)
    # Asking git about the other one would run what its configuration names.
    assert all(till.unchanged(world.repositories[name]) for name in ("well", "submodules"))
    assert (world.repositories["odd"] / "till.py").read_text() == till.FAULTY
    heads = {git(place, "rev-parse", "--abbrev-ref", "HEAD") for place in world.repositories.values()}
    assert heads == {"main"}


def test_another_task_notices_nothing(stack: Stack, world: World) -> None:
    ended = stack.ended(world.ids["well"])
    assert ended["phase"] == "done", ended
    assert set(ended["attempts"].values()) == {1}


def test_a_patch_through_a_link_stays_inside(
    stack: Stack, tmp_path: Path, task_file: Callable[..., Path]
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    repository = till.make(tmp_path / "till")
    (repository / "way-out").symlink_to(outside)
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "A way out")
    through = "--- /dev/null\n+++ b/way-out/new.txt\n@@ -0,0 +1 @@\n+was here\n"
    [task_id] = stack.submit(task_file(repository, patch=till.MENDED + through))
    ended = stack.ended(task_id)
    assert ended["phase"] == "incident"
    assert "way-out" in ended["reason"]
    assert list(outside.iterdir()) == []
