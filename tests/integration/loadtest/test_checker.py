"""The checker is green on a sound record and red on one that was corrupted, each time for the right reason."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from libs.testing.postgres import SUPERUSER, TestPostgres, shared
from loadtest.checker import record
from loadtest.checker.judge import ALWAYS, AT_REST, judge, judge_at_rest
from tests.integration.loadtest.recordedrun import BODIES, Pen, pen_on, run_tasks

TOPOLOGY = (Path(__file__).parents[3] / "docs" / "topology.txt").read_text()
Corrupt = Callable[[Pen], Awaitable[None]]


@pytest.fixture(scope="module")
def postgres() -> TestPostgres:
    return shared()


@pytest.fixture(scope="module")
def recorded(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Name of a database that holds the run; the server goes, and it with it, when the tests are over."""

    async def make() -> None:
        connection = await record.connect(postgres.dsn("postgres", SUPERUSER))
        await connection.execute(
            "create database recorded_run template autopilot_template owner autopilot_owner"
        )
        await connection.close()
        await run_tasks(postgres.dsn("recorded_run"), str(tmp_path_factory.mktemp("run")))

    asyncio.run(make())
    return "recorded_run"


@pytest.fixture
async def pen(postgres: TestPostgres, recorded: str) -> AsyncIterator[Pen]:
    async with pen_on(postgres, recorded) as made:
        yield made


async def broken(pen: Pen) -> set[str]:
    """Judge the record at rest; name the rules that it breaks."""
    found = judge_at_rest(await record.read(pen.connection), accepted=BODIES, topology=TOPOLOGY)
    return {breach.rule for breach in found}


async def test_a_sound_record_breaks_no_rule(pen: Pen) -> None:
    seen = await record.read(pen.connection)
    assert judge_at_rest(seen, accepted=BODIES, topology=TOPOLOGY) == []
    assert {row.type for row in seen.events} >= {
        "task_done",
        "task_given_up",
        "plan_delta_recorded",
        "slot_released",
        "tokens_granted",
        "grant_settled",
    }


async def change_data(pen: Pen) -> None:
    await pen.do(
        "update events set data = jsonb_set(data, '{reason}', '\"another\"') where type = 'stage_skipped'"
    )


async def change_number(pen: Pen) -> None:
    await pen.do(
        "update events set data = jsonb_set(data, '{duration_s}', to_jsonb((data ->> 'duration_s')::float8 + 1e-9))"
        " where position = (select min(position) from events where type = 'stage_completed')"
    )


async def change_meta(pen: Pen) -> None:
    await pen.do("update events set meta = meta - 'synthetic' where type = 'task_done'")


async def change_time(pen: Pen) -> None:
    await pen.do(
        "update events set recorded_at = recorded_at + interval '1 microsecond' where type = 'task_done'"
    )


async def change_type(pen: Pen) -> None:
    await pen.do("update events set type = 'task_cancelled' where type = 'task_done'")


async def change_schema_version(pen: Pen) -> None:
    await pen.do("update events set schema_version = 2 where type = 'task_done'")


async def change_id(pen: Pen) -> None:
    await pen.do("update events set id = gen_random_uuid() where type = 'task_done'")


async def change_hash(pen: Pen) -> None:
    await pen.do(
        "update events set hash = set_byte(hash, 3, get_byte(hash, 3) # 1) where type = 'task_admitted'"
    )


async def change_previous_hash(pen: Pen) -> None:
    await pen.do("update events set prev_hash = ''::bytea where type = 'task_done'")


@pytest.mark.parametrize(
    "corrupt",
    [
        change_data,
        change_number,
        change_meta,
        change_time,
        change_type,
        change_schema_version,
        change_id,
        change_hash,
        change_previous_hash,
    ],
)
async def test_one_changed_value_in_any_hashed_column_breaks_the_chain(pen: Pen, corrupt: Corrupt) -> None:
    await corrupt(pen)
    assert "hash chain" in await broken(pen)


