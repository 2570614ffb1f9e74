"""Engine `command`: a program's edit is taken as it is, its claims are not; what it does beside that harms nobody."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts.task import PlanDelta, RepoChange, StageInput, TaskSpec
from libs.evidence.store import EvidenceStore
from services.stage_runner.adapters.engines import command
from services.stage_runner.adapters.stages import implement
from tests.integration.stage_runner.bench import Bench
from tests.system.shop import RIGHT, marked, require_sandbox

AGENTS = Path(__file__).parent / "agents"


def program(name: str, *words: str) -> str:
    """The command line of a test agent; its folder is in the task's PATH, so that the sandbox shows it."""
    return shlex.join([sys.executable, str(AGENTS / f"{name}.py"), *words])


def task(bench: Bench, **repo: Any) -> TaskSpec:
    """A task for the engine; the agents' folder is named, so that the sandbox shows it."""
    made = bench.task(**repo)
    (one,) = made.repos
    env = {**one.env, "PATH": f"{AGENTS}:{one.env['PATH']}"}
    repos = (msgspec.structs.replace(one, env=env),)
    return msgspec.structs.replace(made, engine="command", patch=None, repos=repos)


async def planned(bench: Bench, made: TaskSpec) -> StageInput:
    """Carry `spec` and `plan` out."""
    given = StageInput(spec=made)
    specification = (await bench.carry(bench.request("spec", given))).specification
    given = msgspec.structs.replace(given, specification=specification)
    return msgspec.structs.replace(given, plan=(await bench.carry(bench.request("plan", given))).plan)


def say(bench: Bench, agent: str, more: str = "") -> None:
    """Commit a policy that names the agent."""
    bench.shop.commit({"autopilot-policy.toml": f"[agent]\ncommand = '''{agent}'''\n{more}"})


async def edited(bench: Bench, agent: str, **repo: Any) -> RepoChange:
    """Let an agent do its work; returns the change."""
    require_sandbox()
    say(bench, agent)
    given = await planned(bench, task(bench, **repo))
    (change,) = (await bench.carry(bench.request("implement", given))).changes
    return change


async def failed(bench: Bench, agent: str, more: str = "", **repo: Any) -> tuple[str, str, str]:
    """Let an agent fail; returns kind, code and detail."""
    require_sandbox()
    say(bench, agent, more)
    given = await planned(bench, task(bench, **repo))
    failure = (await bench.failure(bench.request("implement", given))).failure
    return failure.kind, failure.code, failure.detail


async def text_of(bench: Bench, change: RepoChange, path: str) -> str:
    return (await (await bench.mirror()).blob(change.commit, path) or b"").decode()


async def test_what_differs_in_the_files_is_the_change(bench: Bench) -> None:
    change = await edited(bench, program("good"))
    assert change.files == ("test_empty.py", "wide.py")
    assert await text_of(bench, change, "wide.py") == RIGHT
    assert change.remarks[0].startswith("made by the program")
    mirror = await bench.mirror()
    assert await mirror.contains(change.commit, change.base_commit)
    commits = bench.shop.git("--git-dir", str(mirror.repository.path), "rev-list", "--count", change.commit)
    own = bench.shop.git("rev-list", "--count", "HEAD")
    assert int(commits) == int(own) + 1, "the agent's own commits are no part of it"


async def test_the_installations_program_is_used_where_the_policy_names_none(bench: Bench) -> None:
    require_sandbox()
    given = await planned_without_policy(bench)
    (change,) = (await bench.carry(bench.request("implement", given))).changes
    assert change.files == ("test_empty.py", "wide.py")


async def planned_without_policy(bench: Bench) -> StageInput:
    running = bench.world.running["stage-runner"]
    running.config = msgspec.structs.replace(running.config, config_agent_command=program("good"))
    return await planned(bench, task(bench))


async def test_without_a_program_the_plan_fails_and_names_both_places(bench: Bench) -> None:
    given = StageInput(spec=task(bench))
    specification = (await bench.carry(bench.request("spec", given))).specification
    given = msgspec.structs.replace(given, specification=specification)
    failure = (await bench.failure(bench.request("plan", given))).failure
    assert (failure.kind, failure.code) == ("impossible", "no_agent")
    assert "agent.command" in failure.detail
    assert "AUTOPILOT_CONFIG_AGENT_COMMAND" in failure.detail


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[agent]\ncomand = 'x'\n", "comand"),
        ("[agent]\nwall_s = 0\n", "wall_s"),
        ("[agent\n", "autopilot-policy.toml"),
        ("x = 1\n" * 20_000, "65536"),
    ],
)
async def test_a_bad_policy_is_refused_by_name(bench: Bench, text: str, said: str) -> None:
    bench.shop.commit({"autopilot-policy.toml": text})
    given = StageInput(spec=task(bench))
    specification = (await bench.carry(bench.request("spec", given))).specification
    given = msgspec.structs.replace(given, specification=specification)
    failure = (await bench.failure(bench.request("plan", given))).failure
    assert (failure.kind, failure.code) == ("impossible", "policy_invalid")
    assert said in failure.detail


