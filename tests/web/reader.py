"""What a reader of the page does and sees."""

from __future__ import annotations

import json

from tests.web.chromium import Page
from tests.web.server import Served

LIVE = "document.querySelector('#link')?.dataset.state === 'live'"


async def enter(page: Page, served: Served) -> None:
    """Open the dashboard as a person does: by the link that the command line prints."""
    await page.open(await served.link())
    await page.until(LIVE)


async def look_at(page: Page, served: Served, task_id: str) -> None:
    """Open the dashboard and then one task."""
    await enter(page, served)
    await page.evaluate(f"location.hash = '#/task/{task_id}'")
    await page.until(f"document.querySelector('.head .subtitle')?.innerText.includes({json.dumps(task_id)})")


def says(text: str, selector: str = "body") -> str:
    """Ask whether a reader of the page sees a text."""
    return f"!!document.querySelector({json.dumps(selector)})?.innerText.includes({json.dumps(text)})"


async def click(page: Page, text: str, selector: str = "button") -> None:
    """Click what bears a text."""
    found = f"[...document.querySelectorAll({json.dumps(selector)})].find(b => b.innerText === {json.dumps(text)})"
    await page.until(f"!!{found}")
    await page.evaluate(f"{found}.click()")
