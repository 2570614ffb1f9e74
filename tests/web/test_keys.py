"""The page by keys, small, and for those who hear it."""

from __future__ import annotations

import json

import pytest

from contracts.mode import ModeChanged
from contracts.task import TaskParked
from libs.evidence.store import EvidenceStore
from tests.integration.dashboard.history import Life
from tests.web.chromium import Page
from tests.web.reader import enter, says
from tests.web.server import Served
from tests.web.winding import TASK

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

FOCUSED = "document.activeElement.closest('tr')?.dataset.key"
ROWS = "[...document.querySelectorAll('tbody tr')].map(r => r.dataset.key)"


async def test_j_and_k_move_among_tasks_enter_opens_and_escape_comes_back_to_the_same(
    page: Page, still: Served
) -> None:
    await enter(page, still)
    await page.until("document.querySelectorAll('tbody tr').length > 5")
    rows = await page.evaluate(ROWS)
    for key, code in (("j", 74), ("j", 74), ("j", 74), ("k", 75)):
        await page.press(key, code)
    assert await page.evaluate(FOCUSED) == rows[1]
    await page.press("ArrowDown", 40)
    assert await page.evaluate(FOCUSED) == rows[2]
    await page.press("Enter", 13)
    await page.until(f"location.hash === '#/task/{rows[2]}' && !!document.querySelector('.head')")
    await page.press("j", 74)
    assert await page.evaluate("document.activeElement.tagName") == "H2"
    await page.press("Escape", 27)
    await page.until(f"{FOCUSED} === {json.dumps(rows[2])}")


async def test_a_search_by_keys_narrows_the_tasks_and_is_part_of_the_address(
    page: Page, still: Served
) -> None:
    await enter(page, still)
    await page.until("document.querySelectorAll('tbody tr').length > 5")
    await page.press("/", 191)
    assert await page.evaluate("document.activeElement.id") == "search"
    for letter in "jCSV":
        await page.type(letter)
    await page.until("document.querySelectorAll('tbody tr').length === 0")
    assert "No task is like this" in await page.text("main")
    await page.press("Home", 36)
    await page.press("Delete", 46)
    await page.until(f"JSON.stringify({ROWS}) === '[\"t-parked\"]'")
    assert await page.evaluate("location.hash") == "#/?text=CSV"
    assert await page.evaluate("document.activeElement.id") == "search"
    await page.press("Escape", 27)
    assert await page.evaluate(FOCUSED) == "t-parked"


SHOWN = {
    "incident": ["t-wrong"],
    "parked": ["t-parked"],
    "done": ["t-winding", "t-done"],
    "underway": ["t-synthetic", "t-watched", "t-refused", "t-verifying", "t-broken"],
}


async def test_a_filter_is_an_address(page: Page, still: Served) -> None:
    await enter(page, still)
    for show, expected in SHOWN.items():
        await page.evaluate(f"location.hash = '#/?show={show}'")
        rows = json.dumps(json.dumps(expected, separators=(",", ":")))
        await page.until(f"JSON.stringify({ROWS}) === {rows}")
        assert await page.evaluate("[...document.querySelectorAll('.filters [aria-current]')].length") == 1
    await page.evaluate("location.hash = '#/?show=nonsense'")
    await page.until("document.querySelectorAll('tbody tr').length === 12")


async def test_the_keys_are_told_and_no_key_acts_behind_a_dialog(page: Page, still: Served) -> None:
    await enter(page, still)
    await page.until("document.querySelectorAll('tbody tr').length > 5")
    await page.press("?", 191)
    await page.until(says("back to all tasks", "dialog[open]"))
    await page.press("j", 74)
    assert await page.evaluate(FOCUSED) is None
    await page.press("Escape", 27)
    await page.until("!document.querySelector('dialog[open]')")


