"""The bus's configuration as the server will read it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from autopilot.stack.config import StackConfig
from autopilot.stack.nats import NatsUser, configuration


def _written(folder: Path, *users: NatsUser) -> Any:
    return json.loads(configuration(StackConfig(data_dir=folder), users))


def test_an_empty_list_of_subjects_denies_all() -> None:
    user = NatsUser(name="gate", password="p", publish=(), subscribe=("_INBOX_gate.>",))
    (entry,) = _written(Path("/data"), user)["authorization"]["users"]
    assert entry["permissions"] == {"publish": {"deny": [">"]}, "subscribe": {"allow": ["_INBOX_gate.>"]}}


def test_nothing_listens_beyond_loopback() -> None:
    written = _written(Path("/data"))
    assert (written["host"], written["port"], written["http"]) == ("127.0.0.1", 8822, "127.0.0.1:8823")


def test_odd_paths_and_passwords_survive() -> None:
    user = NatsUser(name="gate", password='q"uo\\te$', publish=(">",), subscribe=(">",))
    written = _written(Path('/da "ta'), user)
    assert written["jetstream"]["store_dir"] == '/da "ta/nats'
    assert written["authorization"]["users"][0]["password"] == 'q"uo\\te$'


def test_printing_a_user_hides_the_password() -> None:
    assert "secret" not in repr(NatsUser(name="gate", password="secret", publish=(), subscribe=()))
