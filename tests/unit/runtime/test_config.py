"""What a process is told by its environment."""

from __future__ import annotations

import pytest

from libs.runtime.config import ConfigError, read

GIVEN = {
    "AUTOPILOT_SERVICE": "gate",
    "AUTOPILOT_DATA_DIR": "/data",
    "AUTOPILOT_POSTGRES_DSN": "postgres://",
    "AUTOPILOT_NATS_URL": "nats://",
    "AUTOPILOT_NATS_USER": "gate",
    "AUTOPILOT_NATS_PASSWORD": "secret",
    "AUTOPILOT_HTTP_PORT": "8803",
    "AUTOPILOT_API_TOKEN": "a",
    "AUTOPILOT_SCRAPE_TOKEN": "b",
    "AUTOPILOT_SESSION_KEY": "c",
}


def test_settings_are_read_with_their_types() -> None:
    config = read({**GIVEN, "AUTOPILOT_CONFIG_DISK_PAUSE_PERCENT": "80.5", "PATH": "/bin"})
    assert (config.service, config.http_port, config.config_disk_pause_percent) == ("gate", 8803, 80.5)
    assert (config.http_host, config.holder) == ("127.0.0.1", "gate-1")
    assert str(config.data) == "/data"


def test_a_replica_has_its_own_name_for_leases() -> None:
    assert read({**GIVEN, "AUTOPILOT_REPLICA": "stage-runner-2"}).holder == "stage-runner-2"


def test_everything_that_is_missing_is_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        read({"AUTOPILOT_SERVICE": "gate"})
    assert all(name in str(caught.value) for name in GIVEN if name != "AUTOPILOT_SERVICE")
    assert "AUTOPILOT_SERVICE" not in str(caught.value)


def test_everything_that_is_malformed_is_named_at_once_by_its_variable() -> None:
    with pytest.raises(ConfigError) as caught:
        read({**GIVEN, "AUTOPILOT_HTTP_PORT": "many", "AUTOPILOT_CONFIG_COMPRESS_AFTER_S": "soon"})
    assert "AUTOPILOT_HTTP_PORT" in str(caught.value)
    assert "AUTOPILOT_CONFIG_COMPRESS_AFTER_S" in str(caught.value)


def test_no_secret_is_told_when_something_is_malformed() -> None:
    with pytest.raises(ConfigError) as caught:
        read({**GIVEN, "AUTOPILOT_HTTP_PORT": "many"})
    assert "secret" not in str(caught.value)
