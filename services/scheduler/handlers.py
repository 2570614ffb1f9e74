"""News in, decisions out. Every handler ends in `settle`, which keeps slots and dependents in step with the task."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import timedelta
from typing import TypeAlias

import msgspec

from contracts.admission import DependencyBroken, SlotGranted
from contracts.budget import GrantCalled, ledger_of, spends
from contracts.claim import FilesClaimed
from contracts.gate import GateDecided
from contracts.message import Event
from contracts.mode import TasksCalledBack
from contracts.resolution import IncidentFiled, PlanDeltaRecorded, StageRetryAdvised
from contracts.stage import StageCancelled, StageCompleted, StageFailed, TokenGrantExhausted
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
)
from libs.runtime.work import Work
from services.scheduler.domain.admission import (
    POOL,
    AdmissionCommand,
    Enqueue,
    Grant,
    Hold,
    Leave,
    Operation,
    Release,
    Reprioritise,
    Settle,
    admission,
)
from services.scheduler.domain.aside import CallBack, NoteAside, aside
from services.scheduler.domain.bases import bases_of, predecessors
from services.scheduler.domain.budget import (
    BudgetCommand,
    ChangeCeiling,
    Defer,
    Forgo,
    Raise,
    Reserve,
    SettleGrant,
    budget,
)
from services.scheduler.domain.claims import TABLE, Claim, ClaimCommand, LetGo, claims, files_of, lets_go
from services.scheduler.domain.commands import (
    Conditions,
    Halt,
    LoseDependency,
    Observe,
    Overlap,
    RetryStage,
    Start,
    Submit,
    TaskCommand,
    TopUp,
    Unpark,
)
from services.scheduler.domain.ledger import Ledger
from services.scheduler.domain.mode import ChangeMode, ModeState, admits, mode
from services.scheduler.domain.pool import Admission
from services.scheduler.domain.pressure import Room, judged
from services.scheduler.domain.purse import Purse, Shortage
from services.scheduler.domain.stall import COUNTED, Look, is_stalled, reason_of, stall
from services.scheduler.domain.state import Task
from services.scheduler.domain.walk import task

SYSTEM = "system"
#: What tasks have decided and what still has to be carried out: task ids with events.
Unsettled: TypeAlias = list[tuple[str, Sequence[Event]]]
#: Tasks that may come to wait for tokens in one append; the rest of the queue is looked at in the next.
PARKED_AT_ONCE = 64


async def advance_task(
    news: StageCompleted
    | StageFailed
    | StageCancelled
    | TokenGrantExhausted
    | GateDecided
    | PlanDeltaRecorded
    | IncidentFiled,
    work: Work,
) -> None:
    """Let a task go on after news from another service."""
    if isinstance(news, TokenGrantExhausted):
        purse = await _purse(work, await work.load(task, news.task_id))
        await command(work, news.task_id, TopUp(news=news, purse=purse))
        return
    called = await _spent(work, news) if isinstance(news, _RUN_ENDS) else []
    conditions = await _conditions(work, news.task_id)
    if isinstance(news, GateDecided) and news.gate == 0 and news.verdict == "approve":
        state = await work.load(task, news.task_id)
        if state.pending.get(news.gate) == news.review_id:
            conditions = await _claimed(work, state, conditions)
    events = await command(work, news.task_id, Observe(news=news, now=work.now, conditions=conditions))
    if isinstance(news, PlanDeltaRecorded) and events:
        await _settle_all(work, await _release(work, await work.load(task, news.task_id), "is planned anew"))
        await grant(work)
    await _go_on(work, called)


_RUN_ENDS = (StageCompleted, StageFailed, StageCancelled)


async def plan_retry(news: StageRetryAdvised, work: Work) -> None:
    """Wait before a stage that failed for a passing reason is run again: with the slot, or without it for longer."""
    if await command(work, news.task_id, Observe(news=news, now=work.now)):
        return
    work.set_timer(
        f"retry:{news.task_id}", work.now + timedelta(seconds=news.after_s), "retry_stage", news.task_id
    )


async def retry_stage(task_id: str, work: Work) -> None:
    """Run a stage again: its wait is over."""
    await command(work, task_id, RetryStage(conditions=await _conditions(work, task_id)))


async def wake(task_id: str, work: Work) -> None:
    """Queue a parked task whose wait is over."""
    await command(work, task_id, Unpark(reason="its time has come"))


async def probe(task_id: str, work: Work) -> None:
    """Queue a task whose next monitor probe is due."""
    state = await work.load(task, task_id)
    if state.phase == "waiting":
        await _settle_all(work, await _enqueue(work, state))
        await grant(work)


async def submit(work: Work, wishes: Sequence[Submit]) -> None:
    """Take tasks in, all of them or none; slots are given once all are queued, so that the most urgent of them comes first."""
    for wish in wishes:
        await work.decide(task, wish.task_id, wish)
    for wish in wishes:
        await _settle_all(work, await _enqueue(work, await work.load(task, wish.task_id)))
    await grant(work)


async def command(work: Work, task_id: str, wish: TaskCommand) -> list[Event]:
    """Let a task decide and carry the consequences."""
    events = await work.decide(task, task_id, wish)
    await settle(work, task_id, events)
    return events


async def settle(work: Work, task_id: str, events: Sequence[Event]) -> None:
    """Give slots back, queue, tell dependents, set timers: whatever a task's events call for."""
    await _settle_all(work, [(task_id, events)])
    if any(isinstance(event, _MOVES_SLOTS) for event in events):
        await grant(work)


