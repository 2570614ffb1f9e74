"""Runs the script of an incident in the sandbox, from a copy of its directory, before it is filed."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import structlog

from contracts.resolution import IncidentOpened
from contracts.task import Reproduction
from libs.evidence.redaction import Redactor
from libs.sandbox import runner
from libs.sandbox.command import Command, Ended, Limits, Mount
from libs.sandbox.errors import SandboxError, SandboxUnavailableError
from libs.sandbox.interpreters import required_mounts
from libs.verification.environment import BASE_PATH

log = structlog.get_logger(__name__)

#: Seconds that one command may run here, and the whole script. A task's own limit may be much longer: then the trial
#: says that it was not waited for, and the slot of the task is not held for another round of it.
COMMAND_S, SCRIPT_S = 300, 900
#: Bytes of output that are kept.
MAX_OUTPUT = 200_000
#: Lines of the output that the report of an incident quotes.
LAST_WORDS = 3
#: Where the script finds its directory and a place to work in: names that no directory of a task's environment has.
_INCIDENT, _WORK = "/autopilot-incident", "/autopilot-trial"
_GAVE = {0: "does_not_show", 1: "as_recorded", 3: "otherwise"}


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
            env={"PATH": BASE_PATH, "REPRODUCE_WALL_S": str(COMMAND_S)},
            mounts=(
                Mount(source=str(scratch / "incident"), target=_INCIDENT),
                Mount(source=str(scratch / "work"), target=_WORK, writable=True),
                *await asyncio.to_thread(required_mounts, directories),
            ),
            limits=Limits(
                wall_s=SCRIPT_S, memory_mb=2 * incident.budget.memory_mb + 256, output_bytes=MAX_OUTPUT
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
        gave=_GAVE.get(outcome.exit_code if outcome.exit_code is not None else 2, "not_tried"),  # type: ignore[arg-type]
        exit_code=outcome.exit_code,
        duration_s=round(outcome.duration_s, 1),
        detail=last[-1_000:],
    )
    return gave, printed


def _prepare(directory: Path, scratch: Path) -> None:
    shutil.rmtree(scratch, ignore_errors=True)
    (scratch / "work").mkdir(parents=True)
    shutil.copytree(directory, scratch / "incident")
