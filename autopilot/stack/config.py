"""Where a stack lives and on which ports it answers."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote

import msgspec

from autopilot.stack.errors import StackError

HOST = "127.0.0.1"

#: The seven services by public name; the import path follows by one rule, see `module_of`.
SERVICES: tuple[str, ...] = (
    "scheduler",
    "stage-runner",
    "gate",
    "resolution",
    "alerting",
    "cleanup",
    "dashboard",
)

#: Of these one process leads; of the others every one works.
LED = tuple(name for name in SERVICES if name != "stage-runner")
#: Where parts answer under names of their own, this one hands connections on to whoever leads.
FRONT = "front"

NATS = "nats"
NATS_MONITORING = "nats-monitoring"
POSTGRES = "postgres"

DEFAULT_PORTS: Mapping[str, int] = MappingProxyType(
    {
        "dashboard": 8800,
        "scheduler": 8801,
        "stage-runner": 8802,
        "gate": 8803,
        "resolution": 8804,
        "alerting": 8805,
        "cleanup": 8806,
        NATS: 8822,
        NATS_MONITORING: 8823,
        POSTGRES: 8832,
    }
)

DATABASE = "autopilot"
OWNER_ROLE = "autopilot_owner"
#: The group that carries what every service is granted; nobody logs in as it.
SERVICE_ROLE = "autopilot_service"
READER_ROLE = "autopilot_reader"

#: Far longer than a part that works is silent, on a busy machine too.
HUNG_AFTER_S = 30.0
#: A shorter patience would end parts that are merely busy.
_SHORTEST_S = 5.0


class StackConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Names one stack: its data directory and the ports it uses."""

    data_dir: Path
    ports: Mapping[str, int] = DEFAULT_PORTS
    #: Take free ports at every start instead of the ones above.
    ephemeral: bool = False
    #: Whether each part answers under its own name, as containers of one network do, and not all on `HOST`.
    apart: bool = False
    #: Seconds after which a part that runs and does not answer is ended and started again; zero: never.
    hung_after_s: float = HUNG_AFTER_S

    @classmethod
    def from_arguments(
        cls,
        data_dir: Path | None = None,
        *,
        ephemeral_ports: bool = False,
        environ: Mapping[str, str] = os.environ,
    ) -> StackConfig:
        """Take the argument, then `AUTOPILOT_DATA_DIR`, then `.autopilot` below the working directory.

        `AUTOPILOT_HUNG_AFTER_S` sets the patience with hung parts. Raises `StackError` when it is no such number.
        """
        chosen = data_dir or Path(environ.get("AUTOPILOT_DATA_DIR") or ".autopilot")
        return cls(
            data_dir=chosen.expanduser().absolute(),
            ephemeral=ephemeral_ports,
            hung_after_s=_hung_after(environ.get("AUTOPILOT_HUNG_AFTER_S")),
        )

    @property
    def stack_file(self) -> Path:
        """The file that tells addresses and process ids to others."""
        return self.data_dir / "stack.json"

    @property
    def lock_file(self) -> Path:
        """The file whose lock makes the supervisor of this directory the only one."""
        return self.data_dir / "lock"

    @property
    def secrets_dir(self) -> Path:
        """The directory of generated credentials, readable by its owner alone."""
        return self.data_dir / "secrets"

    @property
    def logs_dir(self) -> Path:
        """The directory of one rotated log per process."""
        return self.data_dir / "logs"

    @property
    def postgres_dir(self) -> Path:
        """The database cluster."""
        return self.data_dir / "postgres"

    @property
    def nats_dir(self) -> Path:
        """The bus: its configuration and its store."""
        return self.data_dir / "nats"

    def log_file(self, name: str) -> Path:
        """Name the log of one process."""
        return self.logs_dir / f"{name}.log"

    def addresses(self) -> dict[str, str]:
        """Tell where each part answers; never with a credential."""
        known = {name: f"http://{self.host(name)}:{self.ports[name]}" for name in SERVICES}
        known[NATS] = f"nats://{self.host(NATS)}:{self.ports[NATS]}"
        known[NATS_MONITORING] = f"http://{self.host(NATS)}:{self.ports[NATS_MONITORING]}"
        known[POSTGRES] = f"postgresql://{self.host(POSTGRES)}:{self.ports[POSTGRES]}/{DATABASE}"
        return known

    def host(self, part: str) -> str:
        """Name the host on which a part answers."""
        if not self.apart:
            return HOST
        return FRONT if part in LED else part

    def dsn(self, role: str, password: str, database: str = DATABASE) -> str:
        """Build the connection string of one role; it carries the password."""
        place = f"{self.host(POSTGRES)}:{self.ports[POSTGRES]}"
        return f"postgresql://{role}:{quote(password, safe='')}@{place}/{database}"


def _hung_after(given: str | None) -> float:
    if not given:
        return HUNG_AFTER_S
    with contextlib.suppress(ValueError):
        if (seconds := float(given)) == 0 or _SHORTEST_S <= seconds < math.inf:
            return seconds
    raise StackError(
        f"AUTOPILOT_HUNG_AFTER_S is {given!r}: give seconds, at least {_SHORTEST_S:g}, or 0 for never"
    )


def role_of(service: str) -> str:
    """Name the database role that a service logs in as."""
    return f"autopilot_{service.replace('-', '_')}"


def module_of(service: str) -> str:
    """Translate a public name to the module that holds the service's value."""
    return f"services.{service.replace('-', '_')}.app"
