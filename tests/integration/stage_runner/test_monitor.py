"""Stage `monitor`: what is published is still what was verified, and it still works."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from contracts.task import RepoSpec, StageInput
from libs.forge.error import ForgeUnavailableError
from libs.forge.local import LocalForge
from tests.integration.stage_runner.bench import Bench
from tests.system.shop import require_sandbox


async def test_an_unchanged_pull_request_is_fine(bench: Bench) -> None:
    output = await bench.carry(bench.request("monitor", await bench.published()))
    assert output.probes == ()


async def test_a_pull_request_that_somebody_changed_is_not(bench: Bench) -> None:
    given = await bench.published("one\n")
    commit = await bench.move_branch("a correction\n")
    await bench.forge.update(bench.shop.url, 1, head_commit=commit)
    error = await bench.failure(bench.request("monitor", given))
    assert (error.failure.code, error.failure.kind) == ("pull_request_changed", "persistent")
    assert "verified was" in error.failure.detail


async def test_a_pull_request_that_somebody_closed_is_not(bench: Bench) -> None:
    given = await bench.published()
    await bench.forge.close(bench.shop.url, 1)
    error = await bench.failure(bench.request("monitor", given))
    assert (error.failure.code, "was closed" in error.failure.detail) == ("pull_request_changed", True)


async def test_a_pull_request_that_was_merged_is_fine(bench: Bench) -> None:
    given = await bench.published()
    await bench.forge.close(bench.shop.url, 1, merged=True)
    await bench.carry(bench.request("monitor", given))


async def test_without_a_pull_request_there_is_nothing_to_watch(bench: Bench) -> None:
    given = StageInput(spec=bench.task(), changes=(await bench.change("one\n"),))
    assert (await bench.failure(bench.request("monitor", given))).failure.code == "no_pull_request"


async def test_a_forge_that_cannot_be_read_now_is_asked_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any) -> None:
        raise ForgeUnavailableError("away")

    given = await bench.published()
    monkeypatch.setattr(LocalForge, "get", away)
    error = await bench.failure(bench.request("monitor", given))
    assert (error.failure.code, error.failure.kind) == ("forge_failed", "transient")


@pytest.mark.parametrize(("command", "fine"), [("grep -q one wide.py", True), ("grep -q two wide.py", False)])
async def test_the_smoke_command_runs_on_what_is_published(bench: Bench, command: str, fine: bool) -> None:
    require_sandbox()
    given = await bench.published("one\n")
    repo = msgspec.json.decode(
        msgspec.json.encode({**msgspec.to_builtins(given.spec.repos[0]), "monitor": {"smoke": command}}),
        type=RepoSpec,
    )
    given = msgspec.structs.replace(given, spec=msgspec.structs.replace(given.spec, repos=(repo,)))
    request = bench.request("monitor", given)
    probes = (await bench.carry(request)).probes if fine else (await bench.failure(request)).output.probes
    (probe,) = probes
    assert (probe.purpose, probe.command, probe.exit_code == 0) == ("smoke", command, fine)
