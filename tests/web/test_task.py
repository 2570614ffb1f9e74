"""A task's page: its timeline as a picture, its change, what proves it, what is stored of it."""

from __future__ import annotations

import json
from collections.abc import Callable

import msgspec
import pytest

from contracts.task import StageRequested
from libs.evidence.store import EvidenceStore
from tests.integration.dashboard.history import Life
from tests.web.chromium import Page
from tests.web.reader import click, enter, look_at, says
from tests.web.server import Served
from tests.web.winding import REMARK, TASK

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def count(page: Page, selector: str) -> int:
    return int(await page.evaluate(f"document.querySelectorAll({json.dumps(selector)}).length"))


async def test_the_timeline_has_a_bar_for_each_attempt_a_diamond_for_each_answer_and_an_arrow_back(
    page: Page, still: Served, no_complaints: Callable[[], list[str]]
) -> None:
    await look_at(page, still, TASK)
    await page.until("document.querySelectorAll('.picture .bar').length > 0")
    assert await count(page, ".picture .bar") == 10
    assert await count(page, ".picture .gate-point") == 10
    assert await count(page, ".picture .loop") == 1
    assert await count(page, ".picture .parked") == 1
    assert await count(page, ".picture .now") == 0
    labels = await page.evaluate(
        "[...document.querySelectorAll('.picture .point')].map(p => p.getAttribute('aria-label'))"
    )
    assert sum("verify, attempt 1: not accepted (test_not_passing)" in label for label in labels) == 1
    assert sum(label.startswith("gate 1, automated: reject at") for label in labels) == 1
    assert sum("back to the plan: negative amounts are split as well" in label for label in labels) == 1
    assert sum(label.startswith("parked for 1 d") for label in labels) == 1
    assert no_complaints() == []


async def test_a_day_of_waiting_leaves_room_for_the_seconds_of_work(page: Page, still: Served) -> None:
    await look_at(page, still, TASK)
    await page.until("document.querySelectorAll('.picture .bar').length === 10")
    widths = await page.evaluate(
        "[...document.querySelectorAll('.picture .bar .body')].map(b => b.getBoundingClientRect().width)"
    )
    assert min(widths) > 15
    assert await count(page, ".picture .break") == 1
    overlap = await page.evaluate(
        "document.querySelector('.picture svg').getBoundingClientRect().right <= innerWidth"
    )
    assert overlap


async def test_marks_of_the_timeline_are_gone_through_with_arrows_and_say_what_they_are(
    page: Page, still: Served
) -> None:
    await look_at(page, still, TASK)
    await page.until("document.querySelectorAll('.picture .bar').length === 10")
    assert await count(page, ".picture .point[tabindex='0']") == 1
    await page.evaluate("document.querySelector('.picture .point[tabindex=\"0\"]').focus()")
    for _ in range(2):
        await page.press("ArrowRight", 39)
    label = await page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert label.startswith(("plan, attempt 1", "spec, attempt 1"))
    assert await page.text(".said") == label
    assert await count(page, ".picture .point[tabindex='0']") == 1


async def test_a_running_attempt_grows_up_to_the_line_that_is_now(page: Page, still: Served) -> None:
    await look_at(page, still, "t-verifying")
    await page.until("document.querySelectorAll('.picture .now').length === 1")
    edges = (
        "const now = document.querySelector('.picture .now').getBoundingClientRect().left,"
        " bar = document.querySelector('.picture .bar .open').getBoundingClientRect().right"
    )
    assert await page.evaluate(f"(() => {{ {edges}; return Math.abs(now - bar) < 3; }})()")


