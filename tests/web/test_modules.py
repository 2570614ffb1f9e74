"""The page's pure modules, in the browser that runs them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.dashboard.api.browser import PAGE
from tests.web.chromium import Page
from tests.web.server import Served

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def call(page: Page, still: Served, module: str, expression: str) -> Any:
    """Evaluate an expression with a module's exports as `m`."""
    await page.open(f"{still.url}/page/icon.svg")
    return await page.evaluate(f"import('/page/{module}').then(m => {expression})")


async def parse(page: Page, still: Served, text: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = await call(page, still, "diff.js", f"m.parse({json.dumps(text)})")
    return found


async def test_every_module_is_valid_and_finds_what_it_imports(page: Page, still: Served) -> None:
    await page.open(await still.link())
    for path in sorted(PAGE.glob("*.js")):
        assert await page.evaluate(f"import('/page/{path.name}').then(() => true)"), path.name


async def test_renamed_binary_and_mode_only_files_are_named(page: Page, still: Served) -> None:
    text = (
        "diff --git a/old name.py b/new name.py\nsimilarity index 100%\nrename from old name.py\nrename to new name.py\n"
        "diff --git a/logo.png b/logo.png\nBinary files a/logo.png and b/logo.png differ\n"
        "diff --git a/run.sh b/run.sh\nold mode 100644\nnew mode 100755\n"
    )
    files = await parse(page, still, text)
    assert [file["path"] for file in files] == ["old name.py → new name.py", "logo.png", "run.sh"]
    assert files[1]["notes"] == ["Binary files a/logo.png and b/logo.png differ"]


async def test_an_empty_text_and_a_text_that_is_no_diff_are_taken_as_they_are(
    page: Page, still: Served
) -> None:
    assert await parse(page, still, "") == []
    (only,) = await parse(page, still, "nothing of the kind\nat all\n")
    assert only["notes"] == ["nothing of the kind", "at all"]


async def test_no_line_of_a_diff_is_lost_whatever_it_looks_like(page: Page, still: Served) -> None:
    body = ["+@@ -1 +1 @@", "+diff --git a/x b/x", "+++ b/evil", "+--- a/evil", "+"]
    text = "--- a/f\n+++ b/f\n@@ -0,0 +1,5 @@\n" + "\n".join(body) + "\n"
    (file,) = await parse(page, still, text)
    assert [f"+{line['text']}" for line in file["lines"][1:]] == body
    assert file["added"] == 5


async def test_time_is_straight_without_long_waits_and_in_order_with_them(page: Page, still: Served) -> None:
    spans = "{ from: 0, to: 90000, gates: [], bars: [{ from: 0, to: 10000 }, { from: 80000, to: 90000 }] }"
    expression = f"(() => {{ const t = m.scale({spans}, 0, 900); return [0, 10000, 45000, 80000, 90000].map(t.x); }})()"
    places = await call(page, still, "scale.js", expression)
    assert places == sorted(places)
    assert (places[0], places[-1]) == (0, 900)
    # Twenty seconds of work and a wait of seventy, shown as ten: work has two thirds of the room.
    assert places[1] == pytest.approx(300)
    assert places[3] == pytest.approx(600)
    straight = spans.replace("80000, to", "12000, to").replace("90000", "22000")
    expression = (
        f"(() => {{ const t = m.scale({straight}, 0, 220); return [t.x(11000), t.breaks.length]; }})()"
    )
    assert await call(page, still, "scale.js", expression) == [110, 0]


async def test_a_scale_of_nothing_has_a_place_for_everything(page: Page, still: Served) -> None:
    expression = "(() => { const t = m.scale({ from: 5, to: 6, bars: [], gates: [] }, 0, 100); return [t.x(5), t.x(6), t.x(99)]; })()"
    assert await call(page, still, "scale.js", expression) == [0, 100, 100]


async def test_unseen_characters_are_seen_and_ordinary_ones_left_alone(page: Page, still: Served) -> None:
    plain = "Ünïcode, עברית, 日本語, 👩‍💻\n\ttab"
    assert await call(page, still, "visible.js", f"m.visible({json.dumps(plain)})") == plain
    assert (
        await call(page, still, "visible.js", "m.visible('a\\u202eb\\u0000\\u00ad\\r\\nc')")
        == "a⟨U+202E⟩b␀⟨U+00AD⟩\nc"
    )
    assert await call(page, still, "visible.js", "m.printed('\\u001b[1;31mx\\u001b[0m\\u001b[2J')") == "x␛[2J"
