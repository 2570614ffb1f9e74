"""Prometheus scrapes what there is, and its rules speak of metrics that exist."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

from autopilot.stack.config import DEFAULT_PORTS, SERVICES
from libs.eventstore.store import BusEpoch
from libs.runtime.metrics import observe

FOLDER = Path(__file__).resolve().parents[2] / "infra" / "prometheus"
CONFIGURATION: dict[str, Any] = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
RULES: list[dict[str, Any]] = yaml.safe_load((FOLDER / "rules.yml").read_text())["groups"][0]["rules"]
WORDS = {"absent", "or", "max", "min", "by", "sum", "rate", "changes", "job", "durable", "e6", "m"}


def test_every_service_is_scraped_with_the_token_from_a_file() -> None:
    found = {one["job_name"]: one for one in CONFIGURATION["scrape_configs"]}
    assert set(found) == set(SERVICES)
    for name, one in found.items():
        assert one["authorization"] == {"credentials_file": "/secrets/scrape-token"}
        assert one["dns_sd_configs"][0]["names"] == [name]
        assert one["dns_sd_configs"][0]["port"] == DEFAULT_PORTS[name]


def test_rules_speak_only_of_metrics_that_a_service_exports() -> None:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    consumption = SimpleNamespace(durable="d", handled=1, failed=1)
    running = SimpleNamespace(
        lease=None,
        bus_epoch=BusEpoch(),
        behind={"gate-x": 0.0},
        rebuilder=SimpleNamespace(failure=""),
        measured=(),
    )
    observe(cast(Any, running), cast(Any, [consumption]), registry)
    exported = set(re.findall(r"^(\w+)", generate_latest(registry).decode(), re.MULTILINE)) | {"up"}
    for rule in RULES:
        plain = re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", rule["expr"])
        assert set(re.findall(r"[a-z_]\w*", plain)) - WORDS <= exported, rule["alert"]


@pytest.mark.skipif(
    not shutil.which("promtool"), reason="promtool is not installed (Debian package prometheus)"
)
def test_promtool_accepts_configuration_and_rules() -> None:
    done = subprocess.run(
        ["promtool", "check", "rules", str(FOLDER / "rules.yml")], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stdout + done.stderr
    done = subprocess.run(
        ["promtool", "check", "config", "--syntax-only", str(FOLDER / "prometheus.yml")],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(
    not shutil.which("amtool"), reason="amtool is not installed (Debian package prometheus-alertmanager)"
)
def test_amtool_accepts_the_configuration() -> None:
    done = subprocess.run(
        ["amtool", "check-config", str(FOLDER / "alertmanager.yml")],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stdout + done.stderr