async def remove_event(pen: Pen) -> None:
    await pen.do("delete from events where type = 'task_admitted'")


async def remove_tail(pen: Pen) -> None:
    await pen.do("delete from events where type = 'task_done'")


async def remove_stream(pen: Pen) -> None:
    await pen.do("delete from events where stream = 'task-good'")


async def remove_task_and_head(pen: Pen) -> None:
    await pen.do("delete from events where stream = 'task-good'")
    await pen.do("delete from streams where stream = 'task-good'")


async def double_event(pen: Pen) -> None:
    row = await pen.first("task_done")
    await pen.insert(replace(row, position=row.position + 10_000, xid=row.xid + 10_000))


async def swap_events(pen: Pen) -> None:
    await pen.do("update events set version = 5 - version where stream = 'task-good' and version in (2, 3)")


async def move_category(pen: Pen) -> None:
    await pen.do("update events set category = 'run' where type = 'task_done'")


async def wrong_head(pen: Pen) -> None:
    await pen.do("update streams set version = version + 1 where stream = 'task-good'")


async def stale_epoch(pen: Pen) -> None:
    row = await pen.first("slot_granted")
    await pen.do("update lease set epoch = 9 where name = 'scheduler'")
    for epoch in (9, 1):
        meta = {**row.meta, "lease": f"scheduler:{epoch}"}
        data = {"pool": "main", "max_concurrent": 10 + epoch, "actor": "somebody"}
        await pen.append(row, type="limit_changed", meta=meta, data=data)


async def invented_epoch(pen: Pen) -> None:
    await pen.do("update lease set epoch = 0 where name = 'scheduler'")


async def another_replica_ends_a_run(pen: Pen) -> None:
    await pen.do(
        "update events set meta = jsonb_set(meta, '{lease}', '\"stage-runner-2:1\"') where stream = 'run-good-spec-1' and version = 2"
    )
    await pen.do(
        "insert into lease (name, holder, epoch, until) values ('stage-runner-2', 'stage-runner-2', 1, now())"
    )
    await pen.rehash("run-good-spec-1")


async def second_claim(pen: Pen) -> None:
    await pen.append(await pen.first("stage_started"))


async def second_start(pen: Pen) -> None:
    await pen.append(await pen.first("stage_started"), stream="run-elsewhere")


async def second_end(pen: Pen) -> None:
    await pen.append(await pen.first("stage_completed"))


async def second_request(pen: Pen) -> None:
    row = await pen.first("stage_requested", task_id="lost")
    await pen.append(row, data={**row.data, "run_id": "another"})


async def answered_twice(pen: Pen) -> None:
    await pen.append(await pen.first("stage_skipped", task_id="lost"))


async def judged_twice(pen: Pen) -> None:
    await pen.append(await pen.first("gate_decided"))


async def ended_twice(pen: Pen) -> None:
    await pen.append(await pen.first("task_done"))


async def slot_given_twice(pen: Pen) -> None:
    granted = await pen.first("slot_granted")
    for _ in range(2):
        await pen.append(granted)
    await pen.append(granted, type="slot_released")


async def too_many_slots(pen: Pen) -> None:
    row = await pen.first("slot_granted")
    for number in range(11):
        await pen.append(row, data={**row.data, "task_id": f"extra-{number}"})


async def run_without_a_slot(pen: Pen) -> None:
    row = await pen.first("stage_started", task_id="good")
    await pen.append(row, stream="run-late", data={**row.data, "run_id": "late"})


async def two_runs_at_once(pen: Pen) -> None:
    row, granted = (
        await pen.first("stage_started", task_id="good"),
        await pen.first("slot_granted", task_id="good"),
    )
    await pen.append(granted)
    for run in ("one", "two"):
        await pen.append(row, stream=f"run-{run}", data={**row.data, "run_id": run})


