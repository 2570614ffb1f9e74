"""Every case by name."""

from __future__ import annotations

from autopilot.stack.config import NATS, POSTGRES, SERVICES
from loadtest.chaos import harm
from loadtest.chaos.case import Case

AUDITOR = "bus auditor"
#: Kills from which a recovery is judged: their median and their worst.
TIMES = 10


def cases(times: int = TIMES) -> tuple[Case, ...]:
    """List every case, with so many kills where a recovery is judged."""
    return (
        *(
            Case(name=f"kill {part}", harm=harm.kill(part, times), bounded=True)
            for part in ("scheduler", "stage-runner")
        ),
        Case(name="kill relay", harm=harm.kill_relay("stage-runner", times), bounded=True),
        *(
            Case(name=f"kill {part}", harm=harm.kill(part))
            for part in (*SERVICES, NATS, POSTGRES)
            if part not in ("scheduler", "stage-runner")
        ),
        Case(name="kill everything", harm=harm.kill_everything),
        *(Case(name=f"pause {part}", harm=harm.pause(part)) for part in ("scheduler", "stage-runner")),
        Case(name="pause relay", harm=harm.pause_relay),
        *(
            Case(
                name=f"{damage.__name__} bus {'running' if running else 'stopped'}",
                harm=harm.damage_bus(damage, running=running),
                needs=AUDITOR,
            )
            for damage in (harm.wipe, harm.truncate, harm.flip)
            for running in (False, True)
        ),
        Case(name="cut postgres", harm=harm.cut_connections),
        *(
            Case(name=f"{kind} {server}", harm=harm.weather(kind, server))
            for kind in harm.WEATHERS
            for server in (NATS, POSTGRES)
        ),
        Case(name="disk full", harm=harm.fill_disk, prepared=harm.small_disk),
    )
