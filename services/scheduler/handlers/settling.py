"""What follows from a task's events: slots, queues, dependents, files, tokens and timers kept in step with it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import msgspec

from contracts.admission import SlotGranted
from contracts.message import Event
from contracts.task import (
    BaseRef,
    MonitorWaitStarted,
    StageRequested,
    TaskCancelled,
    TaskDone,
    TaskGivenUp,
    TaskParked,
    TaskPriorityChanged,
    TaskRetried,
    TaskUnparked,
    TokensGranted,
    WithdrawalRequested,
)
from libs.runtime.work import Work
from services.scheduler.domain.admission import (
    POOL,
    Grant,
    Leave,
    Reprioritise,
    Settle,
    admission,
)
from services.scheduler.domain.aside import NoteAside, aside
from services.scheduler.domain.bases import bases_of, predecessors
from services.scheduler.domain.claims import TABLE, Claim, claims, files_of
from services.scheduler.domain.commands import (
    Conditions,
    Overlap,
    Start,
    TaskCommand,
    Unsettled,
)
from services.scheduler.domain.mode import SYSTEM, mode
from services.scheduler.domain.state import Task
from services.scheduler.domain.walk import task
from services.scheduler.handlers.files import hand_over, let_go
from services.scheduler.handlers.slots import admit_to_pool, enqueue
from services.scheduler.handlers.tokens import close, defer, purse_of, raise_grant, reserve, spends_tokens

#: Tasks that may come to wait for tokens in one append; the rest of the queue is looked at in the next.
PARKED_AT_ONCE = 64


async def command(work: Work, task_id: str, wish: TaskCommand) -> list[Event]:
    """Let a task decide and carry the consequences."""
    events = await work.decide(task, task_id, wish)
    await settle(work, task_id, events)
    return events


async def settle(work: Work, task_id: str, events: Sequence[Event]) -> None:
    """Give slots back, queue, tell dependents, set timers: whatever a task's events call for."""
    await settle_all(work, [(task_id, events)])
    if any(isinstance(event, _MOVES_SLOTS) for event in events):
        await grant(work)


async def settle_all(work: Work, unsettled: Unsettled) -> None:
    """Settle tasks, and those that are lost with them: a chain of dependents may be longer than the stack is deep."""
    waiting = deque(unsettled)
    while waiting:
        waiting.extend(await _settle(work, *waiting.popleft()))


async def go_on(work: Work, called: Unsettled) -> None:
    """Carry out what follows for tasks that were called because there are tokens again."""
    if called:
        await settle_all(work, called)
        await grant(work)


async def _settle(work: Work, task_id: str, events: Sequence[Event]) -> Unsettled:
    state = await work.load(task, task_id)
    if state.ended or any(
        isinstance(event, TaskRetried | TaskUnparked | WithdrawalRequested) for event in events
    ):
        for kind in ("retry", "probe", "wake"):
            work.clear_timer(f"{kind}:{task_id}")
    lost: Unsettled = await close(work, state) if state.ended else []
    for event in events:
        lost += await let_go(work, state, event)
        match event:
            case TaskUnparked() | TaskRetried():
                lost += await enqueue(work, state)
            case TaskParked(code="dependency_broken"):
                pass  # It keeps its place in the queue: should the dependency be met after a retry, it starts at once.
            case StageRequested(tokens=tokens) if tokens is not None:
                await reserve(work, state, event)
            case TokensGranted():
                await raise_grant(work, state, event)
            case TaskParked(code=code, reason=reason, until=until):
                if code == "tokens":
                    await defer(work, state)
                if code == "emergency_stop" or code == "mode":
                    await work.decide(aside, SYSTEM, NoteAside(task_id=task_id, code=code))
                if until is not None:
                    work.set_timer(f"wake:{task_id}", until, "wake", task_id)
                await admit_to_pool(work, Leave(task_id=task_id, reason=reason))
            case MonitorWaitStarted(next_probe=due):
                work.set_timer(f"probe:{task_id}", due, "probe", task_id)
                await admit_to_pool(work, Leave(task_id=task_id, reason="monitoring"))
                await admit_to_pool(work, Settle(task_id=task_id, outcome="met"))
            case WithdrawalRequested():
                await admit_to_pool(work, Leave(task_id=task_id, reason="is cancelled"))
            case TaskPriorityChanged(priority=priority, actor=actor):
                await admit_to_pool(work, Reprioritise(task_id=task_id, priority=priority, actor=actor))
            case TaskDone():
                await admit_to_pool(work, Leave(task_id=task_id, reason="done"))
                await admit_to_pool(work, Settle(task_id=task_id, outcome="met"))
            case TaskCancelled():
                await admit_to_pool(work, Leave(task_id=task_id, reason="cancelled"))
                lost += await admit_to_pool(work, Settle(task_id=task_id, outcome="cancelled"))
            case TaskGivenUp():
                await admit_to_pool(work, Leave(task_id=task_id, reason="incident"))
                lost += await admit_to_pool(work, Settle(task_id=task_id, outcome="incident"))
            case _:
                pass
    return lost


