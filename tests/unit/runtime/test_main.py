"""A service whose settings turn out to be of no use ends with a sentence, not with a traceback."""

from __future__ import annotations

import sys

import pytest

from libs.runtime import __main__ as program
from libs.runtime.config import ConfigError
from libs.runtime.runner import Runner


def test_a_setting_that_a_service_looks_behind_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def run(self: Runner) -> int:
        raise ConfigError("AUTOPILOT_CONFIG_GITHUB_TOKEN_FILE: /nowhere cannot be read")

    names = ("SERVICE", "DATA_DIR", "POSTGRES_DSN", "NATS_URL", "NATS_USER", "NATS_PASSWORD")
    for name in (*names, "API_TOKEN", "SCRAPE_TOKEN", "SESSION_KEY"):
        monkeypatch.setenv(f"AUTOPILOT_{name}", "x")
    monkeypatch.setenv("AUTOPILOT_HTTP_PORT", "1")
    monkeypatch.setattr(sys, "argv", ["libs.runtime", "services.cleanup.app"])
    monkeypatch.setattr(Runner, "run", run)
    # It would take over the log of the tests.
    monkeypatch.setattr(program, "configure", lambda *_: None)
    assert program.main() == 2
    assert "GITHUB_TOKEN_FILE" in capsys.readouterr().err
