"""The contract of docs/verification.md, sentence by sentence, where it takes real runs to hold it."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from libs.sandbox.errors import SandboxError
from libs.verification import execution
from libs.verification.types import RequestError, Verification
from libs.verification.verify import smoke
from tests.integration.verification.conftest import FAIL_TO_PASS, TEST, Court
from tests.integration.verification.shop import FILES, MONEY, RIGHT

FIX = {"pricing/money.py": RIGHT}


def codes(verification: Verification) -> set[str]:
    return {str(problem.code) for problem in verification.problems}


async def test_a_right_change_is_accepted_with_receipts_for_both_sides(court: Court) -> None:
    settings = {"build": "python -m compileall -q pricing", "audit": "test -f README.md"}
    verification = await court.judge(FIX, fail_to_pass=(FAIL_TO_PASS,), setup="touch ready", **settings)

    assert verification.problems == ()
    assert (verification.fail_to_pass_passed, verification.fail_to_pass_selected) == (1, 1)
    assert verification.base_tests == verification.base_tests_held == 7
    purposes = ("setup", "build", "test", "audit", "fail_to_pass")
    assert [(r.side, r.purpose) for r in verification.commands] == [
        (side, purpose) for side in ("base", "change") for purpose in purposes
    ]
    mirror = await court.mirror()
    trees = {
        "base": await mirror.tree(court.repository.base),
        "change": await mirror.tree(verification.commit),
    }
    assert {(r.side, r.tree) for r in verification.commands} == set(trees.items())
    (test,) = [r for r in verification.commands if (r.side, r.purpose) == ("change", "test")]
    assert (test.exit_code, test.collected, test.passed, test.skipped, test.failed) == (0, 9, 7, 2, 0)
    assert test.output is not None
    assert test.report is not None
    assert b"7 passed" in court.evidence[test.output.name]
    assert json.loads(court.evidence[test.report.name])["canaries"] >= 1
    assert verification.diff is not None
    assert b"(100 - percent)" in court.evidence[verification.diff.name]
    assert verification.facts.files == ("pricing/money.py",)


async def test_the_base_is_run_once_for_all_changes_to_it(court: Court) -> None:
    fresh = {"PRICES": "1"}
    request = court.request(court.repository.change(FIX))
    request = msgspec.structs.replace(request, env={**request.env, **fresh})

    first = await court.verify(request)
    second = await court.verify(request)
    other = await court.verify(msgspec.structs.replace(request, env={**request.env, "PRICES": "2"}))

    assert [r.cached for r in first.commands] == [False, False, False, False]
    assert [r.cached for r in second.commands] == [True, True, False, False]
    assert [r.cached for r in other.commands] == [False, False, False, False]
    assert msgspec.structs.replace(second.commands[0], cached=False) == first.commands[0]
    assert other.environment != first.environment


async def test_a_broken_cache_entry_costs_a_run_and_nothing_else(court: Court) -> None:
    request = court.request(court.repository.change(FIX), test="python -m pytest -q tests/test_money.py")
    await court.verify(request)
    for entry in (court.folder / "cache").glob("*/result.json"):
        entry.write_text("{")

    verification = await court.verify(request)

    assert verification.problems == ()
    assert not any(receipt.cached for receipt in verification.commands)


async def test_nothing_to_judge_is_refused(court: Court) -> None:
    assert codes(await court.judge({})) == {"empty_change"}
    assert codes(await court.judge(FIX, test=None, fail_to_pass=(), audit="true")) == {"nothing_to_verify"}


async def test_tests_to_fix_must_fail_on_the_base(court: Court) -> None:
    command = "python -m pytest -q tests/test_basket.py"

    assert codes(await court.judge(FIX, fail_to_pass=(command,))) == {"not_failing_on_base"}


async def test_a_suite_alone_must_hold(court: Court) -> None:
    basket = FILES["pricing/basket.py"].replace("sum(self.prices)\n", "sum(self.prices) + 1\n")
    settings: dict[str, Any] = {"test": "python -m pytest -q tests/test_basket.py", "fail_to_pass": ()}

    assert (await court.judge(FIX, **settings)).problems == ()
    assert "test_not_passing" in codes(await court.judge({"pricing/basket.py": basket}, **settings))


async def test_what_hangs_is_stopped_and_rejected(court: Court) -> None:
    request = court.request(
        court.repository.change({"pricing/money.py": f"while True:\n    pass\n\n{MONEY}"})
    )
    limits = msgspec.structs.replace(request.limits, wall_s=5)

    verification = await court.verify(msgspec.structs.replace(request, limits=limits))

    assert {"limit_reached", "run_incomplete"} <= codes(verification)


async def test_build_and_audit_must_succeed(court: Court) -> None:
    verification = await court.judge(FIX, build="exit 3", audit="exit 4")

    assert [problem.detail for problem in verification.problems] == [
        "`exit 3` (build) exits with 3 (it does on the base as well).",
        "`exit 4` (audit) exits with 4 (it does on the base as well).",
    ]


async def test_build_tests_and_audit_run_at_once_and_apart(
    court: Court, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = asyncio.Barrier(3)
    trees: set[Path] = set()
    original = execution._run

    async def wait_for_the_others(workshop: Any, command: str, tree: Path, *rest: Any) -> Any:
        await asyncio.wait_for(together.wait(), 30)
        trees.add(tree)
        return await original(workshop, command, tree, *rest)

    monkeypatch.setattr(execution, "_run", wait_for_the_others)
    settings: dict[str, Any] = {"build": "touch a; sleep 0", "audit": "test ! -f a", "fail_to_pass": ()}
    request = court.request(
        court.repository.change(FIX), test="python -m pytest -v tests/test_basket.py", **settings
    )
    monkeypatch.setattr("libs.verification.verify.assure", _no_control)

    verification = await court.verify(request)

    assert verification.problems == ()
    assert len(trees) == 6


async def _no_control(*_: object) -> list[object]:
    return []


async def test_the_set_up_runs_first_in_every_fresh_checkout(court: Court) -> None:
    prepare = "echo 'RATE = 19' > pricing/rates.py"
    command = 'python -c "from pricing.rates import RATE"'

    assert (await court.judge(FIX, setup=prepare, build=command)).problems == ()
    assert "command_failed" in codes(await court.judge(FIX, build=command))
    assert codes(await court.judge(FIX, setup="exit 1")) == {"base_unusable"}


async def test_code_of_the_change_cannot_alter_the_tests_through_the_set_up(court: Court) -> None:
    lie = "open('tests/test_money.py', 'w').write('def test_discount(): pass')\n"
    verification = await court.judge({"pricing/__init__.py": lie}, setup="python -c 'import pricing'")

    assert "setup_tampered" in codes(verification)


async def test_reserved_names_and_paths_outside_are_refused(court: Court) -> None:
    for wrong in (
        {"env": {"AUTOPILOT_CHANNEL": "3"}},
        {"env": {"LD_PRELOAD": "x.so"}},
        {"report": "../junit.xml"},
    ):
        with pytest.raises(RequestError):
            await court.judge(FIX, **wrong)


async def test_a_sandbox_that_fails_is_told_as_such(court: Court, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise SandboxError("mount", "no")

    monkeypatch.setattr("libs.verification.execution.runner.run", broken)
    request = court.request(court.repository.change(FIX), test="python -m pytest tests -q")

    with pytest.raises(SandboxError):
        await court.verify(request)


async def test_cancelling_kills_everything_and_keeps_nothing(court: Court) -> None:
    request = court.request(court.repository.change(FIX), test="sleep 300", fail_to_pass=("sleep 301",))
    workdir, cookie = court.folder / "cancelled", "cancel-me-7f3a"
    before = set((court.folder / "cache").iterdir())
    from libs.verification.verify import verify

    running = asyncio.create_task(
        verify(
            request,
            await court.mirror(),
            workdir=workdir,
            keep=court.keep,
            base_cache=court.cache,
            cookie=cookie,
        )
    )
    async with asyncio.timeout(60):
        while len(_marked(cookie)) < 2:
            await asyncio.sleep(0.05)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert _marked(cookie) == []
    assert not workdir.exists()
    assert set((court.folder / "cache").iterdir()) == before


def _marked(cookie: str) -> list[str]:
    """Find the commands of processes that carry the cookie."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and cookie.encode() in (process / "environ").read_bytes():
                command = (process / "cmdline").read_bytes()
                found += [command.decode()] if command.startswith(b"sleep") else []
        except OSError:
            continue
    return found


