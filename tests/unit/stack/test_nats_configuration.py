"""The bus's configuration as the server will read it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from autopilot.stack.config import StackConfig
from autopilot.stack.nats import NatsUser, configuration, prepare


def _written(folder: Path, *users: NatsUser) -> Any:
    return json.loads(configuration(StackConfig(data_dir=folder), users))


def test_an_empty_list_of_subjects_denies_all() -> None:
    user = NatsUser(name="gate", password="p", publish=(), subscribe=("_INBOX_gate.>",))
    (entry,) = _written(Path("/data"), user)["accounts"]["AUTOPILOT"]["users"]
    assert entry["permissions"] == {"publish": {"deny": [">"]}, "subscribe": {"allow": ["_INBOX_gate.>"]}}


def test_nothing_listens_beyond_loopback() -> None:
    written = _written(Path("/data"))
    assert (written["host"], written["port"], written["http"]) == ("127.0.0.1", 8822, "127.0.0.1:8823")


def test_odd_paths_and_passwords_survive() -> None:
    user = NatsUser(name="gate", password='q"uo\\te$', publish=(">",), subscribe=(">",))
    written = _written(Path('/da "ta'), user)
    assert written["jetstream"]["store_dir"] == '/da "ta/nats'
    assert written["accounts"]["AUTOPILOT"]["users"][0]["password"] == 'q"uo\\te$'


def test_what_the_server_stored_before_accounts_had_names_is_found_again(tmp_path: Path) -> None:
    config = StackConfig(data_dir=tmp_path)
    stored = config.nats_dir / "jetstream" / "$G" / "streams"
    stored.mkdir(parents=True)
    for _ in range(2):
        prepare(config, ())
        assert [path.name for path in (config.nats_dir / "jetstream").iterdir()] == ["AUTOPILOT"]
    # What somebody makes there later is nobody's.
    stored.mkdir(parents=True)
    prepare(config, ())
    assert stored.is_dir()


def test_printing_a_user_hides_the_password() -> None:
    assert "secret" not in repr(NatsUser(name="gate", password="secret", publish=(), subscribe=()))