async def test_a_change_is_shown_file_by_file_with_its_remarks(page: Page, still: Served) -> None:
    await look_at(page, still, TASK)
    await page.until("document.querySelectorAll('.diff details').length === 2")
    assert REMARK in await page.text(".part-changes")
    first = await page.text(".diff details:first-of-type")
    assert first.splitlines()[0].split() == ["ledgerline/money.py", "+3", "−2"]
    shape = await page.evaluate(
        "[...document.querySelectorAll('.diff details:first-of-type tr')]"
        ".map(r => [r.dataset.kind, ...[...r.querySelectorAll('.no, .sign')].map(c => c.innerText)])"
    )
    assert shape == [
        ["place", ""],
        ["same", "10", "10", ""],
        ["removed", "11", "", "−"],
        ["added", "", "11", "+"],
        ["added", "", "12", "+"],
        ["same", "12", "13", ""],
        ["removed", "13", "", "−"],
        ["added", "", "14", "+"],
    ]


async def test_a_long_line_scrolls_inside_its_file_and_says_what_is_left_out(
    page: Page, still: Served
) -> None:
    await page.shape(390, 844)
    await look_at(page, still, TASK)
    await page.until("document.querySelectorAll('.diff details').length === 2")
    assert "(198000 more characters)" in (await page.text(".diff")).replace(",", "")
    assert await page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert await page.evaluate(
        "[...document.querySelectorAll('.lines')].some(box => box.scrollWidth > box.clientWidth)"
    )


async def test_a_huge_diff_is_shown_in_part_and_says_so(page: Page, busy: Served) -> None:
    life = Life(busy.world.pen, EvidenceStore(busy.world.data / "evidence"), "t-huge", "rewrite")
    lines = "".join(f"+line {number}\n" for number in range(90_000))
    text = f"diff --git a/big.py b/big.py\n--- a/big.py\n+++ b/big.py\n@@ -0,0 +1,90000 @@\n{lines}"
    stored = life.stored
    life.stored = lambda name, _, kind="text/plain": stored(name, text, kind)  # type: ignore[method-assign]
    await life.until("verify")
    await busy.world.deliver()
    await look_at(page, busy, "t-huge")
    await page.until("document.querySelectorAll('.diff details').length === 1")
    assert "only its first 1024 KiB are shown" in await page.text(".diff")
    assert await count(page, ".diff tr") == 0
    await page.evaluate("document.querySelector('.diff details').open = true")
    await page.until("document.querySelectorAll('.diff tr').length > 1000")
    assert await count(page, ".diff tr") < 1_600
    assert "more lines of this file are not shown" in await page.text(".diff")


async def test_receipts_say_what_was_run_where_and_how_it_ended(page: Page, still: Served) -> None:
    await look_at(page, still, TASK)
    await page.until("!!document.querySelector('.part-receipts details[open] tbody tr')")
    rows = await page.evaluate(
        "[...document.querySelectorAll('.part-receipts details[open] tbody tr')].map(r => r.innerText)"
    )
    assert len(rows) == 2
    assert "fail_to_pass" in rows[0]
    assert "40 of 42 pass, 2 fail" in rows[0]
    assert "cached" in rows[0]
    assert "48 MB" in rows[1]
    assert "python -m pytest -q" in rows[1]
    await click(page, "output", ".part-receipts details[open] button")
    await page.until(says("t-winding: 42 passed, 0 failed", "dialog[open] .text-body"))


async def test_gates_show_findings_votes_and_the_rubric(page: Page, still: Served) -> None:
    await look_at(page, still, TASK)
    await page.until(says("Gate 5", ".part-gates"))
    assert await count(page, ".part-gates .gates > li") == 10
    assert "test_not_passing tests/test_money.py::test_refund fails" in await page.text(".part-gates")
    assert "4 of 4" in await page.text(".part-rubric")
    assert await count(page, ".rubric .meter i[data-full=true]") == 4