async def _settle_all(work: Work, unsettled: Unsettled) -> None:
    """Settle tasks, and those that are lost with them: a chain of dependents may be longer than the stack is deep."""
    waiting = deque(unsettled)
    while waiting:
        waiting.extend(await _settle(work, *waiting.popleft()))


async def _settle(work: Work, task_id: str, events: Sequence[Event]) -> Unsettled:
    state = await work.load(task, task_id)
    if state.ended or any(isinstance(event, TaskRetried | TaskUnparked) for event in events):
        for kind in ("retry", "probe", "wake"):
            work.clear_timer(f"{kind}:{task_id}")
    lost: Unsettled = []
    for event in events:
        lost += await _let_go(work, state, event)
        match event:
            case TaskUnparked() | TaskRetried():
                lost += await _enqueue(work, state)
            case TaskParked(code="dependency_broken"):
                pass  # It keeps its place in the queue: should the dependency be met after a retry, it starts at once.
            case StageRequested(tokens=tokens) if tokens is not None:
                await _reserve(work, state, event)
            case TokensGranted():
                await _raise(work, state, event)
            case TaskParked(code=code, reason=reason, until=until):
                if code == "tokens":
                    await _defer(work, state)
                if code == "emergency_stop" or code == "mode":
                    await work.decide(aside, SYSTEM, NoteAside(task_id=task_id, code=code))
                if until is not None:
                    work.set_timer(f"wake:{task_id}", until, "wake", task_id)
                await _admit(work, Leave(task_id=task_id, reason=reason))
            case MonitorWaitStarted(next_probe=due):
                work.set_timer(f"probe:{task_id}", due, "probe", task_id)
                await _admit(work, Leave(task_id=task_id, reason="monitoring"))
                await _admit(work, Settle(task_id=task_id, outcome="met"))
            case TaskPriorityChanged(priority=priority, actor=actor):
                await _admit(work, Reprioritise(task_id=task_id, priority=priority, actor=actor))
            case TaskDone():
                await _admit(work, Leave(task_id=task_id, reason="done"))
                await _admit(work, Settle(task_id=task_id, outcome="met"))
            case TaskCancelled():
                lost += await _forgo(work, state)
                await _admit(work, Leave(task_id=task_id, reason="cancelled"))
                lost += await _admit(work, Settle(task_id=task_id, outcome="cancelled"))
            case TaskGivenUp():
                await _admit(work, Leave(task_id=task_id, reason="incident"))
                lost += await _admit(work, Settle(task_id=task_id, outcome="incident"))
            case _:
                pass
    return lost