_MOVES_SLOTS = (
    WithdrawalRequested,
    TaskUnparked,
    TaskRetried,
    TaskParked,
    MonitorWaitStarted,
    TaskDone,
    TaskCancelled,
    TaskGivenUp,
)


async def grant(work: Work) -> None:
    """Start whoever's turn it is, and others instead of those that cannot start after all."""
    given_back, before = 0, -1
    while before < given_back < PARKED_AT_ONCE:
        before = given_back
        for one in await work.decide(admission, POOL, Grant()):
            if isinstance(one, SlotGranted) and not await _start(work, one.task_id):
                given_back += 1
    if given_back >= PARKED_AT_ONCE:
        work.set_timer(f"admit:{POOL}", work.now, "admit", POOL)


async def _start(work: Work, task_id: str) -> bool:
    """Start a task that got a slot, on a tree that contains what it depends on; false if it gave the slot back at once.

    There are no tokens for it, or what was in monitor when it was queued has been lost before its turn.
    """
    state = await work.load(task, task_id)
    if not all([(await work.load(task, other)).fulfilled for other in state.depends_on]):
        await admit_to_pool(work, Leave(task_id=task_id, reason="what it depends on is not there any more"))
        await settle_all(work, await enqueue(work, state))
        return False
    claims_files = 0 in state.approved and not state.fulfilled
    conditions = await (claimed(work, state) if claims_files else conditions_of(work, task_id))
    start = Start(bases=await _bases(work, state), conditions=conditions)
    started = await work.decide(task, task_id, start)
    await settle_all(work, [(task_id, [event for event in started if not isinstance(event, TaskUnparked)])])
    return not any(isinstance(event, TaskParked) for event in started)


async def conditions_of(work: Work, task_id: str) -> Conditions:
    """Tell a task what the rest of the system allows."""
    state = await work.load(task, task_id)
    present = (await work.load(mode, SYSTEM)).mode
    return Conditions(mode=present, purse=await purse_of(work, state) if spends_tokens(state) else None)


async def claimed(work: Work, state: Task) -> Conditions:
    """Claim the files of an approved plan; who is in the way of it is a condition, and so is what its claim leads to."""
    if files := files_of(state.input) if state.input else ():
        if handed := await hand_over(work, Claim(task_id=state.task_id, files=files)):
            await settle_all(work, handed)
            await grant(work)
        line = (await work.load(claims, TABLE)).waiting(state.task_id)
    else:
        line = None
    overlap = Overlap(behind=tuple(sorted(line.behind)), shared=line.shared) if line else None
    return msgspec.structs.replace(await conditions_of(work, state.task_id), overlap=overlap)


async def _bases(work: Work, state: Task) -> tuple[BaseRef, ...]:
    return bases_of(state, {other: await work.load(task, other) for other in predecessors(state)})