async def test_nothing_moves_when_news_arrives(page: Page, busy: Served) -> None:
    await enter(page, busy)
    await page.until("document.querySelectorAll('tbody tr').length > 5")
    before = await page.evaluate(_PLACES)
    world = busy.world
    life = Life(world.pen, EvidenceStore(world.data / "evidence"), "t-verifying", "again")
    life.attempts["verify"] = 1
    await life.judged("verify")
    news = [
        await world.pen.write(ModeChanged(mode="minimal", before="normal", actor="ada", reason="late")),
        await world.pen.write(
            TaskParked(
                task_id="t-refused",
                code="no_quorum",
                reason="a very long reason " * 20,
                owner="ada",
                wake_up="never",
            )
        ),
    ]
    await world.deliver()
    await world.deliver(news)
    await page.until(says("mode minimal"))
    await page.until("document.querySelector('tr[data-key=t-refused]')?.dataset.phase === 'parked'")
    assert await page.evaluate(_PLACES) == before


@pytest.mark.parametrize("place", ["#/", f"#/task/{TASK}", "#/task/t-wrong"])
async def test_whoever_hears_the_page_can_use_it(page: Page, still: Served, place: str) -> None:
    await enter(page, still)
    await page.evaluate(f"location.hash = {json.dumps(place)}")
    await page.until(
        f"!!document.querySelector({json.dumps('.board tbody tr' if place == '#/' else '.picture .point')})"
    )
    assert await page.evaluate(_FAULTS) == []


#: Where every row, cell, heading and fact is.
_PLACES = """
[...document.querySelectorAll('header *, h2, .board tr, .board th, .board td, .board .mark, .filters a')]
  .filter(node => node.id !== 'link-text' && !node.matches('b, .system .badge'))
  .map(node => { const r = node.getBoundingClientRect(); return `${node.tagName} ${r.x} ${r.y} ${r.width} ${r.height}`; })
"""

#: What a checker of accessibility would say that needs no network: names, ids, headings, landmarks, references.
_FAULTS = """
(() => {
  const faults = [];
  const name = (node) => node.getAttribute('aria-label') || node.innerText?.trim() || node.title
    || [...(node.labels ?? [])].map(l => l.textContent.trim()).join('')
    || (node.getAttribute('aria-labelledby') ?? '').split(' ').map(id => document.getElementById(id)?.textContent ?? '').join('').trim();
  const seen = [...document.querySelectorAll('a, button, input, select, summary, [tabindex], [role=img], section, dialog[open]')];
  for (const node of seen) {
    if (node.id === 'main' || !node.checkVisibility()) continue;
    if (!name(node)) faults.push(`no name: ${node.outerHTML.slice(0, 120)}`);
  }
  for (const node of document.querySelectorAll('[tabindex]')) if (node.tabIndex > 0) faults.push('tabindex above 0');
  const ids = [...document.querySelectorAll('[id]')].map(n => n.id);
  for (const id of new Set(ids)) if (ids.filter(other => other === id).length > 1) faults.push(`id ${id} twice`);
  for (const attribute of ['aria-labelledby', 'aria-describedby', 'aria-controls'])
    for (const node of document.querySelectorAll(`[${attribute}]`))
      for (const id of node.getAttribute(attribute).split(' '))
        if (!document.getElementById(id) && node.checkVisibility()) faults.push(`${attribute} ${id} is nowhere`);
  let level = 0;
  for (const heading of document.querySelectorAll('h1, h2, h3, h4')) {
    if (!heading.checkVisibility()) continue;
    const own = Number(heading.tagName[1]);
    if (own > level + 1) faults.push(`heading ${heading.innerText} leaves a level out`);
    level = own;
  }
  if (document.querySelectorAll('h1').length !== 1) faults.push('not one h1');
  if (document.querySelectorAll('main').length !== 1 || document.querySelectorAll('body > header').length !== 1) faults.push('landmarks');
  for (const box of document.querySelectorAll('main *')) {
    const style = getComputedStyle(box);
    const scrolls = /auto|scroll/.test(style.overflowX + style.overflowY) && (box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight + 1);
    if (scrolls && box.checkVisibility() && box.tabIndex < 0) faults.push(`scrolls but not by keys: ${box.className}`);
  }
  if (!document.documentElement.lang) faults.push('no language');
  return faults;
})()
"""