async def test_smoke_runs_one_command_on_a_fresh_checkout(court: Court) -> None:
    request = court.request(court.repository.change(FIX), setup="touch ready")
    workdir = court.folder / "smoke"

    async def probe(command: str) -> int | None:
        receipt = await smoke(request, command, await court.mirror(), workdir=workdir, keep=court.keep)
        assert not workdir.exists()
        assert receipt.purpose == "smoke"
        return receipt.exit_code

    assert await probe("test -f ready && python -c 'from pricing.money import discount'") == 0
    assert await probe("exit 5") == 5


async def test_commands_see_neither_home_nor_network_nor_the_observer_in_their_variables(
    court: Court,
) -> None:
    inside = (
        "import os, socket\n\n\ndef test_world():\n"
        "    assert not [name for name in os.environ if 'AUTOPILOT_CH' in name or name == 'PYTEST_ADDOPTS']\n"
        "    assert '/opt/' not in os.environ['PATH'] + os.environ.get('PYTHONPATH', '')\n"
        f"    assert not os.path.exists({os.path.expanduser('~/.ssh')!r})\n"
        "    assert socket.socket().connect_ex(('192.0.2.1', 80)) != 0\n"
    )
    verification = await court.judge({**FIX, "tests/test_world.py": inside}, test=f"PYTHONPATH=. {TEST}")

    assert verification.problems == ()
