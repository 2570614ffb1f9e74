"""The page's files, as far as reading them tells."""

from __future__ import annotations

import re

import pytest

from services.dashboard.api.browser import PAGE

FILES = {path.name: path.read_text() for path in sorted(PAGE.iterdir()) if path.suffix != ".svg"}
MODULES = {name: text for name, text in FILES.items() if name.endswith(".js")}
#: What would turn a text into markup or a program.
PARSERS = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|new Function|srcdoc"
)


@pytest.mark.parametrize("name", MODULES)
def test_no_module_turns_a_text_into_markup(name: str) -> None:
    assert not PARSERS.search(MODULES[name])


@pytest.mark.parametrize("name", FILES)
def test_files_stay_small(name: str) -> None:
    assert len(FILES[name].splitlines()) <= 200


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".html")])
def test_documents_hold_no_script_style_or_handler_of_their_own(name: str) -> None:
    text = FILES[name]
    assert not re.search(r"<style|\sstyle=|\son\w+=", text)
    assert all('src="' in tag for tag in re.findall(r"<script[^>]*>", text))


def test_everything_that_a_document_or_a_module_asks_for_is_there() -> None:
    asked = {name for text in FILES.values() for name in re.findall(r'(?:href|src)="/page/([^"]+)"', text)}
    asked |= {name for text in MODULES.values() for name in re.findall(r'from "\./([^"]+)"', text)}
    assert asked <= {path.name for path in PAGE.iterdir()}
    assert {name for name in FILES if not name.endswith(".html")} <= asked
