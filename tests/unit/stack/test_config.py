"""Where a stack lives: the ports and names that outsiders rely on."""

from __future__ import annotations

from pathlib import Path

import pytest

from autopilot.stack.config import DEFAULT_PORTS, SERVICES, StackConfig, module_of
from autopilot.stack.errors import StackError


def test_the_ports_are_the_published_ones() -> None:
    assert dict(DEFAULT_PORTS) == {
        "dashboard": 8800,
        "scheduler": 8801,
        "stage-runner": 8802,
        "gate": 8803,
        "resolution": 8804,
        "alerting": 8805,
        "cleanup": 8806,
        "nats": 8822,
        "nats-monitoring": 8823,
        "postgres": 8832,
    }


def test_a_public_name_leads_to_its_module() -> None:
    assert module_of("stage-runner") == "services.stage_runner.app"
    assert len(SERVICES) == 7


def test_the_argument_comes_before_the_environment(tmp_path: Path) -> None:
    environ = {"AUTOPILOT_DATA_DIR": str(tmp_path / "from-environment")}
    assert StackConfig.from_arguments(environ=environ).data_dir == tmp_path / "from-environment"
    assert StackConfig.from_arguments(tmp_path / "given", environ=environ).data_dir == tmp_path / "given"


def test_the_default_directory_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert StackConfig.from_arguments(environ={}).data_dir == tmp_path / ".autopilot"


def test_a_password_of_any_characters_fits_the_connection_string(tmp_path: Path) -> None:
    dsn = StackConfig(data_dir=tmp_path).dsn("role", "a@b/c:d")
    assert dsn == "postgresql://role:a%40b%2Fc%3Ad@127.0.0.1:8832/autopilot"


@pytest.mark.parametrize(("given", "seconds"), [(None, 30.0), ("", 30.0), ("0", 0.0), ("7.5", 7.5)])
def test_the_patience_with_hung_parts_is_a_setting(given: str | None, seconds: float) -> None:
    environ = {} if given is None else {"AUTOPILOT_HUNG_AFTER_S": given}
    assert StackConfig.from_arguments(environ=environ).hung_after_s == seconds


@pytest.mark.parametrize("given", ["soon", "-1", "4.9", "nan", "inf"])
def test_a_patience_that_is_none_is_refused(given: str) -> None:
    with pytest.raises(StackError, match=f"AUTOPILOT_HUNG_AFTER_S is '{given}': give seconds, at least 5"):
        StackConfig.from_arguments(environ={"AUTOPILOT_HUNG_AFTER_S": given})
