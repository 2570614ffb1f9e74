"""What a child process sees of the world: a small environment of our making, never the user's shell."""

from __future__ import annotations

import os
import site
from collections.abc import Mapping
from pathlib import Path

from autopilot.stack.config import HOST, NATS, StackConfig, role_of
from autopilot.stack.secrets import Secrets

_INHERITED = ("PATH", "HOME", "LANG", "TMPDIR")

#: A setting of a service that a person makes; the only variables of the caller that services see beside those above.
_SETTINGS_PREFIX = "AUTOPILOT_CONFIG_"

_ROOT = Path(__file__).resolve().parents[2]


def base(caller: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Build the environment of a program that is not ours."""
    kept = {name: caller[name] for name in _INHERITED if caller.get(name)}
    # aiobreaker and others compare naive local times with UTC ones.
    return {"PATH": os.defpath, "LANG": "C.UTF-8", **kept, "TZ": "UTC"}


def for_service(
    name: str, config: StackConfig, secrets: Secrets, caller: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """Build the environment of a service; it holds every setting that the service reads."""
    settings = {key: value for key, value in caller.items() if key.startswith(_SETTINGS_PREFIX)}
    return {
        **base(caller),
        **_python(),
        **settings,
        "AUTOPILOT_SERVICE": name,
        "AUTOPILOT_REPLICA": f"{name}-1",
        "AUTOPILOT_DATA_DIR": str(config.data_dir),
        "AUTOPILOT_STACK_FILE": str(config.stack_file),
        "AUTOPILOT_POSTGRES_DSN": config.dsn(role_of(name), secrets.postgres[name]),
        "AUTOPILOT_NATS_URL": f"nats://{HOST}:{config.ports[NATS]}",
        "AUTOPILOT_NATS_USER": name,
        "AUTOPILOT_NATS_PASSWORD": secrets.nats[name],
        "AUTOPILOT_HTTP_HOST": HOST,
        "AUTOPILOT_HTTP_PORT": str(config.ports[name]),
        "AUTOPILOT_SCHEDULER_URL": config.addresses()["scheduler"],
        "AUTOPILOT_API_TOKEN": secrets.api_token,
        "AUTOPILOT_SCRAPE_TOKEN": secrets.scrape_token,
        "AUTOPILOT_SESSION_KEY": secrets.session_key,
    }


def for_zygote(caller: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Build the environment of the process that services are forked from: how to load, and no credential."""
    return {**base(caller), **_python()}


def _python() -> dict[str, str]:
    hygiene = {
        "PYTHONUNBUFFERED": "1",
        "PYTHONNOUSERSITE": "1",
        # The working directory is not a place to import from.
        "PYTHONSAFEPATH": "1",
        "PYTHONUTF8": "1",
    }
    installed = {Path(folder).resolve() for folder in site.getsitepackages()}
    if _ROOT not in installed:
        # A checkout that was not installed. An installed one must not be named: it would come before the
        # standard library.
        hygiene["PYTHONPATH"] = str(_ROOT)
    return hygiene
