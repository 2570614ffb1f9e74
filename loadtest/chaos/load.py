"""Synthetic tasks, as many as a case needs: submitted over HTTP as a user does, followed in the record."""

from __future__ import annotations

from collections.abc import Sequence

from autopilot.cli import demo
from autopilot.cli.client import Client
from autopilot.cli.sending import send
from contracts.task import RepoSpec, TaskSpec
from loadtest.chaos.arena import Arena, until

#: Open tasks that make a fault meet work in hand.
BUSY = 20
#: Tasks of one batch.
BATCH = 50
#: Seconds that some simulated stages take: moments in which a stage-runner has work in hand.
WORK_S = {"plan": 0.2, "implement": 0.3, "verify": 0.2}
#: One task in so many spends tokens, a call before and one after its work; so few that no hour is ever used up.
SPENDS = 5
#: One task in so many fails a stage once, and one in so many never gets through.
FAILS_ONCE, FAILS = 10, 25
#: Seconds in which all tasks must have ended after a fault is over.
END_S = 600.0
TASK_ENDS = ["task_done", "task_cancelled", "task_given_up", "task_parked"]


class Load:
    """The tasks of one case."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        #: Ids that the scheduler has accepted.
        self.accepted: list[str] = []
        #: Those of them that have to end in a pull request.
        self.real: list[str] = []

    def submit(self, count: int) -> None:
        """Submit some more. Raises what `send` raises: then it is not known whether the last batch was accepted."""
        client = Client(self._arena.config)
        numbers = range(len(self.accepted), len(self.accepted) + count)
        for start in range(0, count, BATCH):
            self.accepted += send(client, [_task(number) for number in numbers[start : start + BATCH]])

    def submit_real(self, count: int) -> None:
        """Submit tasks whose effects reach the outside: the demo's right patch, each to its own pull request.

        Each has a repository of its own: of two that plan to change the same file the second finds the change there already.
        """
        client = Client(self._arena.config)
        for number in range(count):
            folder = self._arena.config.data_dir.parent / f"real-{number}"
            self.real += send(client, demo.tasks(["right"], folder))
        self.accepted += self.real

    def open(self) -> list[str]:
        """List accepted tasks that have neither ended nor been parked. Raises OSError and asyncpg's errors."""
        rows = self._arena.ask(
            "select distinct on (stream) stream, type, data ->> 'until' as until from events"
            " where category = 'task' order by stream, version desc"
        )
        # Who is parked until some time goes on by itself.
        over = {row["stream"] for row in rows if row["type"] in TASK_ENDS and row["until"] is None}
        return [task for task in self.accepted if f"task-{task}" not in over]

    def keep_at_least(self, count: int) -> None:
        """Submit until so many are open."""
        missing = count - len(self.open())
        if missing > 0:
            self.submit(max(missing, BATCH))

    def wait_until_open(self, at_most: int, deadline_s: float = END_S) -> None:
        """Wait until no more than so many are open. Raises ChaosError."""
        until(
            lambda: len(self.open()) <= at_most or None,
            f"at most {at_most} tasks are open",
            deadline_s,
            look_s=0.25,
        )


def holders(arena: Arena) -> Sequence[str]:
    """List the tasks that hold a slot now. Raises OSError and asyncpg's errors."""
    rows = arena.ask(
        "select data ->> 'task_id' as task, sum(case type when 'slot_granted' then 1 else -1 end) as held"
        " from events where type in ('slot_granted', 'slot_released') group by 1"
    )
    return [row["task"] for row in rows if row["held"] > 0]


def undecided(arena: Arena) -> Sequence[str]:
    """List the tasks that wait for a gate's decision now. Raises OSError and asyncpg's errors."""
    rows = arena.ask(
        "select data ->> 'task_id' as task from events a where type = 'gate_requested' and not exists (select from events b"
        " where b.type = 'gate_decided' and b.data ->> 'review_id' = a.data ->> 'review_id')"
    )
    return [row["task"] for row in rows]


def _task(number: int) -> TaskSpec:
    body = "\n".join(f"work {stage} {seconds}" for stage, seconds in WORK_S.items())
    if number % SPENDS == 0:
        body = f"spend implement 20\n{body}\nspend implement 20 1 10"
    if number % FAILS == FAILS - 1:
        body += "\nfail verify 9"
    elif number % FAILS_ONCE == FAILS_ONCE - 1:
        body += "\nfail verify"
    return TaskSpec(
        title=f"simulated {number}",
        body=body,
        repos=(RepoSpec(name="nowhere", url="/nowhere"),),
        engine="noop",
        synthetic=True,
    )