async def slot_while(pen: Pen, type_: str, stream: str = "admission-main", **data: Any) -> None:
    """Let something be stopped, and give a slot to a task that waits all the same."""
    enqueued, granted = await pen.first("task_enqueued"), await pen.first("slot_granted")
    await pen.append(granted, stream=stream, type=type_, data=data)
    await pen.append(enqueued, data={**enqueued.data, "task_id": "extra"})
    await pen.append(granted, data={**granted.data, "task_id": "extra"})


async def slot_while_held(pen: Pen) -> None:
    await slot_while(pen, "admission_held", cause="drain")


async def slot_in_a_paused_queue(pen: Pen) -> None:
    await slot_while(pen, "queue_paused", queue="default")


async def slot_in_read_only(pen: Pen) -> None:
    await slot_while(pen, "mode_changed", "mode-system", mode="read-only")


async def run_after_an_emergency_stop(pen: Pen) -> None:
    row = await pen.first("stage_requested", task_id="good")
    await pen.append(row, stream="mode-system", type="mode_changed", data={"mode": "emergency-stop"})
    await pen.append(row, stream="task-new", data={**row.data, "task_id": "new", "run_id": "new"})


async def dependent_before_its_dependency(pen: Pen) -> None:
    row, admitted = await pen.first("task_submitted"), await pen.first("task_admitted")
    for task, needs in (("new", ["lost"]), ("other", ["good"])):
        data = {**row.data, "task_id": task, "depends_on": needs}
        await pen.append(row, stream=f"task-{task}", data=data)
        await pen.append(admitted, stream=f"task-{task}", data={**admitted.data, "task_id": task})


async def slot_for_who_does_not_wait(pen: Pen) -> None:
    await pen.append(await pen.first("slot_granted", task_id="good"))


async def overtaken_for_ever(pen: Pen) -> None:
    enqueued, granted = await pen.first("task_enqueued"), await pen.first("slot_granted")
    released = {"pool": "main", "reason": "done"}
    for task in ("waits", *(f"extra-{number}" for number in range(6 * 8 + 1))):
        await pen.append(enqueued, data={**enqueued.data, "task_id": task})
        if task != "waits":
            await pen.append(granted, data={**granted.data, "task_id": task})
            await pen.append(granted, type="slot_released", data={**released, "task_id": task})


async def two_workspaces_at_once(pen: Pen) -> None:
    row = await pen.first("stage_started", task_id="good")
    await pen.append(await pen.first("slot_granted", task_id="good"))
    # One beside a stage is no breach, two are.
    await pen.append(row, stream="run-stage", data={**row.data, "run_id": "stage", "stage": "think"})
    for run in ("one", "two"):
        named = {"run_id": run, "stage": "workspace"}
        await pen.append(row, stream=f"run-{run}", data={**row.data, **named})


async def one_file_of_two_tasks(pen: Pen) -> None:
    row = await pen.first("slot_granted", task_id="good")
    files = [{"repo_url": "u", "base": "main", "paths": ["a.py"]}]
    for task in ("good", "bad"):
        claim = {"table": "main", "task_id": task, "files": files, "after": []}
        await pen.append(row, stream="claim-main", type="files_claimed", data=claim)


def effect(row: Any, effect: str, **more: Any) -> dict[str, Any]:
    names = {name: row.data[name] for name in ("run_id", "task_id", "stage", "attempt")}
    return {**names, "effect": effect, **more}


async def effect_without_intent(pen: Pen) -> None:
    row = await pen.first("stage_started")
    await pen.append(row, type="effect_settled", data=effect(row, "push:one", outcome="done", reference="x"))


async def effect_done_twice(pen: Pen) -> None:
    row = await pen.first("stage_started")
    await pen.append(
        row, type="effect_intended", data=effect(row, "push:one", kind="push", target="", detail="")
    )
    for _ in range(2):
        await pen.append(
            row, type="effect_settled", data=effect(row, "push:one", outcome="done", reference="x")
        )


