"""Runs the script of an incident in the sandbox, from a copy of its directory, before it is filed."""

from __future__ import annotations

import asyncio
import math
import shutil
from pathlib import Path

import structlog

from contracts.resolution import IncidentOpened
from contracts.task import Gave, Reproduction
from libs.evidence.redaction import Redactor
from libs.sandbox import runner
from libs.sandbox.command import Command, Ended, Limits, Mount
from libs.sandbox.errors import SandboxError, SandboxUnavailableError
from libs.sandbox.interpreters import required_mounts
from libs.verification.environment import BASE_PATH

log = structlog.get_logger(__name__)

#: Seconds that the whole script may run here, and a command at least; up to which limit a hang is waited for to its
#: end; and how much longer than recorded a command may take. A task's own limit may be an hour: its slot is not held for
#: another one, and the trial then says that it did not wait.
SCRIPT_S, COMMAND_S, HANG_S, SLOWER = 900, 60, 300, 3
#: Bytes of output that are kept.
MAX_OUTPUT = 200_000
#: Lines of the output that the report of an incident quotes.
LAST_WORDS = 3
#: Where the script finds its directory and a place to work in: names that no directory of a task's environment has.
_INCIDENT, _WORK = "/autopilot-incident", "/autopilot-trial"
_GAVE: dict[int | None, Gave] = {0: "does_not_show", 1: "as_recorded", 3: "otherwise"}


async def attempt(
    incident: IncidentOpened, directory: Path, directories: tuple[str, ...], cookie: str, redactor: Redactor
) -> tuple[Reproduction, bytes]:
    """Run the script and return what it gave, and its output without secrets.

    The script sees a copy of the directory, an empty place to work in and the directories of the task's environment:
    no clone of ours, no home, no network, no secret. The script itself enforces the limits of the task, so the
    sandbox leaves it room to do so.
    """
    scratch = directory.with_name(f".{incident.incident_id}.trial")
    try:
        await asyncio.to_thread(_prepare, directory, scratch)
        command = Command(
            script=f"exec {_INCIDENT}/reproduce {_WORK}/run",
            cwd=_WORK,
            env={"PATH": BASE_PATH, "REPRODUCE_WALL_S": str(patience(incident))},
            mounts=(
                Mount(source=str(scratch / "incident"), target=_INCIDENT),
                Mount(source=str(scratch / "work"), target=_WORK, writable=True),
                *await asyncio.to_thread(required_mounts, directories),
            ),
            limits=Limits(
                wall_s=SCRIPT_S, memory_mb=2 * incident.budget.memory_mb + 1_024, output_bytes=MAX_OUTPUT
            ),
            cookie=cookie,
        )
        output = scratch / "output.log"
        outcome = await runner.run(command, output)
        printed = redactor.redact(await asyncio.to_thread(output.read_bytes))
    except SandboxUnavailableError as error:
        return Reproduction(gave="not_tried", detail=f"there is no sandbox: {error}"), b""
    except SandboxError as error:
        log.warning("trial_failed", incident=incident.incident_id, error=str(error))
        return Reproduction(gave="not_tried", detail=str(error)), b""
    finally:
        await asyncio.shield(asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True))
    last = " ".join(printed.decode(errors="replace").split("\n")[-LAST_WORDS - 1 :]).strip()
    if outcome.ended is not Ended.EXITED:
        last = f"the script was stopped ({outcome.ended}); {last}"
    gave = Reproduction(
        gave=_GAVE.get(outcome.exit_code, "not_tried"),
        exit_code=outcome.exit_code,
        duration_s=round(outcome.duration_s, 1),
        detail=last[-1_000:],
    )
    return gave, printed


def patience(incident: IncidentOpened) -> int:
    """Say how many seconds a command is waited for here: by what it took when it failed."""
    waits = [float(COMMAND_S)]
    for _, receipt in incident.receipts:
        if receipt.ended != "wall":
            waits.append(SLOWER * receipt.duration_s)
        elif incident.budget.wall_s <= HANG_S:
            waits.append(incident.budget.wall_s)
    return min(math.ceil(max(waits)), SCRIPT_S)


def _prepare(directory: Path, scratch: Path) -> None:
    shutil.rmtree(scratch, ignore_errors=True)
    (scratch / "work").mkdir(parents=True)
    shutil.copytree(directory, scratch / "incident")
