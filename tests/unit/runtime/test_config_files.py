"""Any setting may be given as the name of a file that holds it."""

from __future__ import annotations

from pathlib import Path

import pytest

from libs.runtime.config import ConfigError, read
from tests.unit.runtime.test_config import GIVEN


def by_file(place: Path, name: str, content: str) -> dict[str, str]:
    file = place / "setting"
    file.write_text(content)
    rest = {key: value for key, value in GIVEN.items() if key != name}
    return {**rest, f"{name}_FILE": str(file)}


@pytest.mark.parametrize("name", [*GIVEN, "AUTOPILOT_REPLICA"])
def test_a_setting_is_read_from_the_file_that_is_named(tmp_path: Path, name: str) -> None:
    config = read(by_file(tmp_path, name, "8803\n"))
    assert str(getattr(config, name.removeprefix("AUTOPILOT_").lower())) == "8803"


@pytest.mark.parametrize("content", ["", " \n"])
def test_an_empty_file_is_no_setting(tmp_path: Path, content: str) -> None:
    with pytest.raises(ConfigError, match=r"AUTOPILOT_API_TOKEN.*is empty"):
        read(by_file(tmp_path, "AUTOPILOT_API_TOKEN", content))


def test_a_file_that_cannot_be_read_is_named_with_its_setting(tmp_path: Path) -> None:
    given = by_file(tmp_path, "AUTOPILOT_API_TOKEN", "x")
    with pytest.raises(ConfigError, match=r"AUTOPILOT_API_TOKEN.*nowhere"):
        read({**given, "AUTOPILOT_API_TOKEN_FILE": str(tmp_path / "nowhere")})


def test_a_setting_that_is_given_twice_is_refused(tmp_path: Path) -> None:
    given = by_file(tmp_path, "AUTOPILOT_API_TOKEN", "hidden")
    with pytest.raises(ConfigError, match="given twice") as caught:
        read({**given, "AUTOPILOT_API_TOKEN": "other"})
    assert "hidden" not in str(caught.value)
