"""What a person sees, in a real browser: live, resumed, never run by what tasks contain, usable small and by keys."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from contracts.mode import ModeChanged
from contracts.task import TaskParked, TaskUnparked
from libs.evidence.store import EvidenceStore
from services.dashboard.api.session import SESSION_LIFE
from tests.integration.dashboard.history import HOSTILE, Life
from tests.web.chromium import Page
from tests.web.reader import LIVE, enter, says
from tests.web.server import Served

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

Complaints = Callable[[], list[str]]


async def test_without_a_session_the_page_says_how_to_get_one(page: Page, served: Served) -> None:
    await page.open(served.url)
    assert "autopilot status" in await page.text()
    await page.open(f"{served.url}/login?token=made-up")
    assert "This link is used up" in await page.text()


async def test_an_empty_system_says_what_to_do(page: Page, served: Served, no_complaints: Complaints) -> None:
    await enter(page, served)
    await page.until(says("No task has been submitted yet"))
    assert "autopilot submit task.yaml" in await page.text()
    assert await page.evaluate("location.href") == f"{served.url}/"
    assert no_complaints() == []


async def test_tasks_are_where_they_stand(page: Page, still: Served, no_complaints: Complaints) -> None:
    await enter(page, still)
    await page.until(says("parse periods like 2024-W07"))
    counts = await page.evaluate(
        "Object.fromEntries([...document.querySelectorAll('.column')]"
        ".map(c => [c.querySelector('.stage-name').innerText, c.querySelector('.count').innerText]))"
    )
    assert counts == {
        "queue": "2",
        "spec": "0",
        "plan": "1",
        "think": "0",
        "implement": "1",
        "verify": "2",
        "review": "0",
        "pr": "0",
        "monitor": "1",
    }
    text = await page.text()
    assert "mode normal" in text
    assert "critical" in await page.text("#alerts")
    assert "given up: allocate remainders to the last party" in await page.text("#alerts")
    assert "webhook not told after 3 tries: connection refused" in text
    assert no_complaints() == []


async def test_what_happens_appears_without_a_reload(page: Page, busy: Served) -> None:
    await enter(page, busy)
    await page.until(says("mode normal"))
    await page.evaluate("window.sameDocument = true")
    world = busy.world
    # The views follow the record: the page has to wait for them, and it does.
    news = [
        await world.pen.write(
            ModeChanged(mode="emergency-stop", before="normal", actor="ada", reason="fire")
        ),
        await world.pen.write(
            TaskParked(
                task_id="t-verifying",
                code="emergency_stop",
                reason="emergency stop",
                owner="ada",
                wake_up="autopilot mode normal",
            )
        ),
    ]
    await world.deliver(news)
    await page.until(says("mode emergency-stop"))
    await page.until("document.querySelectorAll('tr[data-phase=parked]').length === 2")
    assert await page.evaluate("window.sameDocument")


async def test_views_that_lag_behind_the_news_are_waited_for(page: Page, busy: Served) -> None:
    await enter(page, busy)
    await page.evaluate("location.hash = '#/task/t-parked'")
    await page.until(says("autopilot retry t-parked"))
    news = await busy.world.pen.write(TaskUnparked(task_id="t-parked", reason="the reviewer is back"))
    # The page has been told and has read the old view by the time that the new one is there.
    reads = "performance.getEntriesByType('resource').filter(r => r.name.endsWith('/tasks/t-parked')).length"
    before = await page.evaluate(reads)
    await page.until(f"{reads} > {before}")
    await busy.world.deliver([news])
    await page.until(says("goes on: the reviewer is back"))


async def test_hostile_texts_stay_texts(page: Page, busy: Served, no_complaints: Complaints) -> None:
    digest = EvidenceStore(busy.world.data / "evidence").put_bytes(HOSTILE.encode())
    await enter(page, busy)
    await page.until(says(HOSTILE))
    await page.evaluate("location.hash = '#/task/t-hostile'")
    await page.until(f"document.title.startsWith({json.dumps(HOSTILE)})")
    assert await page.evaluate("document.querySelectorAll('main img, main script').length") == 0
    await page.open(f"{busy.url}/api/v1/evidence/{digest}")
    assert await page.evaluate("document.contentType") == "text/plain"
    assert await page.evaluate("document.title") == ""
    assert no_complaints() == []


async def test_a_pull_requests_url_is_a_link_only_if_it_is_harmless(page: Page, busy: Served) -> None:
    life = Life(busy.world.pen, EvidenceStore(busy.world.data / "evidence"), "t-evil", "evil")
    life.pull = type(life.pull)(
        repo="ledgerline",
        repo_url="",
        number=1,
        branch="b",
        base="main",
        commit="c",
        tree="t",
        url="javascript:document.title='owned'",
    )
    await life.until("monitor")
    await life.done()
    await busy.world.deliver()
    await enter(page, busy)
    await page.evaluate("location.hash = '#/task/t-evil'")
    await page.until(says("ledgerline #1"))
    assert await page.evaluate("[...document.links].filter(a => !/^https?:$/.test(a.protocol)).length") == 0


async def test_a_task_shows_proof_evidence_and_events(
    page: Page, still: Served, no_complaints: Complaints
) -> None:
    await enter(page, still)
    await page.evaluate("location.hash = '#/task/t-wrong'")
    await page.until(says("Given up: engine patch has no other candidate"))
    text = await page.text()
    assert "test_not_passing tests/test_allocation.py::test_remainder_goes_to_the_first" in text
    assert "41 of 42 pass, 1 fail" in text
    assert "verify, attempt 1 not accepted" in await page.text(".part-receipts")
    click = "[...document.querySelectorAll('button')].find(b => b.innerText === '{}').click()"
    await page.evaluate(click.format("verify/change/test.log"))
    await page.until(
        "document.querySelector('dialog[open] .text-body')?.innerText.includes('t-wrong: 41 passed')"
    )
    await page.press("Escape", 27)
    await page.until("!document.querySelector('dialog[open]')")
    await page.evaluate("document.querySelector('.raw').open = true")
    await page.until("document.querySelectorAll('.raw details').length > 20")
    assert "secret" not in text
    assert no_complaints() == []


async def test_a_lost_connection_is_said_and_nothing_is_missed(page: Page, busy: Served) -> None:
    await enter(page, busy)
    await page.until(says("mode normal"))
    await busy.stop()
    await page.until(says("Connection lost"))
    assert await page.evaluate("document.body.dataset.stale") == "true"
    world = busy.world
    missed = ModeChanged(mode="minimal", before="normal", actor="ada", reason="while nobody listened")
    await world.deliver([await world.pen.write(missed)])
    await busy.start()
    await page.until(LIVE)
    await page.until(says("mode minimal"))
    assert "Connection lost" not in await page.text()


async def test_a_stream_that_breaks_off_is_resumed_behind_the_last_event_that_was_seen(
    page: Page, busy: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed, asked = busy.world.running.parts.feed, []
    events = feed.events

    def noted(since: int | None) -> Any:
        asked.append(since)
        return events(since)

    monkeypatch.setattr(feed, "events", noted)
    await enter(page, busy)
    await page.until(says("mode normal"))
    world = busy.world
    seen = await world.pen.write(ModeChanged(mode="minimal", before="normal", actor="ada", reason="one"))
    await world.deliver([seen])
    await page.until(says("mode minimal"))
    # The server lets go of its clients, as it does after an hour; while nobody listens, something happens.
    for queue in feed._queues:
        queue.close()
    missed = await world.pen.write(ModeChanged(mode="read-only", before="minimal", actor="ada", reason="two"))
    await world.deliver([missed])
    await page.until(says("mode read-only"))
    await page.until(LIVE)
    assert asked == [None, seen.position]
    # Not the browser but the page itself comes back when the machine has been away.
    await page.evaluate("window.dispatchEvent(new Event('online'))")
    await page.until("document.querySelector('#link').dataset.state === 'live'")
    for _ in range(400):
        if len(asked) == 3:
            break
        await asyncio.sleep(0.05)
    assert asked == [None, seen.position, missed.position]


async def test_an_ended_session_is_said(page: Page, busy: Served) -> None:
    await enter(page, busy)
    busy.world.clock.advance(SESSION_LIFE.total_seconds())
    await page.evaluate("location.hash = '#/task/t-done'")
    await page.until(says("Your session has ended"))
    assert "autopilot status" in await page.text("#notice")


async def test_a_task_is_reached_by_keys_alone(page: Page, still: Served) -> None:
    await enter(page, still)
    await page.until(says("parse periods like 2024-W07"))
    for _ in range(60):
        await page.press("Tab", 9)
        if await page.evaluate("document.activeElement.getAttribute('href')") == "#/task/t-verifying":
            break
    outline = await page.evaluate("getComputedStyle(document.activeElement.closest('tr')).outlineStyle")
    assert outline == "solid"
    await page.press("Enter", 13)
    await page.until("location.hash === '#/task/t-verifying' && !!document.querySelector('.picture')")


async def test_focus_and_open_parts_survive_news(page: Page, busy: Served) -> None:
    await enter(page, busy)
    await page.evaluate("location.hash = '#/task/t-wrong'")
    await page.until("!!document.querySelector('.raw summary')")
    await page.evaluate(
        "document.querySelector('.raw').open = true; document.querySelector('.raw summary').focus()"
    )
    await page.until("document.querySelectorAll('.raw details').length > 20")
    world = busy.world
    changed = TaskParked(
        task_id="t-wrong", code="proof_missing", reason="late news", owner="ada", wake_up="never"
    )
    await world.deliver([await world.pen.write(changed)])
    await page.until(says("late news"))
    assert await page.evaluate("document.querySelector('.raw').open")
    assert await page.evaluate("document.activeElement === document.querySelector('.raw summary')")
    assert await page.evaluate("document.querySelectorAll('.raw details').length") > 20


@pytest.mark.parametrize("dark", [False, True])
async def test_it_fits_a_narrow_screen(page: Page, still: Served, dark: bool) -> None:
    await page.shape(390, 844, dark=dark)
    await enter(page, still)
    for place, there in (
        ("#/", ".board tbody tr"),
        ("#/task/t-wrong", ".part-incident"),
        ("#/task/t-hostile", ".part-facts .body"),
    ):
        await page.evaluate(f"location.hash = {json.dumps(place)}")
        await page.until(f"!!document.querySelector({json.dumps(there)})")
        fits = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        assert await page.evaluate(fits), place
        assert await page.evaluate(_CONTRAST) >= 4.5, place


#: The lowest contrast of any text on its own ground, as WCAG 2 computes it.
_CONTRAST = """
(() => {
  const parse = (colour) => (colour.match(/[\\d.]+/g) ?? []).map(Number);
  const light = (colour) => {
    const [r, g, b] = colour.slice(0, 3).map((c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (node) => {
    for (; node; node = node.parentElement) {
      const colour = parse(getComputedStyle(node).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  let lowest = 21;
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const node = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !node.checkVisibility()) continue;
    const [a, b] = [light(parse(getComputedStyle(node).color)), light(ground(node))].sort((x, y) => y - x);
    lowest = Math.min(lowest, (a + 0.05) / (b + 0.05));
  }
  return lowest;
})()
"""
