"""What a service sees of the world."""

from __future__ import annotations

from pathlib import Path

from autopilot.stack import environment, secrets
from autopilot.stack.config import StackConfig

SHELL = {
    "PATH": "/usr/bin",
    "HOME": "/home/somebody",
    "AWS_SECRET_ACCESS_KEY": "not for a service",
    "GITHUB_TOKEN": "neither",
    "PYTHONPATH": "/home/somebody/experiments",
    "PGPASSWORD": "nor this",
    "AUTOPILOT_CONFIG_WEBHOOK": "http://127.0.0.1:1/hook",
}


def _of(name: str, folder: Path) -> dict[str, str]:
    config = StackConfig(data_dir=folder)
    return environment.for_service(name, config, secrets.load_or_create(folder / "secrets"), SHELL)


def test_secrets_of_the_shell_do_not_reach_a_service(tmp_path: Path) -> None:
    seen = _of("gate", tmp_path)
    assert not {"AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "PGPASSWORD"} & seen.keys()
    assert "/home/somebody/experiments" not in seen.values()


def test_settings_of_a_person_are_passed_through(tmp_path: Path) -> None:
    assert _of("gate", tmp_path)["AUTOPILOT_CONFIG_WEBHOOK"] == "http://127.0.0.1:1/hook"


def test_a_service_gets_exactly_its_settings(tmp_path: Path) -> None:
    seen = _of("stage-runner", tmp_path)
    stored = secrets.load_or_create(tmp_path / "secrets")
    assert {key: value for key, value in seen.items() if key.startswith("AUTOPILOT_")} == {
        "AUTOPILOT_CONFIG_WEBHOOK": "http://127.0.0.1:1/hook",
        "AUTOPILOT_SERVICE": "stage-runner",
        "AUTOPILOT_REPLICA": "stage-runner-1",
        "AUTOPILOT_DATA_DIR": str(tmp_path),
        "AUTOPILOT_STACK_FILE": str(tmp_path / "stack.json"),
        "AUTOPILOT_POSTGRES_DSN": (
            f"postgresql://autopilot_stage_runner:{stored.postgres['stage-runner']}@127.0.0.1:8832/autopilot"
        ),
        "AUTOPILOT_NATS_URL": "nats://127.0.0.1:8822",
        "AUTOPILOT_NATS_USER": "stage-runner",
        "AUTOPILOT_NATS_PASSWORD": stored.nats["stage-runner"],
        "AUTOPILOT_HTTP_HOST": "127.0.0.1",
        "AUTOPILOT_HTTP_PORT": "8802",
        "AUTOPILOT_SCHEDULER_URL": "http://127.0.0.1:8801",
        "AUTOPILOT_API_TOKEN": stored.api_token,
        "AUTOPILOT_SCRAPE_TOKEN": stored.scrape_token,
        "AUTOPILOT_SESSION_KEY": stored.session_key,
    }


def test_no_service_gets_the_passwords_of_others(tmp_path: Path) -> None:
    stored = secrets.load_or_create(tmp_path / "secrets")
    values = " ".join(_of("gate", tmp_path).values())
    others = [
        stored.postgres_superuser,
        stored.postgres_owner,
        stored.nats["admin"],
        stored.nats["scheduler"],
        stored.postgres["scheduler"],
    ]
    assert not [other for other in others if other in values]