async def test_the_policy_is_the_bases_not_the_changes(bench: Bench) -> None:
    require_sandbox()
    edit = "sed -i s/good/bad/ autopilot-policy.toml && " + program("good")
    say(bench, edit, "[change]\nwithin = ['*.py']\n")
    given = await planned(bench, task(bench))
    assert given.plan is not None
    assert given.plan.repos[0].scope == ("*.py",)
    (change,) = (await bench.carry(bench.request("implement", given))).changes
    assert "autopilot-policy.toml" in change.files, "gate 3 refuses it: it is outside the scope"


async def test_what_the_set_up_leaves_is_no_part_of_the_change(bench: Bench) -> None:
    change = await edited(bench, program("good"), setup="echo built > built.txt")
    assert change.files == ("test_empty.py", "wide.py")


async def test_an_agent_that_hangs_is_stopped_with_all_it_started(bench: Bench) -> None:
    kind, code, detail = await failed(bench, program("bad", "hang"), "wall_s = 2\n")
    assert (kind, code) == ("persistent", "agent_failed")
    assert "wall" in detail
    context = await bench.context(bench.request("implement", StageInput(spec=task(bench))))
    assert marked(context.cookie) == []


async def test_an_agent_that_leaves_two_hundred_processes_leaves_none(bench: Bench) -> None:
    change = await edited(bench, program("bad", "fork"))
    assert change.files == ("wide.py",)
    context = await bench.context(bench.request("implement", StageInput(spec=task(bench))))
    assert marked(context.cookie) == []


async def test_an_agent_that_writes_outside_harms_nobody(bench: Bench, tmp_path: Path) -> None:
    require_sandbox()
    canary = tmp_path / "canary"
    canary.write_text("as it was")
    say(bench, program("bad", "outside", str(canary)))
    before = bench.shop.fingerprint()
    given = await planned(bench, task(bench))
    (change,) = (await bench.carry(bench.request("implement", given))).changes
    assert change.files == ("wide.py",)
    assert canary.read_text() == "as it was"
    assert bench.shop.fingerprint() == before
    assert not Path("/usr/bin/owned").exists()


@pytest.mark.parametrize("way", ["history", "link"])
async def test_history_is_not_the_agents_to_write(bench: Bench, tmp_path: Path, way: str) -> None:
    change = await edited(bench, program("bad", way, str(tmp_path)))
    mirror = await bench.mirror()
    assert change.files == ("wide.py",)
    assert await mirror.contains(change.commit, change.base_commit)
    assert not (tmp_path / "owned").exists()
    assert not list((tmp_path / "data").rglob("pre-commit"))


async def test_a_repository_inside_the_repository_is_refused(bench: Bench) -> None:
    _, code, detail = await failed(bench, program("bad", "nested"))
    assert code == "worktree_failed"
    assert "inner" in detail


async def test_deleted_tests_are_in_the_diff_for_the_gates_to_see(bench: Bench) -> None:
    change = await edited(bench, program("bad", "tests"))
    assert change.files == ("test_wide.py",)


async def test_an_agent_that_only_talks_has_failed(bench: Bench) -> None:
    kind, code, detail = await failed(bench, program("bad", "nothing"))
    assert (kind, code) == ("persistent", "agent_failed")
    assert "changed nothing" in detail
    assert "exited with 3" in detail
    assert "12 of 12" in detail, "its last words help whoever reads the incident"


async def test_a_change_counts_whatever_the_exit_code_says(bench: Bench) -> None:
    change = await edited(bench, program("bad", "crash"))
    assert await text_of(bench, change, "wide.py") == RIGHT
    assert "exited with 7" in change.remarks[0]


async def test_no_secret_is_in_the_agents_environment(bench: Bench) -> None:
    require_sandbox()
    config = bench.world.running["stage-runner"].config
    say(bench, program("bad", "secrets"))
    given = await planned(bench, task(bench))
    request = bench.request("implement", given)
    context = await bench.context(request)
    await implement.carry(context)
    (log,) = [one for one in context.kept if one.name.endswith("agent.log")]
    printed = EvidenceStore(bench.data / "evidence").read(log.digest, 100_000).decode()
    assert "AUTOPILOT_COOKIE" in printed
    for secret in (config.api_token, config.nats_password, config.postgres_dsn, config.session_key):
        assert not secret or secret not in printed


async def test_a_change_that_failed_before_is_no_attempt(bench: Bench) -> None:
    require_sandbox()
    say(bench, program("good"))
    given = await planned(bench, task(bench))
    (change,) = (await bench.carry(bench.request("implement", given))).changes
    delta = PlanDelta(loop=1, different="x", answers=(), signature="s", avoid=(change.tree,))
    again = msgspec.structs.replace(given, delta=delta)
    failure = (await bench.failure(bench.request("implement", again, attempt=2))).failure
    assert (failure.kind, failure.code) == ("impossible", "repeated_change")


def test_the_program_is_named_in_one_short_line() -> None:
    assert len(command._short("x " * 200)) == 80
