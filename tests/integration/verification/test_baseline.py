"""A base is looked at by itself, once, before there is a change."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from libs.git.mirror import Mirror
from libs.verification.baseline import baseline
from libs.verification.cache import BaseCache
from libs.verification.types import Limits, Request, Verification
from tests.integration.verification.conftest import FAIL_TO_PASS, TEST, Court
from tests.integration.verification.shop import RIGHT

FIX = {"pricing/money.py": RIGHT}
HOLDER = """
import fcntl, sys
lock = open(sys.argv[1], "a")
fcntl.flock(lock, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


async def seen(court: Court, **settings: Any) -> Verification:
    """Look at the base as another task on another replica would: with a cache of its own on the same folder."""
    return await baseline(
        request(court, **settings),
        await court.mirror(),
        workdir=court.folder / f"work-{uuid.uuid4().hex}",
        keep=court.keep,
        base_cache=BaseCache(court.folder / "cache"),
    )


def request(court: Court, **settings: Any) -> Request:
    base = court.repository.base
    return court.request(base, **{"fail_to_pass": (FAIL_TO_PASS,), **settings})


def codes(verification: Verification) -> list[str]:
    return [str(problem.code) for problem in verification.problems]


async def test_a_verification_finds_what_the_baseline_has_run(court: Court) -> None:
    before = await seen(court, audit="true", setup="true")
    after = await court.judge(FIX, fail_to_pass=(FAIL_TO_PASS,), audit="true", setup="true")

    assert before.problems == after.problems == ()
    assert [(one.purpose, one.cached) for one in before.commands] == [
        (purpose, False) for purpose in ("setup", "test", "audit", "fail_to_pass")
    ]
    assert all(one.duration_s > 0 and one.peak_memory_mb > 0 for one in before.commands)
    base = [one for one in after.commands if one.side == "base"]
    assert [(one.purpose, one.cached) for one in base] == [(one.purpose, True) for one in before.commands]
    assert [one.peak_memory_mb for one in base] == [one.peak_memory_mb for one in before.commands]
    assert list(court.folder.glob("work-*")) == []


async def test_two_baselines_at_once_run_each_command_once(court: Court) -> None:
    # Other tests may have looked at the same base before; with this set-up nobody has.
    alone = {"setup": "touch together"}
    first, second = await asyncio.gather(seen(court, **alone), seen(court, **alone))

    ran = [one.cached for each in (first, second) for one in each.commands]
    assert sorted(ran) == [False] * 3 + [True] * 3


async def test_another_process_that_runs_the_same_is_waited_for(court: Court) -> None:
    earlier = set((court.folder / "cache").glob("*.turn"))
    alone = {"setup": "touch alone"}
    await seen(court, **alone)
    (lock,) = set((court.folder / "cache").glob("*.turn")) - earlier
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    waiting = asyncio.create_task(seen(court, **alone))
    done, _ = await asyncio.wait([waiting], timeout=1)
    assert not done
    holder.kill()
    holder.wait()
    assert (await waiting).problems == ()
    holder.stdin.close()
    holder.stdout.close()


async def test_what_no_change_can_mend_is_told_before_there_is_one(court: Court) -> None:
    passing = "python -m pytest -q tests/test_basket.py"
    assert codes(await seen(court, fail_to_pass=(passing, FAIL_TO_PASS))) == ["not_failing_on_base"]
    broken = await seen(court, setup="exit 3")
    assert codes(broken) == ["base_unusable"]
    assert "exits with 3" in broken.problems[0].detail
    assert [(one.purpose, one.exit_code) for one in broken.commands] == [("setup", 3)]


async def test_tests_that_fail_on_the_base_are_no_fault_of_the_task(court: Court) -> None:
    assert codes(await seen(court, test=TEST, build="exit 1", audit="exit 1")) == []


HUNGRY = "python3 -c 'x = b\"x\" * 150_000_000; print(len(x))'"


async def test_of_a_command_that_its_ceiling_stops_on_the_base_it_is_found_out_what_it_takes(
    court: Court,
) -> None:
    limits = Limits(wall_s=120, memory_mb=64)
    found = await seen(court, audit=HUNGRY, limits=limits)
    (audit,) = [one for one in found.commands if one.purpose == "audit"]
    assert (audit.ended, audit.exit_code) == ("memory", None)
    assert 140 < audit.peak_memory_mb < 250
    assert found.problems == (), "a higher ceiling mends it"


async def test_what_must_fail_on_the_base_may_fail_by_its_memory(court: Court) -> None:
    limits = Limits(wall_s=120, memory_mb=64)
    found = await seen(court, test=None, fail_to_pass=(HUNGRY,), limits=limits)
    (failing,) = found.commands
    assert failing.ended == "memory"
    assert failing.peak_memory_mb < 140


async def test_what_was_killed_from_outside_is_not_kept(court: Court) -> None:
    """Nobody here kills what it goes on with: it was the machine's want of memory, perhaps of another moment."""
    killed = {"audit": "sh -c 'kill -9 $$'; exit $?", "setup": "touch killed"}
    for _ in range(2):
        (audit,) = [one for one in (await seen(court, **killed)).commands if one.purpose == "audit"]
        assert (audit.exit_code, audit.cached) == (137, False)


class Meanwhile:
    """A private clone; something happens around it between the look at the surroundings and the first command."""

    def __init__(self, mirror: Mirror, happens: Callable[[], object]) -> None:
        self._mirror, self._happens = mirror, happens

    def __getattr__(self, name: str) -> Any:
        return getattr(self._mirror, name)

    async def export(self, commit: str, path: Path) -> None:
        """Check out, and let it happen."""
        self._happens()
        await self._mirror.export(commit, path)


async def test_what_ran_while_its_surroundings_changed_is_not_kept(court: Court, tmp_path: Path) -> None:
    """A tool was replaced, and put back later: what it showed meanwhile is not what it shows."""
    helper = tmp_path / "helper"
    helper.write_text("#!/bin/sh\nexit 0\n")
    helper.chmod(0o755)
    asked = request(court, test=None, audit="helper", setup=None)
    asked = msgspec.structs.replace(
        asked, env={**asked.env, "TOOLS": str(tmp_path), "PATH": f"{tmp_path}:$PATH"}
    )

    async def look(happens: Callable[[], object]) -> tuple[int | None, bool]:
        mirror = Meanwhile(await court.mirror(), happens)
        workdir, cache = court.folder / f"work-{uuid.uuid4().hex}", BaseCache(tmp_path / "cache")
        found = await baseline(asked, mirror, workdir=workdir, keep=court.keep, base_cache=cache)
        (audit,) = [one for one in found.commands if one.purpose == "audit"]
        return audit.exit_code, audit.cached

    assert await look(lambda: helper.write_text("#!/bin/sh\nexit 31\n")) == (31, False)
    helper.write_text("#!/bin/sh\nexit 0\n")
    assert await look(lambda: None) == (0, False)
    assert await look(lambda: None) == (0, True)