async def test_evidence_is_read_page_by_page_and_searched_to_its_end(page: Page, still: Served) -> None:
    await look_at(page, still, TASK)
    await click(page, "implement/noise.log", ".part-evidence button")
    await page.until(says("page 1 of", "dialog[open] .pages"))
    assert await page.evaluate(
        "[...document.querySelectorAll('dialog[open] .code .no')].slice(0, 3).map(n => n.innerText)"
    ) == ["1", "2", "3"]
    await page.evaluate(
        "(() => { const form = document.querySelector('dialog[open] .find');"
        " form.elements[0].value = 'LINE 19999 '; form.requestSubmit(); })()"
    )
    await page.until("!!document.querySelector('dialog[open] tr[data-found]')")
    assert await page.evaluate("document.querySelector('tr[data-found]').dataset.line") == "19999"
    drawn = await count(page, "dialog[open] .code tr")
    assert 0 < drawn < 10_000
    # The first one empties the field, as everywhere.
    await page.press("Escape", 27)
    await page.press("Escape", 27)
    await page.until("!document.querySelector('dialog[open]')")
    assert await page.evaluate("location.hash") == f"#/task/{TASK}"


async def test_json_is_laid_out_and_shown_as_stored_on_demand(page: Page, still: Served) -> None:
    await look_at(page, still, TASK)
    await click(page, "spec/report.json", ".part-evidence button")
    await page.until(says('  "stage": "spec"', "dialog[open] .text-body"))
    await click(page, "As stored", "dialog[open] button")
    await page.until(says('{"stage": "spec"}', "dialog[open] .text-body"))


async def test_an_incident_says_how_to_reproduce_it_and_what_that_gave(page: Page, still: Served) -> None:
    await look_at(page, still, "t-wrong")
    await page.until(says("incidents/inc-t-wrong/reproduce", ".part-incident"))
    assert "test_remainder_goes_to_the_first" in await page.text(".part-incident")
    await click(page, "reproduce.sh", ".part-incident button")
    await page.until(says("git clone ledgerline.bundle work", "dialog[open] .text-body"))
    shown = await page.evaluate(
        "(async () => { const { incidentPart } = await import('/page/incident.js');"
        " return incidentPart({ id: 'i', stage: 'verify', reason: 'r', label: '', findings: [], bases: {}, commands: [],"
        " files: [], path: 'p', reproducible: true, filed_at: '2026-01-01T00:00:00Z', branch: 'incident/t', commit: '', unpublished: '',"
        " forge: 'javascript:alert(1)', reproduction: { gave: 'does_not_show', detail: 'it passed' } }).outerHTML; })()"
    )
    assert '<dd class="mono"><span title="incident/t">incident/t' in shown
    assert "did not show when it was tried</b>: it passed" in shown
    assert "<dt>commit" not in shown
    assert "<a" not in shown


async def test_a_task_without_runs_is_shown_all_the_same(page: Page, still: Served) -> None:
    await look_at(page, still, "t-queued")
    await page.until("!!document.querySelector('.picture .wait')")
    assert await count(page, ".part-changes, .part-receipts, .part-gates") == 0


async def test_the_command_for_a_local_pull_request_can_be_copied(page: Page, still: Served) -> None:
    await look_at(page, still, TASK)
    command = "git -C '/data/the forge/ledgerline.git' log -p -1 refs/pull/7/head"
    await page.until(says(command, ".part-pulls"))
    await page.call(
        "Browser.grantPermissions",
        permissions=["clipboardReadWrite", "clipboardSanitizedWrite"],
        browserContextId=page.context,
    )
    await page.evaluate("document.querySelector('.part-pulls button').click()")
    await page.until(says("Copied", ".part-pulls"))


async def test_stages_asked_for_under_the_plan_before_are_pending_again(page: Page, busy: Served) -> None:
    pen = busy.world.pen
    requested = [
        recorded.event
        for recorded in await busy.world.history()
        if isinstance(recorded.event, StageRequested) and recorded.event.task_id == "t-broken"
    ]
    again = msgspec.structs.replace(
        next(event for event in requested if event.stage == "plan"), run_id="t-broken-plan-2", attempt=2
    )
    await busy.world.deliver([await pen.write(again)])
    await enter(page, busy)
    await page.until(
        "document.querySelector('tr[data-key=t-broken] [data-key=plan]')?.dataset.state === 'requested'"
    )
    state = "document.querySelector('tr[data-key=t-broken] [data-key=implement]').dataset.state"
    assert await page.evaluate(state) == "pending"
