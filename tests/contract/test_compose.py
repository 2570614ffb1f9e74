"""The container stack's files say what they must, whether or not an engine is there."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from autopilot.containers.dealing import PARTS
from autopilot.stack.cluster import TUNING
from autopilot.stack.config import (
    DEFAULT_PORTS,
    FRONT,
    HUNG_AFTER_S,
    LED,
    NATS,
    NATS_MONITORING,
    POSTGRES,
    SERVICES,
    module_of,
)
from libs.runtime.config import Config

ROOT = Path(__file__).resolve().parents[2]
FILE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
CONTAINERS: dict[str, dict[str, Any]] = FILE["services"]
ONCE = ("init", "cli", "restore")
LASTING = sorted(set(CONTAINERS) - set(ONCE))
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def environment_of(name: str) -> dict[str, str]:
    return dict(CONTAINERS[name].get("environment", {}))


def volumes_of(name: str) -> list[str]:
    return list(CONTAINERS[name].get("volumes", ()))


def test_every_service_and_both_servers_are_there() -> None:
    assert {*SERVICES, NATS, POSTGRES, "init", "admin"} <= set(CONTAINERS)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_runs_its_own_module_with_every_setting_it_needs(name: str) -> None:
    environment = environment_of(name)
    assert CONTAINERS[name]["command"] == ["python", "-m", "libs.runtime", module_of(name)]
    given = {key.removeprefix("AUTOPILOT_").removesuffix("_FILE").lower() for key in environment}
    fields = {field.name: field.required for field in msgspec.structs.fields(Config)}
    assert given <= set(fields)
    assert {field for field, required in fields.items() if required} <= given
    assert (environment["AUTOPILOT_SERVICE"], environment["AUTOPILOT_NATS_USER"]) == (name, name)
    assert environment["AUTOPILOT_HTTP_PORT"] == str(DEFAULT_PORTS[name])


@pytest.mark.parametrize("name", SERVICES)
def test_a_replica_is_called_after_its_container(name: str) -> None:
    assert environment_of(name)["AUTOPILOT_REPLICA_FILE"] == "/etc/hostname"


@pytest.mark.parametrize("name", LASTING)
def test_what_runs_for_long_is_watched_bounded_and_started_again(name: str) -> None:
    one = CONTAINERS[name]
    assert one["healthcheck"]["test"]
    assert one["restart"] == "unless-stopped"
    assert one["stop_grace_period"]
    assert one["mem_limit"]
    assert one["pids_limit"]
    assert one["logging"]["options"]["max-size"]


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_container_has_no_more_rights_than_it_needs(name: str) -> None:
    one = CONTAINERS[name]
    assert one["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in one["security_opt"]
    assert one["read_only"]
    assert one["init"]
    assert not one.get("privileged")
    assert name == POSTGRES or not one.get("cap_add")


def test_only_parts_that_run_commands_of_repositories_may_make_namespaces() -> None:
    lifted = [
        name for name, one in CONTAINERS.items() if any("seccomp" in rule for rule in one["security_opt"])
    ]
    assert lifted == ["stage-runner", "resolution"]
    profile = json.loads((ROOT / "infra/docker/seccomp.json").read_text())
    forbidden = set(profile["syscalls"][0]["names"])
    assert {"bpf", "init_module", "kexec_load", "keyctl", "reboot"} <= forbidden
    assert not forbidden & {"clone", "clone3", "unshare", "mount", "pivot_root", "umount2", "setns"}


@pytest.mark.parametrize("name", CONTAINERS)
def test_ports_are_published_on_the_loopback_alone(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in CONTAINERS[name].get("ports", ()))


def test_ports_are_those_of_the_embedded_stack() -> None:
    published = {
        int(port.split(":")[1])
        for name in (FRONT, NATS, POSTGRES)
        for port in CONTAINERS[name].get("ports", ())
    }
    assert published == set(DEFAULT_PORTS.values()) - {DEFAULT_PORTS["stage-runner"]}
    assert DEFAULT_PORTS[NATS_MONITORING] in published


def test_who_seals_writes_the_checkpoints_and_who_verifies_reads_them() -> None:
    mounts = {name: [one for one in volumes_of(name) if one.startswith("journal:")] for name in CONTAINERS}
    assert {name: found for name, found in mounts.items() if found} == {
        "init": ["journal:/state/journal"],
        "admin": ["journal:/state/journal"],
        "cli": ["journal:/secrets/journal:ro"],
        "restore": ["journal:/state/journal"],
    }


def test_who_backs_up_reads_the_files_and_who_restores_writes_them_before_anybody_else_runs() -> None:
    assert "data:/data:ro" in volumes_of("cli")
    one = CONTAINERS["restore"]
    assert "data:/data" in one["volumes"]
    assert one["entrypoint"] == ["python", "-m", "autopilot.containers", "restore"]
    assert set(one["depends_on"]) == {POSTGRES}
    # Started by `run` only.
    assert one["profiles"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_can_be_there_several_times(name: str) -> None:
    one = CONTAINERS[name]
    assert "container_name" not in one
    assert "ports" not in one


def test_stage_runners_share_the_files() -> None:
    assert "data:/data" in CONTAINERS["stage-runner"]["volumes"]


def test_the_front_is_well_while_every_service_behind_it_is_led() -> None:
    one = CONTAINERS[FRONT]
    assert one["command"] == ["python", "-m", "autopilot.containers.front"]
    assert {f"{DEFAULT_PORTS[name]}/healthz" for name in LED} < set(one["healthcheck"]["test"])
    assert set(one["depends_on"]) == set(LED)
    # It sees no credential and no file.
    assert not volumes_of(FRONT)
    assert not environment_of(FRONT)


def test_who_asks_another_service_asks_whoever_leads() -> None:
    asked = [
        value for name in SERVICES for value in environment_of(name).values() if value.startswith("http:")
    ]
    assert asked == [f"http://{FRONT}:{DEFAULT_PORTS['scheduler']}"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_ends_when_it_hangs_as_soon_as_the_supervisor_would_end_it(name: str) -> None:
    setting = environment_of(name)["AUTOPILOT_HUNG_AFTER_S"]
    assert setting == f"${{AUTOPILOT_HUNG_AFTER_S:-{HUNG_AFTER_S:g}}}"


@pytest.mark.parametrize("name", CONTAINERS)
def test_no_credential_stands_in_an_environment(name: str) -> None:
    for key, value in environment_of(name).items():
        if re.search("PASSWORD|TOKEN|KEY|SECRET|DSN", key):
            assert key.endswith("_FILE")
            assert value.startswith("/secrets/")


def test_each_part_sees_its_own_credentials_and_no_other() -> None:
    for part in PARTS:
        container = {"monitoring": "prometheus"}.get(part, part)
        mine = [volume for volume in volumes_of(container) if volume.startswith("secrets")]
        assert mine == [f"secrets-{part}:/secrets:ro"]
        assert f"secrets-{part}:/state/parts/{part}" in volumes_of("init")
    whole = [name for name in CONTAINERS if any(volume.startswith("secrets:") for volume in volumes_of(name))]
    assert whole == ["init", "admin", "restore"]


def test_every_volume_is_declared_and_used() -> None:
    used = {volume.split(":")[0] for name in CONTAINERS for volume in volumes_of(name)}
    named = {volume for volume in used if not volume.startswith((".", "$"))} | {"repos"}
    assert named == set(FILE["volumes"])


def test_nothing_starts_before_what_it_needs() -> None:
    assert all(
        CONTAINERS[name]["depends_on"] == {"admin": {"condition": "service_healthy"}} for name in SERVICES
    )
    assert CONTAINERS["admin"]["depends_on"] == {
        POSTGRES: {"condition": "service_healthy"},
        NATS: {"condition": "service_healthy"},
    }
    for name in (POSTGRES, NATS):
        assert CONTAINERS[name]["depends_on"] == {"init": {"condition": "service_completed_successfully"}}


def test_the_database_is_tuned_as_in_the_embedded_stack() -> None:
    given = dict(option.removeprefix("-c").split("=", 1) for option in CONTAINERS[POSTGRES]["command"])
    assert given == dict(TUNING)


def test_images_have_tags() -> None:
    images = [one["image"] for one in CONTAINERS.values()]
    images += re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert all(":" in image and not image.endswith(":latest") for image in images)


def test_the_image_does_not_run_as_root() -> None:
    users = re.findall(r"^USER (\S+)", DOCKERFILE, re.MULTILINE)
    assert users[-1].split(":")[0] not in ("root", "0")


def test_volumes_of_the_image_are_made_for_its_user() -> None:
    """A named volume takes owner and mode from the image when it is made: a directory that is missing is root's."""
    block = DOCKERFILE[DOCKERFILE.index("for part in") : DOCKERFILE.index("ENV PATH")]
    for volume in volumes_of("init"):
        place = volume.split(":")[1]
        assert re.search(rf"[ /]{re.escape(place.rsplit('/parts/')[-1])}[ ;\n]", block), place


def test_the_build_is_sent_no_secret_and_no_history() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert not {"!.git", "!.autopilot", "!.venv"} & set(rules)
