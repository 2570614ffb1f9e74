"""Named statements are found, and each is used."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from libs.eventstore import postgres, scan
from libs.eventstore.sql import load, queries


def test_every_statement_is_used_by_its_name() -> None:
    source = inspect.getsource(postgres) + inspect.getsource(scan)
    assert set(queries) == {name for name in queries if f'"{name}"' in source}


def test_no_statement_is_empty() -> None:
    assert all(re.search(r"^(select|insert|update|delete)", text, re.MULTILINE) for text in queries.values())


def test_a_name_stands_for_one_statement(tmp_path: Path) -> None:
    path = tmp_path / "q.sql"
    path.write_text("-- a --\nselect 1\n-- a --\nselect 2\n")
    with pytest.raises(ValueError, match=r"q\.sql"):
        load(path)
