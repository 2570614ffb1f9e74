"""What the observer remembers of a process, asked in this one."""

from __future__ import annotations

import importlib
import json
import textwrap
from types import SimpleNamespace
from typing import Any

import pytest

#: Untyped: it is written for interpreters of tests, which may be old.
watch: Any = importlib.import_module("libs.verification.probe.watch")


def given(**params: object) -> str:
    digest: str = watch.given(SimpleNamespace(callspec=SimpleNamespace(params=params)))
    return digest


def test_what_a_test_expects_is_part_of_its_digest() -> None:
    assert given(expected=[(1, 2), {"a": 3}]) == given(expected=[(1, 2), {"a": 3}])
    assert given(expected=[(1, 2), {"a": 3}]) != given(expected=[(1, 2), {"a": 4}])
    assert given(thing=object()) == given(thing=object())
    assert watch.given(SimpleNamespace()) == ""


def test_functions_of_the_standard_library_are_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    integrity = watch.Integrity()
    before = integrity.replaced()

    monkeypatch.setattr(json, "loads", lambda text: None)
    monkeypatch.setattr(textwrap.dedent, "__code__", (lambda text: text).__code__)

    assert set(integrity.replaced()) - set(before) == {"json:loads", "textwrap:dedent"}


class Case:
    def assert_same(self, one: object, other: object) -> None:
        assert one is other


def item(**fields: Any) -> SimpleNamespace:
    return SimpleNamespace(cls=Case, _instance=Case(), **fields)


def test_what_is_put_on_a_test_after_its_collection_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    methods = {Case: watch.helpers(Case)}
    spoiled = item()
    spoiled._instance.assert_same = print

    assert watch.additions(item(), methods) == []
    assert watch.additions(item(runtest=print), methods) == ["item:runtest"]
    assert watch.additions(spoiled, methods) == ["instance:assert_same"]
    monkeypatch.setattr(Case, "assert_same", print)
    monkeypatch.setattr(Case, "assertEqual", print, raising=False)
    assert set(watch.additions(item(), methods)) == {"class:Case.assert_same", "class:Case.assertEqual"}
