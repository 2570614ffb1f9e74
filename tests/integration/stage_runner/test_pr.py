"""Stage `pr`: the branch is pushed and the pull request opened once, whatever dies in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from contracts.task import BaseRef, StageInput
from libs.forge.error import ForgeUnavailableError
from libs.forge.local import LocalForge
from libs.git.mirror import Mirror
from services.stage_runner.adapters.stages import pr
from services.stage_runner.adapters.stages.context import Ledger
from tests.integration.stage_runner.bench import Bench


class Died(Exception):
    """The process is gone."""


#: Every call to the record and to the outside that the stage makes, in order.
POINTS = ["intend push", "push", "settle push", "intend open", "open", "settle open"]


def dying(monkeypatch: pytest.MonkeyPatch, point: str, after: bool) -> None:
    """Let the process die at one point, before or after its effect."""
    kind, _, what = point.partition(" ")

    def wrap(original: Callable[..., Any], matches: Callable[..., bool]) -> Callable[..., Any]:
        async def call(*args: Any, **values: Any) -> Any:
            if not matches(*args):
                return await original(*args, **values)
            if after:
                await original(*args, **values)
            raise Died(point)

        return call

    if kind == "push":
        monkeypatch.setattr(Mirror, "push", wrap(Mirror.push, lambda *_: True))
    elif kind in ("open", "close"):
        monkeypatch.setattr(LocalForge, kind, wrap(getattr(LocalForge, kind), lambda *_: True))
    else:
        prefix = "push:" if what == "push" else "pull_request:"
        init = Ledger.__init__

        def wrapped(self: Ledger, *args: Any) -> None:
            init(self, *args)
            setattr(self, kind, wrap(getattr(self, kind), lambda effect, *_: effect.startswith(prefix)))

        monkeypatch.setattr(Ledger, "__init__", wrapped)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("point", POINTS)
async def test_a_crash_at_any_point_leads_to_exactly_one_pull_request(
    bench: Bench, point: str, after: bool
) -> None:
    change = await bench.change("one\n")
    request = bench.request("pr", StageInput(spec=bench.task(), changes=(change,)))
    with pytest.MonkeyPatch.context() as patch:
        dying(patch, point, after)
        with pytest.raises(Died):
            await bench.carry(request)
    output = await bench.carry(request)
    (pull,) = await bench.pulls()
    assert (pull.head_commit, pull.tree, pull.state) == (change.commit, change.tree, "open")
    (reference,) = output.pull_requests
    assert (reference.number, reference.tree, reference.branch) == (pull.number, change.tree, "autopilot/t1")
    ledger = await bench.ledger(request.run_id)
    assert (ledger.intended, set(ledger.settled)) == ({}, {"push:wide", "pull_request:wide"})


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("point", POINTS)
async def test_a_cancellation_at_any_point_leaves_no_open_pull_request_and_nothing_unknown(
    bench: Bench, point: str, after: bool
) -> None:
    known = StageInput(spec=bench.task(), changes=(await bench.change("one\n"),))
    request = bench.request("pr", known)
    with pytest.MonkeyPatch.context() as patch:
        dying(patch, point, after)
        with pytest.raises(Died):
            await bench.carry(request)
    await pr.reconcile(await bench.context(request))
    output = await bench.carry(bench.withdrawal(known))
    assert [pull.state for pull in await bench.pulls()] in ([], ["closed"])
    assert (await bench.ledger(request.run_id)).intended == {}
    assert (await bench.ledger("t1-withdrawal-1")).intended == {}
    pushed = await bench.forge.branch_head(bench.shop.url, "autopilot/t1")
    assert output.left == ((f"branch autopilot/t1 of wide stays at {pushed[:12]}",) if pushed else ())


@pytest.mark.parametrize("point", ["intend close", "close", "settle close"])
async def test_a_withdrawal_that_dies_is_made_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    wish = bench.withdrawal(await bench.published())
    with pytest.MonkeyPatch.context() as patch:
        dying(patch, point, after=True)
        with pytest.raises(Died):
            await bench.carry(wish)
    await bench.carry(wish)
    assert [pull.state for pull in await bench.pulls()] == ["closed"]
    assert (await bench.ledger(wish.run_id)).intended == {}


async def test_what_was_opened_onto_another_base_is_closed_too(bench: Bench) -> None:
    given = await bench.published()
    stacked = BaseRef(
        repo_url=bench.shop.url, task_id="t0", commit=given.changes[0].commit, branch="autopilot/t0"
    )
    given = msgspec.structs.replace(given, bases=(stacked,))
    await bench.carry(bench.request("pr", given, attempt=2))
    assert [pull.state for pull in await bench.pulls()] == ["open", "open"]
    await bench.carry(bench.withdrawal(given))
    assert [pull.state for pull in await bench.pulls()] == ["closed", "closed"]


async def test_what_others_opened_or_merged_is_told_and_left(bench: Bench) -> None:
    given = await bench.published()
    await bench.forge.close(bench.shop.url, 1, merged=True)
    branch = f"autopilot/{bench.withdrawal(given).task_id}"
    await bench.forge.open(
        bench.shop.url,
        head=branch,
        base="main",
        head_commit=given.changes[0].commit,
        title="mine",
        body="mine",
        base_commit=given.changes[0].base_commit,
    )
    foreign, merged, stays = (await bench.carry(bench.withdrawal(given))).left
    assert "somebody else's" in foreign
    assert "has been merged" in merged
    assert branch in stays
    assert [pull.state for pull in await bench.pulls()] == ["merged", "open"]


async def test_where_nothing_was_meant_to_be_published_no_forge_is_asked(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("find", "get", "close", "branch_head"):
        monkeypatch.delattr(LocalForge, name)
    output = await bench.carry(bench.withdrawal(StageInput(spec=bench.task())))
    assert output.left == ()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("point", POINTS)
async def test_an_emergency_stop_at_any_point_leaves_nothing_unknown_and_the_next_try_adopts_what_is_there(
    bench: Bench, point: str, after: bool
) -> None:
    known = StageInput(spec=bench.task(), changes=(await bench.change("one\n"),))
    request = bench.request("pr", known)
    with pytest.MonkeyPatch.context() as patch:
        dying(patch, point, after)
        with pytest.raises(Died):
            await bench.carry(request)
    await pr.reconcile(await bench.context(request))
    before = await bench.pulls()
    assert [pull.state for pull in before] in ([], ["open"])
    assert (await bench.ledger(request.run_id)).intended == {}
    (reference,) = (await bench.carry(bench.request("pr", known, retry=1))).pull_requests
    (pull,) = await bench.pulls()
    assert (pull.state, reference.number) == ("open", pull.number)


async def test_a_later_loop_brings_the_same_pull_request_up_to_date(bench: Bench) -> None:
    await bench.published("one\n")
    change = await bench.change("two\n")
    request = bench.request("pr", StageInput(spec=bench.task(), changes=(change,)), attempt=2)
    (reference,) = (await bench.carry(request)).pull_requests
    (pull,) = await bench.pulls()
    assert reference.number == pull.number == 1
    assert (pull.head_commit, pull.tree) == (change.commit, change.tree)


async def test_whoever_was_faster_is_adopted_not_doubled(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.published("one\n")
    find = LocalForge.find

    async def too_early(*args: Any) -> None:
        """Look before the other one opened it."""
        await find(*args)

    monkeypatch.setattr(LocalForge, "find", too_early)
    change = await bench.change("two\n")
    request = bench.request("pr", StageInput(spec=bench.task(), changes=(change,)), attempt=2)
    (reference,) = (await bench.carry(request)).pull_requests
    assert [pull.number for pull in await bench.pulls()] == [reference.number] == [1]


async def test_the_work_of_somebody_else_on_the_branch_is_not_overwritten(bench: Bench) -> None:
    await bench.published("one\n")
    theirs = await bench.move_branch("a reviewer's own correction\n")
    request = bench.request(
        "pr", StageInput(spec=bench.task(), changes=(await bench.change("two\n"),)), attempt=2
    )
    error = await bench.failure(request)
    assert (error.failure.code, error.failure.kind) == ("branch_moved", "impossible")
    assert "autopilot/t1 of wide" in error.failure.detail
    assert await bench.forge.branch_head(bench.shop.url, "autopilot/t1") == theirs
    assert (await bench.ledger(request.run_id)).intended == {}


async def test_a_branch_of_that_name_that_was_there_before_the_task_is_not_overwritten(bench: Bench) -> None:
    theirs = await bench.move_branch("somebody else's\n")
    request = bench.request("pr", StageInput(spec=bench.task(), changes=(await bench.change("one\n"),)))
    assert (await bench.failure(request)).failure.code == "branch_moved"
    assert await bench.forge.branch_head(bench.shop.url, "autopilot/t1") == theirs
    assert await bench.pulls() == ()


async def test_what_an_earlier_run_pushed_and_did_not_live_to_settle_is_its_own(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = bench.request("pr", StageInput(spec=bench.task(), changes=(await bench.change("one\n"),)))
    with pytest.MonkeyPatch.context() as patch:
        dying(patch, "push", after=True)
        with pytest.raises(Died):
            await bench.carry(first)
    for attempt, retry in ((1, 1), (2, 0)):
        change = await bench.change(f"attempt {attempt}, retry {retry}\n")
        given = StageInput(spec=bench.task(), changes=(change,))
        await bench.carry(bench.request("pr", given, attempt=attempt, retry=retry))
        assert await bench.forge.branch_head(bench.shop.url, "autopilot/t1") == change.commit


async def test_a_branch_that_moves_at_the_last_moment_is_not_overwritten_either(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    push, theirs = Mirror.push, list[str]()

    async def overtaken(self: Mirror, *args: Any, **values: Any) -> None:
        if not theirs:
            theirs.append("on the way")
            theirs[:] = [await bench.move_branch("a moment earlier\n")]
        await push(self, *args, **values)

    request = bench.request("pr", StageInput(spec=bench.task(), changes=(await bench.change("one\n"),)))
    monkeypatch.setattr(Mirror, "push", overtaken)
    error = await bench.failure(request)
    assert error.failure.code == "branch_moved"
    assert await bench.forge.branch_head(bench.shop.url, "autopilot/t1") == theirs[0]


async def test_a_forge_that_is_away_is_tried_again_later(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any, **__: Any) -> None:
        raise ForgeUnavailableError("the disk is full")

    request = bench.request("pr", StageInput(spec=bench.task(), changes=(await bench.change("one\n"),)))
    with monkeypatch.context() as patch:
        patch.setattr(LocalForge, "open", away)
        error = await bench.failure(request)
    assert (error.failure.code, error.failure.kind) == ("forge_failed", "transient")
    assert "the disk is full" in error.failure.detail
    again = bench.request("pr", request.input, retry=1)
    assert len((await bench.carry(again)).pull_requests) == 1
    assert len(await bench.pulls()) == 1


async def test_nothing_is_published_without_a_change(bench: Bench) -> None:
    error = await bench.failure(bench.request("pr", StageInput(spec=bench.task())))
    assert error.failure.code == "no_change"
    assert await bench.pulls() == ()