async def two_pull_requests(pen: Pen) -> None:
    for run in ("one", "two"):
        row = await pen.first("stage_started")
        made = replace(row, data={**row.data, "run_id": run}, stream=f"run-{run}")
        intent = effect(made, "pull_request:one", kind="open_pull_request", target="", detail="")
        await pen.append(made, type="effect_intended", data=intent)
        settled = effect(made, "pull_request:one", outcome="done", reference=run)
        await pen.append(made, type="effect_settled", data=settled)


async def one_pull_request_of_two_tasks(pen: Pen) -> None:
    row = await pen.first("task_done")
    pull = {"repo": "one", "repo_url": "nowhere", "number": 1}
    for task in ("p", "q"):
        data = {**row.data, "task_id": task, "pull_requests": [pull]}
        await pen.append(row, stream=f"task-{task}", data=data)


async def effect_left_open(pen: Pen) -> None:
    row = await pen.first("stage_completed")
    await pen.append(
        row, type="effect_intended", data=effect(row, "push:one", kind="push", target="", detail="")
    )


async def left_in_the_outbox(pen: Pen) -> None:
    await pen.do(
        "insert into outbox select position, 'scheduler', stream, version, now() from events where type = 'task_done'"
    )


async def inbox_ahead(pen: Pen) -> None:
    await pen.do("update inbox set version = version + 100 where consumer = 'gate-judge-subject'")


async def inbox_behind(pen: Pen) -> None:
    await pen.do(
        "update inbox set version = 1 where consumer = 'scheduler-advance-task' and stream = 'run-good-plan-1'"
    )


async def inbox_row_lost(pen: Pen) -> None:
    await pen.do("delete from inbox where consumer = 'scheduler-advance-task' and stream = 'run-good-spec-1'")


async def inbox_row_of_a_stranger(pen: Pen) -> None:
    await pen.do("insert into inbox values ('gate-judge-subject', 'run-good-spec-1', 1)")


async def follower_behind(pen: Pen) -> None:
    await pen.do(
        "update follower set (xid, position) = (select xid, position from events order by xid, position limit 1)"
        " where consumer = 'dashboard-project'"
    )


async def follower_unheard_of(pen: Pen) -> None:
    await pen.do("delete from follower where consumer = 'alerting-raise-alert'")


async def follower_ahead(pen: Pen) -> None:
    await pen.do("update follower set position = position + 1000 where consumer = 'dashboard-project'")


async def stream_held_back(pen: Pen) -> None:
    await pen.do("insert into held_back values ('dashboard-project', 'task-good', 1)")


async def task_without_an_end(pen: Pen) -> None:
    row = await pen.first("task_submitted", task_id="good")
    await pen.append(row, stream="task-new", data={**row.data, "task_id": "new"})


async def task_parked_for_nothing(pen: Pen) -> None:
    row = await pen.first("task_submitted", task_id="good")
    data = {"task_id": "new", "code": "no_quorum", "reason": "", "owner": "operator", "wake_up": "a retry"}
    await pen.append(row, stream="task-new", type="task_parked", data=data)


async def grant_beyond_the_hour(pen: Pen) -> None:
    await pen.do(
        "update events set data = jsonb_set(data, '{tokens}', '100001') where type = 'grant_reserved'"
    )


async def settled_beyond_the_grant(pen: Pen) -> None:
    await pen.do("update events set data = jsonb_set(data, '{spent}', '9999') where type = 'grant_settled'")


async def call_beyond_the_grant(pen: Pen) -> None:
    await pen.do("update events set data = jsonb_set(data, '{tokens}', '9999') where type = 'call_reserved'")


async def grants_in_no_ledger(pen: Pen) -> None:
    await pen.do("delete from events where type like 'grant_%'")


async def settled_for_less_than_was_spent(pen: Pen) -> None:
    await pen.do("update events set data = jsonb_set(data, '{spent}', '1') where type = 'grant_settled'")


