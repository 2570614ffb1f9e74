"""Whatever tasks and programs write is shown as text, and what would deceive a reader is made visible."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from libs.evidence.store import EvidenceStore
from tests.integration.dashboard.history import Life
from tests.web.chromium import Page
from tests.web.reader import click, enter, look_at, says
from tests.web.server import Served
from tests.web.winding import TASK

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_marks_that_turn_the_direction_of_writing_are_shown(
    page: Page, busy: Served, no_complaints: Callable[[], list[str]]
) -> None:
    world = busy.world
    title = "pay \u202ednib\u202c \u200bnow \x1b[31m\x07"
    await Life(world.pen, EvidenceStore(world.data / "evidence"), "t-bidi", title).submitted()
    await world.deliver()
    await enter(page, busy)
    seen = "pay ⟨U+202E⟩dnib⟨U+202C⟩ ⟨U+200B⟩now ␛[31m␇"
    await page.until(says(seen))
    await page.evaluate("location.hash = '#/task/t-bidi'")
    await page.until(f"document.title.startsWith({json.dumps(seen)})")
    await look_at(page, busy, TASK)
    await page.until(says("access = 'user⟨U+202E⟩ ⟨U+2066⟩// admin'", ".diff"))
    left = await page.evaluate(r"/[\u202a-\u202e\u2066-\u2069\u001b\u0007]/.test(document.body.textContent)")
    assert not left
    assert no_complaints() == []


async def test_a_diff_that_holds_a_page_is_shown_as_text(page: Page, still: Served) -> None:
    await look_at(page, still, TASK)
    await page.until(says("<script>document.title = 'owned'</script>", ".diff"))
    assert await page.evaluate("document.querySelectorAll('main script, dialog script').length") == 0
    assert "owned" not in await page.evaluate("document.title")


async def test_colours_of_a_terminal_are_left_out_and_its_other_escapes_shown(
    page: Page, still: Served
) -> None:
    await look_at(page, still, TASK)
    await click(page, "implement/noise.log", ".part-evidence button")
    await page.until(says("line 1 red ␛]0;title␇", "dialog[open] .text-body"))


async def test_what_is_not_a_text_is_not_shown_as_one(page: Page, busy: Served) -> None:
    digest = EvidenceStore(busy.world.data / "evidence").put_bytes(b"PK\x03\x04\0\0" + bytes(range(256)))
    await enter(page, busy)
    await page.evaluate(f"import('/page/viewer.js').then(v => v.openEvidence('{digest}', 'a.zip'))")
    await page.until(says("It is not a text", "dialog[open]"))


async def test_the_page_needs_nothing_that_its_policy_forbids(page: Page, still: Served) -> None:
    await enter(page, still)
    await page.evaluate(
        "window.refused = []; document.addEventListener('securitypolicyviolation', e => window.refused.push(e.violatedDirective))"
    )
    await page.evaluate(f"location.hash = '#/task/{TASK}'")
    await page.until("document.querySelectorAll('.picture .bar').length === 10")
    assert await page.evaluate("window.refused") == []
    # And the policy is there: what a page might be tricked into does not run.
    await page.evaluate(
        "(() => { const s = document.createElement('script'); s.textContent = 'window.owned = 1'; document.body.append(s); })()"
    )
    await page.until("window.refused.length > 0")
    assert await page.evaluate("window.owned") is None
