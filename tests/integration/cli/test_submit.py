"""`submit` up to what it sends: files of several tasks, a task from options, complaints that name file or option."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from autopilot.cli import sending, taskfile
from autopilot.cli.client import Client
from autopilot.cli.failure import RefusedError, UnreachableError, UsageError
from autopilot.cli.main import app
from contracts.task import TaskSpec

NOOP = {"title": "t", "engine": "noop", "synthetic": True, "repos": [{"name": "r", "url": "/r"}]}


def dry(*arguments: object, stdin: str | None = None) -> tuple[list[dict[str, Any]], str]:
    """Run `submit --dry-run`; return the tasks it prints and what it says beside them."""
    done = CliRunner().invoke(app, ["submit", "--dry-run", *map(str, arguments)], input=stdin)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return list(yaml.safe_load_all(done.stdout)), done.stderr


def git(place: Path, *arguments: str) -> str:
    """Run git as a user would."""
    identity = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.invalid")
    command = ["git", *identity, "-c", "init.defaultBranch=main", *arguments]
    return subprocess.run(
        command, cwd=place, check=True, capture_output=True, text=True, timeout=60
    ).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's repository, and the user in it."""
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    place = tmp_path / "my shop"
    (place / "below").mkdir(parents=True)
    (place / "shop.py").write_text("x = 1\n")
    (place / "below" / "more.py").write_text("y = 2\n")
    git(place, "init", "-q")
    git(place, "add", "-A")
    git(place, "commit", "-q", "-m", "The shop")
    monkeypatch.chdir(place)
    return place


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes a file of tasks."""

    def one(name: str, *tasks: Any) -> Path:
        file = tmp_path / name
        file.write_text(yaml.safe_dump_all(tasks))
        return file

    return one


OPTIONS = ("--title", "It is wrong", "--test", "pytest -q")


def test_a_task_needs_no_file(checkout: Path) -> None:
    [task], said = dry("--repo", ".", *OPTIONS)
    assert task == {
        "title": "It is wrong",
        "repos": [{"name": "my-shop", "url": str(checkout), "base": "main", "verify": {"test": "pytest -q"}}],
    }
    assert f"works on {checkout}, base main" in said
    assert "not committed" not in said


def test_every_option_says_what_its_field_says(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "fix.patch").write_text("--- a/x\n+++ b/x \n")
    (tmp_path / "body.md").write_text("In prose.\n\tAnd more: of it.\n")
    git(checkout, "tag", "v1")
    [task], said = dry(
        *("--repo", checkout, *OPTIONS, "--body", f"@{tmp_path / 'body.md'}", "--base", "v1"),
        *("--fail-to-pass", "pytest a", "--fail-to-pass", "pytest b", "--setup", "make", "--key", "k"),
        *("--env", "A=1=2", "--env", "PATH=/x:$PATH", "--patch", tmp_path / "fix.patch"),
        *("--priority", "urgent", "--queue", "team", "--depends-on", "t1", "--depends-on", "t2"),
        *("--wall", 60, "--memory", 512),
    )
    assert task == {
        "title": "It is wrong",
        "repos": [
            {
                "name": "my-shop",
                "url": str(checkout),
                "base": "v1",
                "setup": "make",
                "env": {"A": "1=2", "PATH": "/x:$PATH"},
                "verify": {"test": "pytest -q"},
                "fail_to_pass": ["pytest a", "pytest b"],
            }
        ],
        "key": "k",
        "body": "In prose.\n\tAnd more: of it.\n",
        "engine": "patch",
        "patch": "--- a/x\n+++ b/x \n",
        "priority": "urgent",
        "depends_on": ["t1", "t2"],
        "queue": "team",
        "budget": {"memory_mb": 512, "wall_s": 60},
    }
    assert "first" not in said, "a PATH that was given is not replaced"


def test_a_body_comes_from_standard_input_too(checkout: Path) -> None:
    [task], _ = dry("--repo", ".", *OPTIONS, "--body", "-", stdin="from a pipe\n")
    assert task["body"] == "from a pipe\n"


def test_a_folder_below_stands_for_its_repository(checkout: Path) -> None:
    [task], _ = dry("--repo", "below", *OPTIONS)
    assert task["repos"][0]["url"] == str(checkout)


def test_what_is_not_committed_is_warned_of_and_left_alone(checkout: Path) -> None:
    (checkout / "shop.py").write_text("x = 2\n")
    (checkout / "new.py").write_text("")
    hook = checkout / ".git" / "monitor"
    hook.write_text(f"#!/bin/sh\ntouch '{checkout / 'canary'}'\n")
    hook.chmod(0o755)
    git(checkout, "config", "core.fsmonitor", str(hook))
    index = (checkout / ".git" / "index").read_bytes()
    _, said = dry("--repo", ".", *OPTIONS)
    assert "2 files are not committed there, and will not be seen" in said
    assert (checkout / ".git" / "index").read_bytes() == index
    assert not (checkout / "canary").exists()


def test_a_detached_head_and_other_revisions_are_named_by_commit(checkout: Path) -> None:
    commit = git(checkout, "rev-parse", "HEAD")
    git(checkout, "update-ref", "refs/remotes/origin/main", commit)
    git(checkout, "branch", "other")
    for base in (commit[:8], "HEAD~0", "origin/main"):
        [task], _ = dry("--repo", ".", *OPTIONS, "--base", base)
        assert task["repos"][0]["base"] == commit
    [task], _ = dry("--repo", ".", *OPTIONS, "--base", "other")
    assert task["repos"][0]["base"] == "other"
    git(checkout, "checkout", "-q", "--detach")
    [task], _ = dry("--repo", ".", *OPTIONS)
    assert task["repos"][0]["base"] == commit


def test_a_bare_repository_and_a_worktree_are_repositories(checkout: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--bare", str(checkout), "bare.git")
    [task], _ = dry("--repo", tmp_path / "bare.git", *OPTIONS)
    assert task["repos"][0] | {"verify": None} == {
        "name": "bare",
        "url": str(tmp_path / "bare.git"),
        "base": "main",
        "verify": None,
    }
    git(checkout, "worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    [task], _ = dry("--repo", tmp_path / "side", *OPTIONS)
    assert (task["repos"][0]["url"], task["repos"][0]["base"]) == (str(tmp_path / "side"), "side")


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://host.example/team/shop.git", "shop"),
        ("git@host.example:team/shop.git", "shop"),
        ("host.example:shop", "shop"),
        ("ssh://git@host.example/~me/a%20shop/", "a-20shop"),
    ],
)
def test_an_address_is_taken_as_it_is(checkout: Path, url: str, name: str) -> None:
    [task], said = dry("--repo", url, *OPTIONS)
    assert task["repos"] == [{"name": name, "url": url, "verify": {"test": "pytest -q"}}]
    assert said == ""


def test_programs_of_a_virtual_environment_come_first(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    active, own = tmp_path / "active" / "bin", checkout / ".venv" / "bin"
    active.mkdir(parents=True)
    monkeypatch.setenv("VIRTUAL_ENV", str(active.parent))
    [task], said = dry("--repo", ".", *OPTIONS)
    assert task["repos"][0]["env"] == {"PATH": f"{active}:$PATH"}
    assert f"programs of {active} first" in said
    own.mkdir(parents=True)
    [task], said = dry("--repo", ".", *OPTIONS, "--env", "A=b")
    assert task["repos"][0]["env"] == {"PATH": f"{own}:$PATH", "A": "b"}
    assert f"programs of {own} first" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["files", "--repo", "--title"]),
        (["--title", "t"], ["--repo"]),
        (["--repo", "."], ["--title"]),
        (["--repo", "nowhere", *OPTIONS], ["--repo", "nowhere"]),
        (["--repo", "x" * 5_000, *OPTIONS], ["--repo", "no such directory"]),
        (["--repo", "..", *OPTIONS], ["--repo", "no git checkout"]),
        (["--repo", ".", *OPTIONS, "--base", "nowhere"], ["--base", "'nowhere'"]),
        (["--repo", ".", *OPTIONS, "--base", "--all"], ["--base", "'--all'"]),
        (["--repo", ".", *OPTIONS, "--env", "A"], ["--env", "NAME=VALUE"]),
        (["--repo", ".", *OPTIONS, "--env", "A-B=1"], ["--env", "'A-B'"]),
        (["--repo", ".", *OPTIONS, "--body", "@nowhere"], ["--body", "nowhere"]),
        (["--repo", ".", *OPTIONS, "--patch", "nowhere"], ["--patch", "nowhere"]),
        (["--repo", ".", *OPTIONS, "--engine", "magic"], ["--engine", "magic"]),
        (["--repo", ".", *OPTIONS, "--priority", "high"], ["--priority", "high"]),
        (["--repo", ".", *OPTIONS, "--wall", "0"], ["--wall"]),
        (["--repo", ".", *OPTIONS, "--memory", "1"], ["--memory"]),
        (["--repo", ".", *OPTIONS, "--key", "a b"], ["--key"]),
        (["--repo", ".", *OPTIONS, "--key", "a", "--depends-on", "a"], ["--depends-on", "a -> a"]),
        (["--repo", ".", "--title", "t"], ["--test"]),
        (["--repo", ".", "--title", "", "--test", "t"], ["--title"]),
        (["--repo", ".", *OPTIONS, "--fail-to-pass", ""], ["--fail-to-pass"]),
        (["--repo", ".", *OPTIONS, "--env", "A=\udcff"], ["--env", "half of a character"]),
        (["--repo", ".", *OPTIONS, "--depends-on", "\udcff"], ["--depends-on", "half of a character"]),
        (["--repo", "https://me:secret@host/r", *OPTIONS], ["--repo", "password"]),
        (["task.yaml", "--title", "t"], ["--title", "not both"]),
        (["task.yaml", "--repo", "."], ["--repo", "not both"]),
    ],
)
def test_a_complaint_names_the_option(checkout: Path, arguments: list[str], words: list[str]) -> None:
    with pytest.raises(UsageError) as refused:
        dry(*arguments)
    for word in words:
        assert word in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_repository_without_a_commit_is_told_so(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    with pytest.raises(UsageError, match="has no commit yet"):
        dry("--repo", tmp_path, *OPTIONS)


def test_one_file_may_hold_several_tasks(write: Callable[..., Path]) -> None:
    file = write("tasks.yaml", {**NOOP, "key": "b", "depends_on": ["a"]}, {**NOOP, "key": "a"})
    file.write_text(f"---\n{file.read_text()}\n---\n")
    tasks, _ = dry(file)
    assert [task["key"] for task in tasks] == ["b", "a"]
    assert dry("-", stdin=file.read_text())[0] == tasks


def test_every_fault_of_every_file_is_told_at_once(write: Callable[..., Path]) -> None:
    many = write("many.yaml", {**NOOP, "titel": "x"}, {**NOOP, "budget": {"wall_s": 0, "tokens": "few"}})
    one = write("one.yaml", {**NOOP, "repos": []})
    with pytest.raises(UsageError) as refused:
        dry(many, one)
    told = str(refused.value).splitlines()
    assert [line.removeprefix(f"{many.parent}/").split(": ")[:-1] for line in told] == [
        ["many.yaml", "document 1", "titel", "unknown field `titel`"],
        ["many.yaml", "document 2", "budget.tokens"],
        ["many.yaml", "document 2", "budget.wall_s"],
        ["one.yaml", "repos"],
    ]
    with pytest.raises(UsageError, match=r"x\.yaml: depends_on: dependency cycle x -> y -> x"):
        dry(
            write("y.yaml", {**NOOP, "key": "z"}),
            write("x.yaml", {**NOOP, "key": "x", "depends_on": ["y"]}),
            write("y.yaml", {**NOOP, "key": "y", "depends_on": ["x"]}),
        )


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "mapping"),
        ("---\n---\n", "mapping"),
        ("- a\n", "mapping"),
        ("title: [", "not valid YAML"),
        ("[a]: b\n", "key"),
        ("? {a: b}\n: c\n", "key"),
        ("title: t\nrepos: 7\n", "repos"),
        ("title: t\nrepos: [7]\n", "repos[0]"),
        ("[" * 1_500, "nested"),
        ("title: !!python/object/apply:os.system [true]\n", "not valid YAML"),
        ("title: 2026-01-01\nrepos: []\n", "title"),
        ("title: a\n---\ntitle: b\n", "document 2"),
        ("\0", "not valid YAML"),
        ('title: t\nrepos: []\npatch: "a\\0b"\n', "patch"),
        (f"title: t\nrepos: []\npatch: {'x' * 5_000}\n", "patch"),
        (f"title: t\nrepos: [{{name: r, url: {'x' * 5_000}}}]\n", "repos[0].url"),
        ('title: t\nrepos: [{name: r, url: "a\\0b", fail_to_pass: [x]}]\n', "repos[0].url"),
    ],
)
def test_what_is_no_task_file_is_refused_by_name(tmp_path: Path, text: str, word: str) -> None:
    file = tmp_path / "task.yaml"
    file.write_text(text)
    with pytest.raises(UsageError) as refused:
        dry(file)
    assert "task.yaml" in str(refused.value)
    assert word in str(refused.value)


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
specs = st.builds(
    dict,
    title=texts.filter(bool),
    body=texts,
    engine=st.just("noop"),
    synthetic=st.just(True),
    priority=st.sampled_from(["urgent", "normal", "low"]),
    patch=st.none() | st.dictionaries(st.sampled_from(["r", "s"]), texts.map(lambda text: f"{text}\n")),
    repos=st.lists(
        st.builds(
            dict,
            name=st.just("r"),
            url=st.just("https://host.example/r"),
            env=st.dictionaries(st.sampled_from(["A", "B"]), texts),
            known_failures=st.lists(texts, max_size=2),
        ),
        min_size=1,
        max_size=1,
    ),
)


@given(st.lists(specs, min_size=1, max_size=3))
@settings(max_examples=60)
def test_what_is_printed_can_be_submitted_and_is_the_same(tmp_path_factory: Any, tasks: list[Any]) -> None:
    expected = msgspec.convert(tasks, list[TaskSpec])
    file = tmp_path_factory.getbasetemp() / "printed.yaml"
    file.write_bytes(taskfile.dump(expected).encode())
    assert taskfile.checked(taskfile.documents(file)) == expected


class Flaky:
    """A stack that fails in some ways before it answers."""

    def __init__(self, *failures: Exception) -> None:
        self.failures, self.calls = list(failures), []  # type: ignore[var-annotated]

    def scheduler(self, method: str, path: str, **options: Any) -> Any:
        """Take a call."""
        self.calls.append((method, path, options["headers"]["Idempotency-Key"], options["content"]))
        if self.failures:
            raise self.failures.pop(0)
        return {"batch": "b1", "tasks": [{"key": None, "id": "t1"}]}


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "PAUSE_S", 0.0)


def as_client(stack: Flaky) -> Client:
    return stack  # type: ignore[return-value]


@pytest.mark.usefixtures("patient")
def test_a_lost_answer_is_asked_for_again_with_the_same_key() -> None:
    stack = Flaky(UnreachableError("gone"), RefusedError(503, {}), UnreachableError("gone"))
    assert sending.send(as_client(stack), msgspec.convert([NOOP], list[TaskSpec])) == ["t1"]
    assert len(stack.calls) == 4
    assert len(set(stack.calls)) == 1


@pytest.mark.usefixtures("patient")
def test_a_refusal_is_final_and_silence_names_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    stack = Flaky(RefusedError(422, {"detail": "no"}))
    with pytest.raises(RefusedError):
        sending.send(as_client(stack), [])
    assert len(stack.calls) == 1
    monkeypatch.setattr(sending, "PATIENCE_S", -1.0)
    with pytest.raises(UnreachableError, match="not known; --idempotency-key mine repeats safely"):
        sending.send(as_client(Flaky(UnreachableError("gone"))), [], "mine")