_MOVES_SLOTS = (
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


async def admit(_: str, work: Work) -> None:
    """Go on giving slots where the last append was long enough."""
    await grant(work)


async def _start(work: Work, task_id: str) -> bool:
    """Start a task that got a slot, on a tree that contains what it depends on; false if it gave the slot back at once.

    There are no tokens for it, or what was in monitor when it was queued has been lost before its turn.
    """
    state = await work.load(task, task_id)
    if not all([(await work.load(task, other)).fulfilled for other in state.depends_on]):
        await _admit(work, Leave(task_id=task_id, reason="what it depends on is not there any more"))
        await _settle_all(work, await _enqueue(work, state))
        return False
    conditions = await _conditions(work, task_id)
    if 0 in state.approved and not state.fulfilled:
        conditions = await _claimed(work, state, conditions)
    start = Start(bases=await _bases(work, state), conditions=conditions)
    started = await work.decide(task, task_id, start)
    await _settle_all(work, [(task_id, [event for event in started if not isinstance(event, TaskUnparked)])])
    return not any(isinstance(event, TaskParked) for event in started)


async def change_mode(work: Work, wish: ChangeMode) -> ModeState:
    """Change the mode: slots are held back or given again, an emergency stop stops what runs, others let it go on."""
    if await work.decide(mode, SYSTEM, wish):
        if admits(wish.mode):
            await _admit(work, Release(cause="mode", actor=wish.actor))
        else:
            detail = f"mode is {wish.mode}" + (f": {wish.reason}" if wish.reason else "")
            await _admit(work, Hold(cause="mode", detail=detail, actor=wish.actor))
        if wish.mode == "emergency-stop":
            for task_id in (await work.load(admission, POOL)).running:
                await command(work, task_id, Halt())
        await call_back(SYSTEM, work)
        await grant(work)
    return await work.load(mode, SYSTEM)


async def call_back(scope: str, work: Work) -> None:
    """Queue tasks that need not wait for another mode any more: a lot of them now, and the next at once."""
    present = await work.load(mode, scope)
    for called in await work.decide(aside, scope, CallBack(mode=present.mode)):
        assert isinstance(called, TasksCalledBack)
        wish = Unpark(reason=f"mode is {present.mode}", codes=(called.code,))
        for task_id in called.task_ids:
            await _settle_all(work, [(task_id, await work.decide(task, task_id, wish))])
        work.set_timer("call_back", work.now, "call_back", scope)
        await grant(work)


async def operate(work: Work, wish: Operation) -> Admission:
    """Do to the pool what somebody wants, and start whoever may start now."""
    await _admit(work, wish)
    await grant(work)
    return await work.load(admission, POOL)


async def oversee(room: Room | None, lasting_s: float, work: Work) -> bool:
    """Hold slots back while memory is short, and tell of it when nothing has started for long; tells whether nothing starts."""
    pool = await work.load(admission, POOL)
    if room is not None and (wish := judged(room, "host_memory" in pool.holds)):
        await _admit(work, wish)
        await grant(work)
        pool = await work.load(admission, POOL)
    stalled = is_stalled(pool, await work.load(mode, SYSTEM))
    look = Look(
        stalled=stalled,
        lasting_s=lasting_s,
        after_s=work.running.config.config_stalled_after_s,
        ready=len(pool.upcoming(COUNTED)) if stalled else 0,
        running=len(pool.running),
        limit=pool.limit,
        reason=reason_of(pool),
    )
    await work.decide(stall, POOL, look)
    return stalled


async def change_ceiling(work: Work, wish: ChangeCeiling) -> Ledger:
    """Change a ceiling of tokens; whoever waits for them and fits under the new one is called."""
    await _go_on(work, await _account(work, wish))
    return await work.load(budget, wish.ledger)


async def _go_on(work: Work, called: Unsettled) -> None:
    """Carry out what follows for tasks that were called because there are tokens again."""
    if called:
        await _settle_all(work, called)
        await grant(work)


async def _conditions(work: Work, task_id: str) -> Conditions:
    """Tell a task what the rest of the system allows."""
    state = await work.load(task, task_id)
    present = (await work.load(mode, SYSTEM)).mode
    return Conditions(mode=present, purse=await _purse(work, state) if _spends(state) else None)


def _spends(state: Task) -> bool:
    return state.input is not None and spends(state.spec)


async def _purse(work: Work, state: Task) -> Purse:
    return Purse(ledger=await work.load(budget, ledger_of(state.spec)), now=work.now)


async def _reserve(work: Work, state: Task, asked: StageRequested) -> None:
    assert asked.tokens is not None
    wish = Reserve(
        ledger=ledger_of(state.spec),
        now=work.now,
        run_id=asked.run_id,
        task_id=state.task_id,
        stage=asked.stage,
        grant=asked.tokens,
        ceiling=state.spec.budget.tokens,
    )
    if not await work.decide(budget, wish.ledger, wish):
        raise AssertionError(f"the grant of {asked.run_id} was offered and does not fit")


async def _raise(work: Work, state: Task, granted: TokensGranted) -> None:
    wish = Raise(
        ledger=ledger_of(state.spec),
        now=work.now,
        run_id=granted.run_id,
        tokens=granted.tokens,
        ceiling=state.spec.budget.tokens,
    )
    if not await work.decide(budget, wish.ledger, wish):
        raise AssertionError(f"what {granted.run_id} was given does not fit")


async def _defer(work: Work, state: Task) -> None:
    """Enter a task among those who wait; one that waits for a person is not: nothing is kept for it."""
    short = (await _purse(work, state)).offer(state, state.stage)
    if isinstance(short, Shortage) and short.until is not None:
        wish = Defer(
            ledger=ledger_of(state.spec),
            now=work.now,
            task_id=state.task_id,
            provider=short.provider,
            tokens=short.tokens,
            scope=short.scope,
            until=short.until,
        )
        await work.decide(budget, wish.ledger, wish)


async def _forgo(work: Work, state: Task) -> Unsettled:
    if not _spends(state):
        return []
    return await _account(work, Forgo(ledger=ledger_of(state.spec), now=work.now, task_id=state.task_id))


async def _spent(work: Work, news: StageCompleted | StageFailed | StageCancelled) -> Unsettled:
    """Settle the grant of a run that has ended."""
    state = await work.load(task, news.task_id)
    if not _spends(state):
        return []
    wish = SettleGrant(
        ledger=ledger_of(state.spec), now=work.now, run_id=news.run_id, spent=news.tokens_spent
    )
    return await _account(work, wish)


async def _account(work: Work, wish: BudgetCommand) -> Unsettled:
    """Let a ledger decide; return what tasks say that it calls because there are tokens for them."""
    called = [
        (event.task_id, await _call(work, event.task_id, "there are tokens for it"))
        for event in await work.decide(budget, wish.ledger, wish)
        if isinstance(event, GrantCalled)
    ]
    return [(task_id, events) for task_id, events in called if events]


async def _call(work: Work, task_id: str, reason: str) -> list[Event]:
    return await work.decide(task, task_id, Unpark(reason=reason, codes=("tokens",)))


async def _admit(work: Work, wish: AdmissionCommand) -> Unsettled:
    """Let the pool decide; return what tasks say to it that have lost what they depend on."""
    lost: Unsettled = []
    for event in await work.decide(admission, POOL, wish):
        if isinstance(event, DependencyBroken):
            for dependent in event.dependents:
                lost.append((dependent, await _lose(work, dependent, event.task_id, event.outcome)))
    return lost


async def _lose(work: Work, dependent: str, dependency: str, outcome: str) -> list[Event]:
    return await work.decide(task, dependent, LoseDependency(dependency=dependency, outcome=outcome))


async def _enqueue(work: Work, state: Task) -> Unsettled:
    """Queue a task behind what it depends on; what it says if that has ended without a change already is returned."""
    others = {dependency: await work.load(task, dependency) for dependency in state.depends_on}
    wish = Enqueue(
        task_id=state.task_id,
        priority=state.priority,
        queue=state.spec.queue,
        depends_on=tuple(dependency for dependency, other in others.items() if not other.fulfilled),
    )
    await _admit(work, wish)
    # Who waits for another task holds nothing that the other may wait for.
    free = await _release(work, state, "waits for what it depends on") if wish.depends_on else []
    for dependency, other in others.items():
        if other.ended and not other.fulfilled:
            return [*free, (state.task_id, await _lose(work, state.task_id, dependency, other.phase))]
    return free


async def _claimed(work: Work, state: Task, conditions: Conditions) -> Conditions:
    """Claim the files of an approved plan; who is in the way of it is a condition."""
    files = files_of(state.input) if state.input else ()
    if not files:
        return conditions
    if handed := await _hand_over(work, Claim(task_id=state.task_id, files=files)):
        await _settle_all(work, handed)
        await grant(work)
    line = (await work.load(claims, TABLE)).waiting(state.task_id)
    overlap = Overlap(behind=tuple(sorted(line.behind)), shared=line.shared) if line else None
    return msgspec.structs.replace(conditions, overlap=overlap)


async def _let_go(work: Work, state: Task, event: Event) -> Unsettled:
    """Release the files of a task that has changed them, or will not; return what tasks say that waited for them."""
    match event:
        case MonitorWaitStarted() | TaskDone():
            return await _release(work, state, "has a pull request", delivered=True)
        case TaskCancelled() | TaskGivenUp():
            return await _release(work, state, "has ended without a change")
        case TaskParked() if lets_go(event):
            return await _release(work, state, "waits for somebody")
        case _:
            return []


async def _release(work: Work, state: Task, reason: str, *, delivered: bool = False) -> Unsettled:
    if state.spec.engine == "noop":
        return []
    return await _hand_over(work, LetGo(task_id=state.task_id, delivered=delivered, reason=reason))


async def _hand_over(work: Work, wish: ClaimCommand) -> Unsettled:
    """Wake the tasks to which files are handed over."""
    woken: Unsettled = []
    for event in await work.decide(claims, TABLE, wish):
        if isinstance(event, FilesClaimed) and event.task_id != wish.task_id:
            unpark = Unpark(reason="its files are free", codes=("files_overlap",), after=event.after)
            woken.append((event.task_id, await work.decide(task, event.task_id, unpark)))
    return woken


async def _bases(work: Work, state: Task) -> tuple[BaseRef, ...]:
    return bases_of(state, {other: await work.load(task, other) for other in predecessors(state)})