async def grant_left_open(pen: Pen) -> None:
    await pen.do("delete from events where type = 'grant_settled'")


async def slot_kept(pen: Pen) -> None:
    for type_ in ("task_enqueued", "slot_granted"):
        await pen.append(await pen.first(type_, task_id="good"))


async def incident_not_filed(pen: Pen) -> None:
    row = await pen.first("task_given_up")
    await pen.append(row, stream="task-new", data={**row.data, "task_id": "new", "incident_id": "none"})


async def timer_forgotten(pen: Pen) -> None:
    await pen.do(
        "insert into timer (service, key, due, kind, subject) values ('gate', 'x', now() - interval '1 hour', 'y', 'z')"
    )


BREAKS: dict[Corrupt, str] = {
    remove_event: "versions",
    remove_tail: "heads",
    remove_stream: "heads",
    remove_task_and_head: "tasks ended",
    double_event: "versions",
    swap_events: "versions",
    move_category: "versions",
    wrong_head: "heads",
    stale_epoch: "epochs",
    invented_epoch: "epochs",
    another_replica_ends_a_run: "holders",
    second_claim: "holders",
    second_start: "stages once",
    second_end: "stages once",
    second_request: "stages once",
    answered_twice: "decisions once",
    judged_twice: "gates once",
    ended_twice: "ends once",
    slot_given_twice: "slots",
    too_many_slots: "slots",
    run_without_a_slot: "live runs",
    two_runs_at_once: "live runs",
    slot_while_held: "starts allowed",
    slot_in_a_paused_queue: "starts allowed",
    slot_in_read_only: "starts allowed",
    run_after_an_emergency_stop: "starts allowed",
    dependent_before_its_dependency: "dependencies",
    slot_for_who_does_not_wait: "bounds",
    overtaken_for_ever: "bounds",
    two_workspaces_at_once: "live runs",
    one_file_of_two_tasks: "files",
    effect_without_intent: "effects once",
    effect_done_twice: "effects once",
    two_pull_requests: "effects once",
    one_pull_request_of_two_tasks: "effects once",
    effect_left_open: "effects settled",
    left_in_the_outbox: "outbox empty",
    inbox_ahead: "inbox true",
    inbox_behind: "inbox complete",
    inbox_row_lost: "inbox complete",
    inbox_row_of_a_stranger: "inbox complete",
    follower_behind: "followers done",
    follower_unheard_of: "followers done",
    follower_ahead: "cursors true",
    stream_held_back: "followers done",
    task_without_an_end: "tasks ended",
    task_parked_for_nothing: "tasks ended",
    slot_kept: "tasks ended",
    incident_not_filed: "incidents filed",
    timer_forgotten: "timers",
    grant_beyond_the_hour: "tokens",
    settled_beyond_the_grant: "tokens",
    call_beyond_the_grant: "calls",
    grants_in_no_ledger: "calls",
    settled_for_less_than_was_spent: "calls",
    grant_left_open: "grants settled",
}


@pytest.mark.parametrize(
    ("corrupt", "rule"), BREAKS.items(), ids=lambda value: getattr(value, "__name__", "")
)
async def test_a_corrupted_record_breaks_the_rule_that_it_violates(
    pen: Pen, corrupt: Corrupt, rule: str
) -> None:
    await corrupt(pen)
    assert rule in await broken(pen)


def test_every_rule_is_seen_red() -> None:
    others = {"tasks ended", "inbox complete", "followers done"}
    assert {*BREAKS.values(), "hash chain"} == {*ALWAYS, *AT_REST, *others}


async def test_a_run_under_way_breaks_no_rule_that_holds_at_any_moment(pen: Pen) -> None:
    await task_without_an_end(pen)
    await left_in_the_outbox(pen)
    await slot_kept(pen)
    assert judge(await record.read(pen.connection)) == []
