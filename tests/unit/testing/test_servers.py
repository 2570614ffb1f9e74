"""Which servers tests run against."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from libs.testing import servers
from libs.testing.servers import VARIABLE, NoContainersError

Choose = Callable[[str, str], servers.Choice]


@pytest.fixture
def choose(monkeypatch: pytest.MonkeyPatch) -> Choose:
    """Choose with the variable set and something missing, or nothing."""

    def choose(asked: str, missing: str) -> servers.Choice:
        monkeypatch.setenv(VARIABLE, asked)
        monkeypatch.setattr(servers, "_missing", lambda: missing)
        return servers.choice.__wrapped__()

    return choose


def test_containers_are_taken_where_they_can_be_had(choose: Choose) -> None:
    assert choose("", "").kind == "containers"
    assert choose("", "no container engine answers") == ("wheels", "no container engine answers")


def test_who_asks_gets_what_is_asked_for_or_is_told_what_is_missing(choose: Choose) -> None:
    assert choose("wheels", "").kind == "wheels"
    assert choose("containers", "").kind == "containers"
    with pytest.raises(NoContainersError, match="docker pull nats:2-alpine"):
        choose("containers", "the engine does not have the image (docker pull nats:2-alpine)")
    with pytest.raises(ValueError, match="'podman'; it may be containers, wheels, or not set"):
        choose("podman", "")


def test_an_engine_that_is_not_there_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    assert servers._missing().startswith("no container engine answers")
