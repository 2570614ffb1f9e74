"""Why a task does not run yet, on the page: what it waits for, its place, an estimate; live, by keys, on a phone."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from libs.runtime.work import Work
from services.scheduler.domain.admission import POOL, Grant, Leave, admission
from tests.web.chromium import Page
from tests.web.reader import enter, look_at, says
from tests.web.server import Served

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def waiting(served: Served, count: int = 2) -> list[str]:
    """Let one task have the only slot and others wait for it; return those."""
    await served.tasks.call("PUT", "/v1/config", {"max_concurrent": 1})
    await served.tasks.submit("has the slot")
    ids = [await served.tasks.submit(f"waits {number}") for number in range(count)]
    await served.world.deliver()
    return ids


def later(served: Served) -> None:
    """Let so much time pass that answers are asked for anew."""
    served.world.clock.advance(2)


def row(task_id: str) -> str:
    return f"tr[data-key={task_id}]"


async def test_a_waiting_task_says_its_place_what_it_waits_for_and_what_is_known_of_when(
    page: Page, served: Served, no_complaints: Callable[[], list[str]]
) -> None:
    _, second = await waiting(served)
    await enter(page, served)
    await page.until(says("1 ahead", row(second)))
    await page.evaluate(f"location.hash = '#/task/{second}'")
    await page.until(says("1 task starts before it", ".part-wait"))
    told = await page.text(".part-wait")
    assert "1 of 1 slots are taken" in told
    assert "no estimate: fewer than 5 slots have come free" in told
    assert "As of " in told
    assert no_complaints() == []


async def test_an_estimate_is_told_with_what_it_rests_on(page: Page, served: Served) -> None:
    ids = await waiting(served, 12)
    running, clock = served.tasks.running, served.world.clock
    for _ in range(8):
        clock.advance(30)
        [holder] = (await running.recall(admission, POOL)).running

        async def turn_over(work: Work, holder: str = holder) -> None:
            await work.decide(admission, POOL, Leave(task_id=holder, reason="done"))
            await work.decide(admission, POOL, Grant())

        await running.perform(turn_over)
    await enter(page, served)
    await page.until(says("3 ahead, about 2 min", row(ids[-1])))
    await page.evaluate(f"location.hash = '#/task/{ids[-1]}'")
    await page.until(says("3 tasks start before it", ".part-wait"))
    told = await page.text(".part-wait")
    assert "about 2 min, at " in told
    assert "3 starts ahead, a slot has come free every 30 s over the last 7" in told


async def test_its_place_changes_when_others_come_and_go(page: Page, served: Served) -> None:
    first, second = await waiting(served)
    await look_at(page, served, second)
    await page.until(says("1 task starts before it", ".part-wait"))
    await page.evaluate("window.sameDocument = true")
    await served.tasks.submit("more urgent", priority="urgent")
    later(served)
    await page.until(says("2 tasks start before it", ".part-wait"))
    await served.tasks.call("POST", f"/v1/tasks/{first}/cancel")
    later(served)
    await page.until(says("1 task starts before it", ".part-wait"))
    await served.tasks.call("POST", "/v1/queues/default/pause", {"reason": "release day"})
    later(served)
    await page.until(says("queue default is paused by ann (release day)", ".part-wait"))
    assert await page.evaluate("window.sameDocument")


async def test_a_dependency_and_a_hold_are_told_on_the_board_and_lead_to_what_is_waited_for(
    page: Page, served: Served
) -> None:
    [first] = await waiting(served, 1)
    behind = await served.tasks.submit("behind it", depends_on=[first])
    await served.tasks.call("PUT", "/v1/drain", {"reason": "new disks"})
    await served.world.deliver()
    await enter(page, served)
    await page.until(says(f"waits for {first} (queued)", row(behind)))
    await page.until(says("the scheduler is draining, by ann (new disks)", row(first)))
    await page.evaluate(f"location.hash = '#/task/{behind}'")
    await page.until(f"!!document.querySelector('.part-wait a[href=\"#/task/{first}\"]')")


async def test_without_the_scheduler_the_page_says_so_and_shows_the_rest(page: Page, served: Served) -> None:
    [first] = await waiting(served, 1)
    await served.tasks.stop()
    await look_at(page, served, first)
    await page.until(says("This cannot be told now: the scheduler cannot be asked", ".part-wait"))
    assert "Waits in queue default." in await page.text(".head")
    await served.tasks.start()
    later(served)
    await page.until(says("0 tasks start before it", ".part-wait"))
    await page.evaluate("location.hash = '#/'")
    await page.until(says("next to start", row(first)))


async def test_it_is_reached_by_keys_and_fits_a_phone(page: Page, served: Served) -> None:
    _, second = await waiting(served)
    await served.tasks.call("POST", "/v1/queues/default/pause", {"reason": "a very long reason " * 20})
    await page.shape(390, 844)
    for place, there in (("#/", row(second)), (f"#/task/{second}", ".part-wait .panel")):
        await enter(page, served)
        await page.evaluate(f"location.hash = {json.dumps(place)}")
        await page.until(says("is paused by ann", there))
        assert await page.evaluate(
            "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        )
    await page.press("j", 74)
    await page.press("j", 74)
    assert await page.evaluate("document.activeElement.innerText") == "Why it does not run yet"
