"""What programs read: lists, one task, events, counts, files; and what they are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from contracts.task import TaskCancelled
from contracts.workspace import WorkspaceRemoved
from libs.evidence.store import EvidenceStore
from libs.messaging.bus import BusUnavailableError, DeadLetter
from tests.integration.dashboard.history import HOSTILE
from tests.integration.dashboard.world import SilentBus, World

Program = Callable[[World], httpx.AsyncClient]
ACTIVE = {
    "t-broken",
    "t-verifying",
    "t-refused",
    "t-parked",
    "t-watched",
    "t-queued",
    "t-hostile",
    "t-synthetic",
}


async def read(client: httpx.AsyncClient, path: str) -> Any:
    """Read from the API, where it must be fine."""
    answer = await client.get(f"/api/v1/{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_tasks_are_listed_page_by_page_newest_first(told: World, program: Program) -> None:
    client = program(told)
    everything = (await read(client, "tasks"))["tasks"]
    assert len(everything) == 11
    assert [task["submitted_at"] for task in everything] == sorted(
        (task["submitted_at"] for task in everything), reverse=True
    )
    paged: list[Any] = []
    before: str | None = ""
    while before is not None:
        page = (await client.get("/api/v1/tasks", params={"limit": 4, "before": before})).json()
        paged, before = paged + page["tasks"], page["next"]
    assert paged == everything


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("phase=done", {"t-done"}),
        ("phase=incident", {"t-wrong"}),
        ("phase=queued", {"t-queued", "t-hostile"}),
        ("phase=active", ACTIVE),
        ("phase=active&synthetic=false", ACTIVE - {"t-synthetic"}),
        ("synthetic=true", {"t-synthetic"}),
        ("phase=cancelling", set()),
    ],
)
async def test_tasks_are_filtered(told: World, program: Program, query: str, expected: set[str]) -> None:
    tasks = (await read(program(told), f"tasks?{query}"))["tasks"]
    assert {task["id"] for task in tasks} == expected


async def test_a_task_is_shown_with_its_proof(told: World, program: Program) -> None:
    task = await read(program(told), "tasks/t-done")
    assert (task["phase"], task["approvals"]) == ("done", [f"gate {gate}: approve" for gate in range(6)])
    states = {stage["stage"]: stage["state"] for stage in task["stages"]}
    assert states == {**dict.fromkeys(states, "completed"), "think": "skipped"}
    (verify,) = (stage for stage in task["stages"] if stage["stage"] == "verify")
    check = verify["runs"][0]["checks"][1]
    assert (check["exit_code"], check["passed"], check["tree"]) == (0, 42, task["pull_requests"][0]["tree"])
    assert [review["verdict"] for review in task["reviews"]] == ["approve"] * 6
    assert task["last_failure"] is None


async def test_a_given_up_task_names_what_failed_and_its_incident(told: World, program: Program) -> None:
    client = program(told)
    task = await read(client, "tasks/t-wrong")
    assert task["last_failure"]["cause"] == "t-wrong-gate1-1"
    assert task["last_failure"]["detail"] == "refused by gate 1"
    assert [problem["code"] for problem in task["last_failure"]["problems"]] == ["test_not_passing"]
    incident = await read(client, f"incidents/{task['incident_id']}")
    assert incident["reproducible"]
    assert [file["name"] for file in incident["files"]] == ["report.json", "reproduce.sh"]
    assert (await read(client, "incidents"))["incidents"][0]["id"] == task["incident_id"]


async def test_a_stage_that_measured_a_bad_change_is_not_shown_as_passed(
    told: World, program: Program
) -> None:
    client = program(told)
    task = await read(client, "tasks/t-wrong")
    (verify,) = (stage for stage in task["stages"] if stage["stage"] == "verify")
    assert (verify["state"], verify["runs"][0]["status"]) == ("not accepted", "completed")
    assert [problem["code"] for problem in verify["runs"][0]["problems"]] == ["test_not_passing"]
    (entry,) = (
        entry
        for entry in task["timeline"]
        if entry["type"] == "stage_completed" and entry["text"].startswith("verify")
    )
    assert entry["tone"] == "bad"
    assert "39/40 of the base's tests hold" in entry["text"]
    assert "not accepted" in entry["text"]


async def test_a_stage_that_could_not_do_its_work_says_why(told: World, program: Program) -> None:
    task = await read(program(told), "tasks/t-broken")
    assert task["phase"] == "resolving"
    failure = task["last_failure"]
    assert (failure["cause"], failure["code"]) == ("t-broken-implement-1", "patch_does_not_apply")
    assert failure["detail"] == "ledgerline/statement.py has no line 112"


async def test_a_hostile_title_is_data(told: World, program: Program) -> None:
    answer = await program(told).get("/api/v1/tasks/t-hostile")
    assert answer.json()["title"] == HOSTILE
    assert answer.headers["content-type"] == "application/json"


async def test_stages_are_counted_without_simulated_tasks(scenes: World, program: Program) -> None:
    flow = await read(program(scenes), "stages")
    counts = {column["stage"]: column["count"] for column in flow["stages"]}
    assert counts == {
        "spec": 0,
        "plan": 1,
        "think": 0,
        "implement": 1,
        "verify": 2,
        "review": 0,
        "pr": 0,
        "monitor": 1,
    }
    assert (flow["queue"]["count"], flow["active"], flow["parked"], flow["synthetic"]) == (2, 7, 1, 1)
    (verify,) = (column for column in flow["stages"] if column["stage"] == "verify")
    assert (verify["by_phase"], verify["oldest_task"]) == ({"running": 1, "parked": 1}, "t-verifying")
    scenes.clock.advance(60)
    later = await read(program(scenes), "stages")
    assert later["stages"][4]["oldest_s"] == pytest.approx(verify["oldest_s"] + 60)


async def test_the_system_tells_mode_slots_alerts_and_outcomes(told: World, program: Program) -> None:
    system = await read(program(told), "system")
    assert (system["mode"]["mode"], system["max_concurrent"], system["open_alerts"]) == ("normal", 6, 1)
    assert system["outcomes"] == {"done": 1, "incident": 1, "cancelled": 1}
    assert [disk["pressure"] for disk in system["disks"]] == [False]
    assert system["position"] == (await told.history())[-1].position
    assert (await read(program(told), "mode"))["actor"] == "ada"


async def test_simulated_tasks_are_no_outcomes(scenes: World, program: Program) -> None:
    before = (await read(program(scenes), "system"))["outcomes"]
    end = TaskCancelled(task_id="t-synthetic", actor="ada", reason="enough")
    await scenes.pen.write(end, synthetic=True)
    await scenes.deliver()
    assert (await read(program(scenes), "tasks/t-synthetic"))["phase"] == "cancelled"
    assert (await read(program(scenes), "system"))["outcomes"] == before


async def test_an_empty_system_is_told_as_such(world: World, program: Program) -> None:
    client = program(world)
    assert await read(client, "tasks") == {"tasks": [], "next": None}
    assert (await read(client, "stages"))["active"] == 0
    assert (await read(client, "mode"))["mode"] == "normal"
    assert (await read(client, "events")) == {"events": [], "next": 0, "more": False}
    system = await read(client, "system")
    assert (system["position"], system["outcome_window"], system["max_concurrent"]) == (0, 0, 10)


async def test_alerts_are_open_until_resolved(told: World, program: Program) -> None:
    client = program(told)
    (opened,) = (await read(client, "alerts?state=open"))["alerts"]
    assert (opened["id"], opened["severity"]) == ("alert-t-wrong", "critical")
    assert opened["sinks"]["log"]["delivered_at"]
    assert opened["sinks"]["webhook"]["reason"] == "connection refused"
    (resolved,) = (await read(client, "alerts?state=resolved"))["alerts"]
    assert (resolved["id"], resolved["resolution"]) == ("a-disk", "71 % full")


async def test_pull_requests_are_listed_with_their_tasks(told: World, program: Program) -> None:
    pulls = (await read(program(told), "pulls"))["pulls"]
    assert [(pull["task_id"], pull["phase"]) for pull in pulls] == [
        ("t-watched", "waiting"),
        ("t-done", "done"),
    ]
    assert "secret" not in json.dumps(pulls)


async def test_events_are_read_on_from_where_the_last_answer_ended(told: World, program: Program) -> None:
    client = program(told)
    history = await told.history()
    seen: list[int] = []
    since, more = 0, True
    while more:
        page = await read(client, f"events?since={since}&limit=37")
        seen += [event["position"] for event in page["events"]]
        since, more = page["next"], page["more"] or bool(page["events"])
    assert seen == [recorded.position for recorded in history]
    first = (await read(client, "events?limit=1"))["events"][0]
    assert first["type"] == first["data"]["type"] == "limit_changed"
    assert first.keys() >= {"position", "stream", "version", "id", "meta", "time", "hash"}


async def test_events_of_a_task_are_those_of_all_its_streams(told: World, program: Program) -> None:
    client = program(told)
    own = await read(client, "tasks/t-wrong/events?limit=500")
    streams = {event["stream"].partition("-")[0] for event in own["events"]}
    assert streams == {"task", "run", "review", "loop", "incident"}
    positions = [event["position"] for event in own["events"]]
    assert positions == sorted(positions)
    rest = await read(client, f"tasks/t-wrong/events?since={positions[9]}&limit=500")
    assert rest["events"] == own["events"][10:]
    assert (await read(client, "events?task=t-wrong&limit=500"))["events"] == own["events"]
    cut = await read(client, "events?task=t-wrong&limit=5")
    assert (cut["more"], cut["next"]) == (True, cut["events"][-1]["position"])
    assert await read(client, "events?task=nobody") == {"events": [], "next": 0, "more": False}


async def test_events_of_a_task_do_not_wait_for_the_views(told: World, program: Program) -> None:
    unfolded = World(told.data, pen=told.pen.copy())
    await unfolded.open()
    await unfolded.pen.write(WorkspaceRemoved(task_id="t-wrong", freed=1))
    last = (await read(program(unfolded), "events?task=t-wrong&limit=500"))["events"][-1]
    assert last["type"] == "workspace_removed"


async def test_dead_letters_are_listed(world: World, program: Program) -> None:
    letter = DeadLetter(id="1", consumer="gate-judge", reason="broken", attempts=8, at=world.clock.now())
    world.bus.letters = (letter,)
    assert (await read(program(world), "dead-letters"))["dead_letters"][0]["consumer"] == "gate-judge"


async def test_dead_letters_of_a_bus_that_is_down_are_a_clear_refusal(world: World, program: Program) -> None:
    class Down(SilentBus):
        async def dead_letters(self, *, limit: int = 100) -> list[DeadLetter]:
            raise BusUnavailableError("no connection")

    world.running.bus = Down()  # type: ignore[assignment]
    answer = await program(world).get("/api/v1/dead-letters")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")


@pytest.mark.parametrize(
    ("path", "status", "field"),
    [
        ("tasks/nobody", 404, None),
        ("tasks/nobody/events", 404, None),
        ("tasks/a%20b/events", 404, None),
        ("tasks/" + "x" * 200, 404, None),
        ("tasks/a%20b", 404, None),
        ("incidents/nothing", 404, None),
        ("tasks?limit=0", 422, "limit"),
        ("tasks?limit=501", 422, "limit"),
        ("tasks?phase=finished", 422, "phase"),
        ("events?since=-1", 422, "since"),
        ("events?since=99999999999999999999999", 422, "since"),
        ("events?since=x", 422, "since"),
        ("alerts?state=loud", 422, "state"),
        ("evidence/" + "0" * 64, 404, None),
        ("evidence/stack.json", 404, None),
    ],
)
async def test_refusals_are_problems_with_every_header(
    told: World, program: Program, path: str, status: int, field: str | None
) -> None:
    answer = await program(told).get(f"/api/v1/{path}")
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json().get("field") == field
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_evidence_is_text_or_json_and_never_html(
    world: World, program: Program, tmp_path: Path
) -> None:
    store, client = EvidenceStore(tmp_path / "evidence"), program(world)
    contents = {
        b"<html><script>alert(1)</script></html>": "text/plain; charset=utf-8",
        b'{"ok": true}': "application/json",
        b"[not json]": "text/plain; charset=utf-8",
        b"": "text/plain; charset=utf-8",
        b"\xff\xfe\x00binary": "text/plain; charset=utf-8",
        b"line of a long log\n" * 100_000: "text/plain; charset=utf-8",
    }
    for compressed in (False, True):
        for content, media_type in contents.items():
            digest = store.put_bytes(content)
            if compressed:
                store.compress(digest)
            answer = await client.get(f"/api/v1/evidence/{digest}")
            assert answer.content == content
            assert answer.headers["content-type"] == media_type
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "sandbox" in answer.headers["content-security-policy"]


async def test_damaged_evidence_is_said_to_be_damaged(world: World, program: Program, tmp_path: Path) -> None:
    digest = EvidenceStore(tmp_path / "evidence").put_bytes(b"42 passed\n")
    (tmp_path / "evidence" / digest[:2] / digest).write_bytes(b"43 passed\n")
    answer = await program(world).get(f"/api/v1/evidence/{digest}")
    assert (answer.status_code, answer.json()["title"]) == (500, "Evidence corrupt")


async def test_incident_files_are_served_as_they_are(world: World, program: Program, tmp_path: Path) -> None:
    folder = tmp_path / "incidents" / "inc-1"
    (folder / "patches").mkdir(parents=True)
    (folder / "index.html").write_text("<script>alert(1)</script>")
    (folder / "patches" / "a b.diff").write_text("+1\n")
    (folder / "work.bundle").write_bytes(b"# v2 git bundle\0")
    client = program(world)
    page = await client.get("/api/v1/incidents/inc-1/files/index.html")
    assert page.headers["content-type"] == "text/plain; charset=utf-8"
    assert "sandbox" in page.headers["content-security-policy"]
    assert (await client.get("/api/v1/incidents/inc-1/files/patches/a%20b.diff")).text == "+1\n"
    bundle = await client.get("/api/v1/incidents/inc-1/files/work.bundle")
    assert bundle.headers["content-disposition"] == "attachment"


@pytest.mark.parametrize(
    "path",
    [
        "inc-1/files/..%2f..%2fsecrets%2fapi-token",
        "inc-1/files/%2e%2e/%2e%2e/secrets/api-token",
        "inc-1/files/link",
        "inc-1/files/folder-link/api-token",
        "inc-1/files//etc/passwd",
        "inc-1/files/%2fetc%2fpasswd",
        "inc-1/files/a%00b",
        "inc-1/files/patches",
        "..%2fsecrets/files/api-token",
        "%2e%2e/files/secrets/api-token",
        "inc-2/files/report.json",
    ],
)
async def test_no_path_leads_out_of_an_incident(
    world: World, program: Program, tmp_path: Path, path: str
) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "api-token").write_text("the token")
    folder = tmp_path / "incidents" / "inc-1"
    (folder / "patches").mkdir(parents=True)
    (folder / "link").symlink_to(tmp_path / "secrets" / "api-token")
    (folder / "folder-link").symlink_to(tmp_path / "secrets")
    answer = await program(world).get(f"/api/v1/incidents/{path}")
    assert answer.status_code == 404
    assert "the token" not in answer.text
