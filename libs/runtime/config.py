"""What a process is told by its environment; read once, every missing name reported at once.

Any setting may be given as the name of a file that holds it: `AUTOPILOT_API_TOKEN_FILE` instead of
`AUTOPILOT_API_TOKEN`. White space around the content does not count. An environment is shown by many tools; a file
has a mode.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta as Constraint


class ConfigError(Exception):
    """The environment lacks or garbles settings; the message names all of them."""


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of one service process; the supervisor passes them as `AUTOPILOT_*` variables."""

    service: str
    data_dir: str
    postgres_dsn: str
    nats_url: str
    nats_user: str
    nats_password: str
    http_port: int
    api_token: str
    scrape_token: str
    session_key: str
    http_host: str = "127.0.0.1"
    replica: str = ""
    #: Seconds after which this process ends itself if its event loop stands still; 0 for never, where somebody asks from outside.
    hung_after_s: Annotated[float, Constraint(ge=0)] = 0.0
    #: Where the task API answers, for services that ask it.
    scheduler_url: str = "http://127.0.0.1:8801"
    #: Runs that one stage-runner replica holds at once: more than the slots are tested to, or slots would wait in vain.
    config_places: Annotated[int, Constraint(ge=1)] = 128
    #: Runs among them that may execute commands of a repository at once; 0 means one per core.
    config_heavy_places: Annotated[int, Constraint(ge=0)] = 0
    #: Whose memory is looked at before something is started: that of the `container` (the machine's, where there is no
    #: limit), of the `host`, or `none`.
    config_memory_scope: Literal["container", "host", "none"] = "container"
    #: MB that are kept free for the stack and the machine.
    config_memory_reserve_mb: Annotated[int, Constraint(ge=0)] = 512
    #: Seconds after which it is told that nothing starts although tasks are ready and slots are free.
    config_stalled_after_s: Annotated[float, Constraint(gt=0)] = 300.0
    #: Seconds for which a task may be parked before it is told: where somebody has to do something, and beyond the time at
    #: which the wait was to end by itself.
    config_parked_after_s: Annotated[float, Constraint(gt=0)] = 86_400.0
    config_overdue_after_s: Annotated[float, Constraint(gt=0)] = 300.0
    #: Program of engine `command` where a repository's policy names none; also what `engine: auto` then means.
    config_agent_command: str = ""
    #: Where alerts are posted; empty for the log only.
    config_webhook_url: str = ""
    #: Key of the service that is paged at critical alerts, empty for none; where, by PagerDuty's Events API v2.
    config_pager_key: str = ""
    config_pager_url: str = "https://events.pagerduty.com/v2/enqueue"
    #: How GitHub is reached; see `libs.forge.github.settings`. Nothing set: GitHub is not used.
    config_github_token_file: str = ""
    config_github_app_id: str = ""
    config_github_app_key_file: str = ""
    config_github_web_url: str = "https://github.com"
    config_github_api_url: str = ""
    #: Percent of the data directory's volume at which evidence pauses and resumes.
    config_disk_pause_percent: float = 90.0
    config_disk_resume_percent: float = 75.0
    #: Seconds after which evidence is compressed.
    config_compress_after_s: int = 3_600

    @property
    def data(self) -> Path:
        """Return the data directory."""
        return Path(self.data_dir)

    @property
    def secrets(self) -> tuple[str, ...]:
        """List what must not appear in anything that is kept or shown."""
        known = (
            self.api_token,
            self.scrape_token,
            self.session_key,
            self.nats_password,
            self.postgres_dsn,
            self.config_pager_key,
        )
        return tuple(secret for secret in known if secret)

    @property
    def holder(self) -> str:
        """Name this replica, for leases."""
        return self.replica or f"{self.service}-1"


def read(environment: Mapping[str, str]) -> Config:
    """Read the settings. Raises ConfigError that names everything missing or malformed."""
    values: dict[str, Any] = {}
    missing: list[str] = []
    malformed: list[str] = []
    for field in msgspec.structs.fields(Config):
        variable = f"AUTOPILOT_{field.name.upper()}"
        try:
            text = _value(environment, variable)
            if text is None:
                if field.required:
                    missing.append(variable)
                continue
            values[field.name] = msgspec.convert(text, field.type, strict=False)
        except (ValueError, OSError) as error:
            malformed.append(f"{variable} ({error})")
    faults = [
        f"{what} in the environment: {', '.join(names)}"
        for what, names in (("missing", missing), ("malformed", malformed))
        if names
    ]
    if faults:
        raise ConfigError("; ".join(faults))
    return Config(**values)


def _value(environment: Mapping[str, str], variable: str) -> str | None:
    """Find a setting or the content of its file. Raises OSError, and ValueError for both or an empty file."""
    plain, named = environment.get(variable), environment.get(f"{variable}_FILE")
    if named is None:
        return plain
    if plain is not None:
        raise ValueError(f"given twice: {variable}_FILE is set too")
    content = Path(named).read_text(encoding="utf-8").strip()
    if not content:
        raise ValueError(f"{named} is empty")
    return content
