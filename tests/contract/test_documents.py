"""What derives from the classes is fresh: `make docs` would change nothing."""

from __future__ import annotations

import pytest

from autopilot.documents import ROOT, documents


@pytest.mark.parametrize("name", sorted(documents()))
def test_derived_file_is_fresh(name: str) -> None:
    path = ROOT / name
    assert path.exists(), f"{name} is missing: run `make docs`"
    assert path.read_text() == documents()[name], f"{name} is stale: run `make docs`"


def test_no_schema_of_a_stream_that_is_gone() -> None:
    present = {str(path.relative_to(ROOT)) for path in (ROOT / "contracts" / "schemas").rglob("*.json")}
    assert present == {name for name in documents() if name.startswith("contracts/schemas/")}
