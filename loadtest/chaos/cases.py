"""Every case by name."""

from __future__ import annotations

from autopilot.stack.config import NATS, POSTGRES, SERVICES
from loadtest.chaos import clock, connections, damage, kills, pauses, restoring, standby, stopping
from loadtest.chaos.case import Case

#: Kills from which a recovery is judged: their median and their worst.
TIMES = 10


def cases(times: int = TIMES) -> tuple[Case, ...]:
    """List every case, with so many kills where a recovery is judged."""
    return (
        *(
            Case(name=f"kill {part}", harm=kills.kill(part, times), bounded=True, real=False)
            for part in ("scheduler", "stage-runner")
        ),
        Case(name="kill relay", harm=kills.kill_relay("stage-runner", times), bounded=True, real=False),
        *(
            Case(name=f"kill {part}", harm=kills.kill(part))
            for part in (*SERVICES, NATS, POSTGRES)
            if part not in ("scheduler", "stage-runner")
        ),
        *(Case(name=f"hang {part}", harm=kills.hang(part)) for part in (NATS, POSTGRES, "scheduler")),
        Case(name="kill everything", harm=kills.kill_everything),
        Case(name="kill supervisor", harm=kills.kill_supervisor),
        Case(name="kill during up", harm=kills.kill_during_start),
        Case(name="restore backup", harm=restoring.restore_backup),
        Case(name="pause scheduler", harm=pauses.pause_scheduler),
        Case(name="pause stage-runner", harm=pauses.pause_stage_runner),
        Case(name="pause relay", harm=pauses.pause_relay),
        Case(name="kill leading scheduler", harm=standby.kill_leading_scheduler),
        Case(name="emergency stop", harm=stopping.stop_and_go, prepared=stopping.few_places),
        *(
            Case(
                name=f"{spoil.__name__} bus {'running' if running else 'stopped'}",
                harm=damage.damage_bus(spoil, running=running),
            )
            for spoil in (damage.wipe, damage.truncate, damage.flip)
            for running in (False, True)
        ),
        Case(name="cut postgres", harm=connections.cut_connections),
        *(
            Case(name=f"{kind} {server}", harm=connections.weather(kind, server))
            for kind in connections.WEATHERS
            for server in (NATS, POSTGRES)
        ),
        *(
            # In a process with libfaketime a fork beside other threads can wait for ever for a lock of its.
            Case(
                name=name,
                harm=clock.jump(seconds),
                prepared=clock.own_clock,
                impossible=clock.missing,
                real=False,
            )
            for name, seconds in (("clock forward", clock.FORWARD_S), ("clock back", clock.BACK_S))
        ),
        Case(
            name="disk full",
            harm=damage.fill_disk,
            prepared=damage.small_disk,
            impossible=damage.mount_failure,
        ),
    )
