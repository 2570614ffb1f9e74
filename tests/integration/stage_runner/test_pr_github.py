"""Stage `pr` at GitHub: one pull request, one label, one check, whatever dies or is answered in between."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts.task import BaseRef, StageInput
from libs.forge.github.annotator import GitHubAnnotator
from libs.forge.github.forge import GitHubForge
from libs.forge.github.wire import Wire
from libs.git.mirror import Mirror
from services.stage_runner.adapters.stages import monitor, pr
from services.stage_runner.adapters.stages.context import Ledger
from tests.integration.forge.exchange import Answer
from tests.integration.forge.githubserver import TOKEN, GitHubServer
from tests.integration.forge.githubsite import Clock
from tests.integration.forge.shapes import shaped
from tests.integration.stage_runner.githubbench import GitHubBench, settings_for
from tests.system.shop import RIGHT

EFFECTS = {"push:wide", "pull_request:wide", "label:wide", "check:wide"}


class Died(Exception):
    """The process is gone."""


@pytest.fixture
async def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[GitHubBench]:
    """A bench at a GitHub that answers patiently; pauses take no time."""
    server = GitHubServer(tmp_path / "hub")
    await server.start()
    clock = Clock()
    monkeypatch.setattr(
        "libs.forge.github.access.Wire",
        lambda api: Wire(api, timeout_s=server.patience_s, now=clock.now, sleep=clock.sleep),
    )
    made = GitHubBench(tmp_path, server, settings_for(server, tmp_path))
    await made.start()
    yield made
    await made.world.crash("stage-runner")
    await server.stop()


#: Every call to the record and to the outside that the stage makes, in order: what precedes the next is what
#: follows the last, so a death after each of them is a death between any two.
POINTS = [
    *("intend push:", "push", "settle push:"),
    *("intend pull_request:", "open", "settle pull_request:"),
    *("intend label:", "label", "settle label:"),
    *("intend check:", "check", "settle check:"),
]
OUTSIDE = {"push": (Mirror, "push"), "open": (GitHubForge, "open")} | {
    name: (GitHubAnnotator, name) for name in ("label", "check")
}


def dying(monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    """Let the process die right after one call."""

    def wrap(original: Callable[..., Any], prefix: str = "") -> Callable[..., Any]:
        async def call(*args: Any, **values: Any) -> Any:
            await original(*args, **values)
            if not prefix or args[0].startswith(prefix):
                raise Died(point)

        return call

    kind, _, prefix = point.partition(" ")
    if kind in OUTSIDE:
        owner, name = OUTSIDE[kind]
        monkeypatch.setattr(owner, name, wrap(getattr(owner, name)))
        return
    init = Ledger.__init__

    def wrapped(self: Ledger, *args: Any) -> None:
        init(self, *args)
        setattr(self, kind, wrap(getattr(self, kind), prefix))

    monkeypatch.setattr(Ledger, "__init__", wrapped)


def published_once(hub: GitHubBench, given: StageInput, number: int, statuses: int = 1) -> None:
    """There is one pull request with all that belongs to it."""
    (pull,) = hub.server.pulls.values()
    assert (pull["number"], pull["state"], pull["title"]) == (number, "open", "Pad")
    assert "Autopilot-Task: t1" in pull["body"]
    assert f"Measured on tree `{given.changes[0].tree}`" in pull["body"]
    assert pull["labels"] == ["autopilot"]
    assert len(hub.server.statuses) == statuses
    assert {one["state"] for one in hub.server.statuses} == {"success"}


async def test_what_is_published_is_what_was_verified(hub: GitHubBench) -> None:
    given = await hub.given()
    request = hub.request("pr", given)
    (reference,) = (await hub.carry(request)).pull_requests
    published_once(hub, given, reference.number)
    assert (reference.tree, reference.commit) == (given.changes[0].tree, given.changes[0].commit)
    assert reference.url == f"{hub.server.url}/team/wide/pull/1"
    ledger = await hub.ledger(request.run_id)
    assert (ledger.intended, set(ledger.settled)) == ({}, EFFECTS)


@pytest.mark.parametrize("point", POINTS)
async def test_a_death_between_any_two_calls_leads_to_one_of_each(hub: GitHubBench, point: str) -> None:
    given = await hub.given()
    request = hub.request("pr", given)
    with pytest.MonkeyPatch.context() as patch:
        dying(patch, point)
        with pytest.raises(Died):
            await hub.carry(request)
    (reference,) = (await hub.carry(request)).pull_requests
    published_once(hub, given, reference.number)
    ledger = await hub.ledger(request.run_id)
    assert (ledger.intended, set(ledger.settled)) == ({}, EFFECTS)


@pytest.mark.parametrize("point", ["push", "label"])
async def test_a_cancellation_withdraws_what_was_published_and_leaves_nothing_unknown(
    hub: GitHubBench, point: str
) -> None:
    given = await hub.given()
    request = hub.request("pr", given)
    with pytest.MonkeyPatch.context() as patch:
        dying(patch, point)
        with pytest.raises(Died):
            await hub.carry(request)
    await pr.reconcile(await hub.context(request))
    await hub.carry(hub.withdrawal(given))
    assert hub.server.open_pulls == []
    assert (await hub.ledger(request.run_id)).intended == {}


SECONDARY = {"message": "You have exceeded a secondary rate limit."}
#: What GitHub answers to the opening → what the stage makes of it at first, and the least wait it asks for.
ANSWERS: dict[str, tuple[dict[str, Any], str, float]] = {
    "the primary limit": (
        {"answer": Answer(403, {"message": "API rate limit exceeded"}, {"Retry-After": "600"})},
        "transient",
        599,
    ),
    "a secondary limit": ({"answer": Answer(403, SECONDARY)}, "transient", 59),
    "502 after the effect": ({"answer": Answer(502), "effect": True}, "", 0),
    "no answer after the effect": ({"way": "hang", "effect": True}, "", 0),
    "half an answer": ({"way": "cut"}, "", 0),
    "a missing right": ({"answer": Answer(403, {"message": "Resource not accessible"})}, "impossible", 0),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_whatever_github_answers_there_is_one_pull_request_and_a_record_of_it(
    hub: GitHubBench, name: str
) -> None:
    values, kind, wait = ANSWERS[name]
    given = await hub.given()
    if values.get("way") == "hang":
        hub.server.patience_s = 3.0
    hub.server.fail("POST", "/pulls$", **values)
    request = hub.request("pr", given)
    if kind:
        failure = (await hub.failure(request)).failure
        assert (failure.kind, failure.repo) == (kind, "wide")
        assert failure.retry_after_s >= wait
        assert hub.server.pulls == {}
        request = hub.request("pr", given, retry=1)
    (reference,) = (await hub.carry(request)).pull_requests
    published_once(hub, given, reference.number)
    ledger = await hub.ledger(request.run_id)
    assert (ledger.intended, set(ledger.settled)) == ({}, EFFECTS)


async def test_a_422_for_one_that_the_look_up_did_not_show_yet_is_adopted(hub: GitHubBench) -> None:
    given = await hub.given()
    await hub.carry(hub.request("pr", given))
    hub.server.fail("GET", "/pulls$", Answer(200, []))
    (reference,) = (await hub.carry(hub.request("pr", given, attempt=2))).pull_requests
    assert len(hub.server.sent("POST", "/pulls$")) == 2
    published_once(hub, given, reference.number)


async def test_a_later_loop_brings_the_same_pull_request_up_to_date(hub: GitHubBench) -> None:
    await hub.carry(hub.request("pr", await hub.given("one\n")))
    given = await hub.given("two\n")
    (reference,) = (await hub.carry(hub.request("pr", given, attempt=2))).pull_requests
    assert (reference.number, reference.tree) == (1, given.changes[0].tree)
    published_once(hub, given, 1, statuses=2)


async def test_what_a_person_opened_from_our_branch_is_left_alone(hub: GitHubBench) -> None:
    given = await hub.given()
    with pytest.MonkeyPatch.context() as patch:
        dying(patch, "push")
        with pytest.raises(Died):
            await hub.carry(hub.request("pr", given))
    branch, commit = "autopilot/t1", given.changes[0].commit
    await hub.hub.open(hub.url, head=branch, base="main", head_commit=commit, title="mine", body="my words")
    request = hub.request("pr", given)
    failure = (await hub.failure(request)).failure
    assert (failure.code, failure.kind) == ("pull_request_foreign", "impossible")
    await pr.reconcile(await hub.context(hub.request("pr", given, retry=1)))
    (pull,) = hub.server.open_pulls
    assert (pull["title"], pull["body"]) == ("mine", "my words")


async def test_an_annotation_that_is_refused_for_good_costs_no_pull_request(hub: GitHubBench) -> None:
    hub.server.fail("POST", "/statuses/", Answer(403, {"message": "Resource not accessible"}))
    request = hub.request("pr", await hub.given())
    assert len((await hub.carry(request)).pull_requests) == 1
    ledger = await hub.ledger(request.run_id)
    assert (ledger.intended, set(ledger.settled)) == ({}, EFFECTS)
    assert "Resource not accessible" in ledger.settled["check:wide"]


async def test_an_annotation_that_is_held_up_is_tried_again_and_then_left_out(hub: GitHubBench) -> None:
    given = await hub.given()
    hub.server.fail("POST", "/statuses/", Answer(502), times=9)
    for retry in (0, 1):
        error = await hub.failure(hub.request("pr", given, retry=retry))
        assert (error.failure.kind, error.failure.code) == ("transient", "forge_failed")
    assert len((await hub.carry(hub.request("pr", given, retry=2))).pull_requests) == 1
    assert len(hub.server.pulls) == 1


async def test_a_draft_or_a_change_that_nobody_measured_is_not_called_a_success(hub: GitHubBench) -> None:
    given = await hub.given()
    for attempt, changed in enumerate(({"draft": True}, {"verifications": ()}), 1):
        await hub.carry(hub.request("pr", msgspec.structs.replace(given, **changed), attempt=attempt))
    assert [one["state"] for one in hub.server.statuses] == ["pending", "pending"]
    assert not hub.server.pulls[1]["draft"]


async def test_monitor_fetches_what_github_has_and_keeps_what_people_wrote(hub: GitHubBench) -> None:
    given = await hub.watched(await hub.given())
    context = await hub.context(hub.request("monitor", given))
    remark = shaped("IssueComment", body=f"please use {TOKEN}<!-- x -->", user={"login": "mallory"})
    hub.server.remarks["/issues/1/comments"] = [remark]
    await hub.carry(hub.request("monitor", given))
    await monitor.carry(context)
    (kept,) = context.kept
    text = context.evidence.read(kept.digest)
    assert b"mallory" in text
    assert TOKEN.encode() not in text
    hub.server.pulls[1]["state"] = "closed"
    error = await hub.failure(hub.request("monitor", given, attempt=2))
    assert error.failure.code == "pull_request_changed"


async def test_a_task_is_built_on_and_stacked_on_the_branch_of_another_at_github(hub: GitHubBench) -> None:
    below = await hub.change("below\n")
    mirror = await hub.mirror()
    await mirror.push(hub.url, below.commit, "refs/heads/autopilot/t0", expected=None)
    base = BaseRef(task_id="t0", repo_url=hub.url, branch="autopilot/t0", commit=below.commit)
    task = hub.shop.task(hub.shop.patch({"wide.py": RIGHT}), url=hub.url)
    output = await hub.carry(hub.request("spec", StageInput(spec=task, bases=(base,))))
    assert output.specification is not None
    assert output.specification.bases == {"wide": below.commit}
    given = msgspec.structs.replace(await hub.given(), bases=(base,))
    (reference,) = (await hub.carry(hub.request("pr", given))).pull_requests
    assert reference.base == "autopilot/t0"
    assert "Builds on `autopilot/t0`" in hub.server.pulls[1]["body"]


async def test_a_base_that_is_no_branch_is_refused_before_any_work_is_done(hub: GitHubBench) -> None:
    base = (await hub.change("x\n")).base_commit
    failure = (await hub.failure(hub.request("spec", StageInput(spec=hub.task(base=base))))).failure
    assert (failure.code, failure.kind) == ("forge_refused", "impossible")
    assert "branches only" in failure.detail


async def test_the_token_is_in_nothing_that_was_written(
    hub: GitHubBench, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    spec = hub.task()
    given = msgspec.structs.replace(
        await hub.given(), spec=msgspec.structs.replace(spec, body=f"It fails with {TOKEN}.")
    )
    hub.server.fail("POST", "/pulls$", Answer(500))
    await hub.failure(hub.request("pr", given))
    await hub.carry(hub.request("pr", given, retry=1))
    secret = TOKEN.encode()
    written = [path for path in hub.data.rglob("*") if path.is_file()]
    assert len(written) > 10
    assert not [path for path in written if secret in path.read_bytes()]
    for run in ("t1-pr-1", "t1-pr-1-1"):
        events = await hub.world.store.read_stream(f"run-{run}")
        assert len(events) >= 5
        assert secret not in msgspec.json.encode([event.event for event in events])
    (pull,) = hub.server.pulls.values()
    assert "It fails with [redacted]." in pull["body"]
    out, err = capfd.readouterr()
    assert TOKEN not in out + err + caplog.text
