"""The script of an incident, run by a real shell on a real repository: 1 shows the failure, 0 does not, 2 cannot tell."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts.receipt import Problem
from contracts.resolution import IncidentOpened
from contracts.task import RepoChange, RepoSpec
from libs.git.broker import Broker
from services.resolution.adapters.reporter import Reporter
from services.resolution.adapters.script import script

PYTEST = f"{sys.executable} -m pytest -q -p no:cacheprovider"
RIGHT = "def pad(text):\n    return text + ' '\n"
WRONG = "def pad(text):\n    return text + '?'\n"
#: Texts that would do something if they were taken for shell.
HOSTILE = [
    *(
        "'; touch OWNED; '",
        '"; touch OWNED; "',
        "$(touch OWNED)",
        "`touch OWNED`",
        "a\ntouch OWNED\n#",
        "-n; touch OWNED",
    ),
    *("exit 0 ) ; touch OWNED ; (", "if", "'", '"', "( (", "cat <<END", "exit 0\n)\nexit 0\n("),
]


class Case:
    """A repository whose test fails, and what a data directory holds of it."""

    def __init__(self, root: Path) -> None:
        self.data, self.source = root / "data", root / "the user's repository"
        self.source.mkdir(parents=True)
        self.git("init", "-q", "--initial-branch=main")
        (self.source / "wide.py").write_text("def pad(text):\n    return text\n")
        (self.source / "test_wide.py").write_text(
            "from wide import pad\n\n\ndef test_pad():\n    assert pad('a') == 'a '\n"
        )
        self.git("add", ".")
        self.git("commit", "-qm", "first")
        self.base = self.git("rev-parse", "HEAD")

    def git(self, *args: str) -> str:
        """Run git as the user."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            **{
                f"GIT_{who}_{what}": "u@example.org"
                for who in ("AUTHOR", "COMMITTER")
                for what in ("NAME", "EMAIL")
            },
        }
        done = subprocess.run(
            ["git", *args], cwd=self.source, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    async def change(self, files: dict[str, str]) -> RepoChange:
        """Make a commit as the stage `implement` does."""
        mirror = await Broker(self.data).mirror(str(self.source))
        place = self.data / "work" / "t1" / "one"
        worktree = await mirror.add_worktree(place, self.base)
        for name, text in files.items():
            (place / name).write_text(text)
        commit = await worktree.commit("a change", when=datetime(2026, 1, 1, tzinfo=UTC))
        await mirror.remove_worktree(place)
        assert commit is not None
        return RepoChange(
            repo="r", base_commit=self.base, commit=commit, tree=await mirror.tree(commit), files=tuple(files)
        )

    async def incident(self, *changes: RepoChange, **values: Any) -> IncidentOpened:
        """An incident about a change."""
        repo = msgspec.convert({"name": "r", "url": str(self.source), "fail_to_pass": [PYTEST]}, RepoSpec)
        given: dict[str, Any] = {
            "repos": (repo,),
            "bases": {"r": self.base},
            "changes": changes,
            "commands": (("r", PYTEST),),
            "findings": (Problem(code="test_not_passing", detail="test_pad fails"),),
            "evidence": (),
        }
        return IncidentOpened(
            incident_id="t1-1",
            task_id="t1",
            title="t",
            stage="verify",
            reason="why",
            label="x",
            **{**given, **values},
        )

    async def written(self, incident: IncidentOpened) -> Path:
        """Write the directory, as resolution does."""
        path, _ = await Reporter(self.data).write(incident)
        return self.data / path


def run(directory: Path, place: Path) -> subprocess.CompletedProcess[str]:
    """Run a script as a person would, in a directory of its own."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(place.parent)}
    command = [str(directory / "reproduce"), str(place)]
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=60, cwd=directory.parent
    )


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


async def test_a_change_that_fails_is_shown_to_fail(case: Case, tmp_path: Path) -> None:
    directory = await case.written(await case.incident(await case.change({"wide.py": WRONG})))
    done = run(directory, tmp_path / "work")
    assert done.returncode == 1, done.stderr
    assert "found: test_not_passing: test_pad fails" in done.stdout
    assert "The failure shows, as recorded." in done.stdout


async def test_a_change_that_is_right_does_not_show_it(case: Case, tmp_path: Path) -> None:
    directory = await case.written(await case.incident(await case.change({"wide.py": RIGHT})))
    done = run(directory, tmp_path / "work")
    assert done.returncode == 0, done.stdout + done.stderr


async def test_what_judges_the_change_is_restored_before_it_is_judged(case: Case, tmp_path: Path) -> None:
    weak = "def test_pad():\n    pass\n"
    change = await case.change(
        {"wide.py": WRONG, "test_wide.py": weak, "conftest.py": "collect_ignore = ['test_wide.py']\n"}
    )
    restored = {"r": ("test_wide.py", "conftest.py")}
    directory = await case.written(await case.incident(change, restored=restored))
    done = run(directory, tmp_path / "work")
    assert done.returncode == 1, done.stdout + done.stderr


async def test_known_failures_do_not_count(case: Case, tmp_path: Path) -> None:
    incident = await case.incident(
        await case.change({"wide.py": WRONG, "test_more.py": "def test_more():\n    pass\n"})
    )
    repo = msgspec.structs.replace(incident.repos[0], known_failures=("test_wide.py::test_pad",))
    directory = await case.written(msgspec.structs.replace(incident, repos=(repo,)))
    assert run(directory, tmp_path / "work").returncode == 0


async def test_a_patch_that_never_became_a_commit_is_tried_as_it_was_submitted(
    case: Case, tmp_path: Path
) -> None:
    await Broker(case.data).mirror(str(case.source))
    directory = await case.written(await case.incident(patch="this is no patch\n"))
    done = run(directory, tmp_path / "work")
    assert done.returncode == 1
    assert "The patch does not apply." in done.stdout


async def test_without_the_repository_it_cannot_tell(case: Case, tmp_path: Path) -> None:
    reporter = Reporter(tmp_path / "elsewhere")
    path, reproducible = await reporter.write(await case.incident(bases={}))
    assert not reproducible
    assert run(tmp_path / "elsewhere" / path, tmp_path / "work").returncode == 2


async def test_environment_and_setup_are_those_of_the_task(case: Case, tmp_path: Path) -> None:
    incident = await case.incident(await case.change({"wide.py": RIGHT}))
    repo = msgspec.structs.replace(
        incident.repos[0],
        env={"WORD": 'a "b" `c` $(d)', "PATH": "/opt/x:$PATH"},
        setup='printf %s "$WORD" > seen',
    )
    looks = 'test "$(cat seen)" = \'a "b" `c` $(d)\' && case $PATH in /opt/x:/*) ;; *) false;; esac'
    directory = await case.written(msgspec.structs.replace(incident, repos=(repo,), commands=(("r", looks),)))
    done = run(directory, tmp_path / "work")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_no_text_of_a_task_is_taken_for_shell(case: Case, tmp_path: Path, hostile: str) -> None:
    incident = await case.incident(await case.change({"wide.py": RIGHT}), commands=(("r", "true"),))
    repo = msgspec.structs.replace(incident.repos[0], known_failures=(hostile,), env={"WORD": hostile})
    directory = await case.written(
        msgspec.structs.replace(
            incident,
            title=hostile,
            reason=hostile,
            findings=(Problem(code="x", detail=hostile),),
            restored={"r": (hostile,)},
            repos=(repo,),
        )
    )
    done = run(directory, tmp_path / "work")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not list(tmp_path.rglob("OWNED"))


@pytest.mark.parametrize("broken", [text for text in HOSTILE if "touch" not in text])
async def test_a_command_that_is_none_fails_by_itself_and_stops_nothing(
    case: Case, tmp_path: Path, broken: str
) -> None:
    commands = (("r", broken), ("r", "touch reached; exit 1"))
    directory = await case.written(
        await case.incident(await case.change({"wide.py": RIGHT}), commands=commands)
    )
    assert run(directory, tmp_path / "work").returncode == 1
    assert (tmp_path / "work" / "r" / "reached").exists()


async def test_writing_it_again_gives_the_same_directory(case: Case) -> None:
    incident = await case.incident(await case.change({"wide.py": WRONG}))
    before = {
        path.name: path.read_bytes() for path in (await case.written(incident)).iterdir() if path.is_file()
    }
    after = {
        path.name: path.read_bytes() for path in (await case.written(incident)).iterdir() if path.is_file()
    }
    assert before == after
    assert before["reproduce"].decode() == script(incident, True)
    assert [path.name for path in (case.data / "incidents").iterdir()] == ["t1-1"]
