"""Users of a stack, for Locust: they submit, poll, cancel, retry, follow the event stream, read, and send nonsense.

    locust -f loadtest/locustfile.py --headless -u 60 -r 20 -t 2m --data-dir .autopilot
    locust -f loadtest/locustfile.py --host http://127.0.0.1:8801 --dashboard http://127.0.0.1:8800 --token-file FILE

The same file with `--processes N`, or with `--master` and `--worker` on several machines. All its tasks are synthetic. A
request counts as failed when its answer is not among those that are expected: a refusal of nonsense is none, a 5xx
always is.
"""

from __future__ import annotations

import time
from collections import deque
from datetime import datetime
from typing import Any

import msgspec
from locust import HttpUser, between, events, task

from loadtest.traffic import repository, wishes
from loadtest.traffic.caller import Caller, Target, locate, options
from loadtest.traffic.continuity import Continuity
from loadtest.traffic.routes import (
    BATCH,
    CANCEL,
    DRAIN,
    MODE,
    PAUSE,
    QUEUES,
    REPRIORITISE,
    RESUME,
    RETRY,
    SETTINGS,
    SHOWN_ALERTS,
    SHOWN_EVENTS,
    SHOWN_STAGES,
    SHOWN_TASK,
    SHOWN_TASKS,
    STREAM,
    SUBMIT,
    SUBMIT_BATCH,
    TASK,
    TASK_EVENTS,
    TASKS,
    UNDRAIN,
    WEIGH,
)

#: Tasks that one user has open at most.
OPEN = 4
ENDS = ("done", "incident", "cancelled")
#: Seconds that a client stays on the event stream before it comes back with its last position.
LISTENS_S = 8.0
#: Seconds until a connection to the stream must stand, and within which a heartbeat must come.
CONNECT_S, SILENT_S = 10.0, 40.0


class Submitter(Caller):
    """Keeps some tasks open, looks after them, and changes its mind about a few."""

    weight = 12

    def on_start(self) -> None:
        """Begin with nothing open."""
        super().on_start()
        self.open: deque[str] = deque()

    @task(15)
    def submit(self) -> None:
        """Submit a task, one in five times twice with the same key, as after a lost answer."""
        if len(self.open) >= OPEN:
            self.poll()
            return
        body, key = (
            wishes.task(self.chance, Target.seconds),
            {"Idempotency-Key": f"{self.chance.getrandbits(96):x}"},
        )
        accepted = self.call(SUBMIT, 202, body=body, headers=key)
        if accepted is None:
            return
        self.accept(accepted["id"])
        self.open.append(accepted["id"])
        if self.chance.randrange(5) == 0:
            again = self.call(SUBMIT, 200, body=body, headers=key)
            assert again is None or again["id"] == accepted["id"], "one key, two tasks"

    @task(24)
    def poll(self) -> None:
        """Look at the oldest open task."""
        if not self.open:
            return
        self.open.rotate(-1)
        shown = self.call(TASK, 200, task_id=self.open[0])
        if shown is not None and shown["phase"] in ENDS:
            ended = self.open.popleft()
            if shown["phase"] == "incident" and self.chance.randrange(4) == 0:
                self.retry(ended)

    @task(1)
    def cancel(self) -> None:
        """Cancel an open task, and sometimes go back on that. It may have ended in the meantime."""
        if self.open:
            task_id = self.open.popleft()
            shown = self.call(CANCEL, 202, 409, task_id=task_id, body={"reason": "changed my mind"})
            if shown is not None and shown.get("phase") == "cancelled" and self.chance.randrange(2) == 0:
                self.retry(task_id)

    def retry(self, task_id: str) -> None:
        """Grant a task one more allowance."""
        if self.call(RETRY, 202, 409, task_id=task_id, body={}) is not None:
            self.open.append(task_id)

    @task(1)
    def reprioritise(self) -> None:
        """Have an open task wait in another class. It may run, or have ended."""
        if self.open:
            body = {"priority": self.chance.choice(wishes.PRIORITIES)}
            self.call(REPRIORITISE, 202, 409, task_id=self.open[-1], body=body)

    @task(1)
    def history(self) -> None:
        """Read what happened to a task."""
        if self.open:
            self.call(TASK_EVENTS, 200, task_id=self.open[0])


class Batcher(Caller):
    """Submits batches whose tasks depend on each other, one after the other."""

    weight = 2

    def on_start(self) -> None:
        """Begin without a batch."""
        super().on_start()
        self.batch = ""

    @task
    def work(self) -> None:
        """Submit a batch, or see how far the one at hand is; what waits for a task that failed is parked for good."""
        if not self.batch:
            accepted = self.call(SUBMIT_BATCH, 202, body=wishes.batch(self.chance, Target.seconds))
            if accepted:
                self.batch = accepted["batch"]
                self.accept(*(one["id"] for one in accepted["tasks"]))
            return
        told = self.call(BATCH, 200, batch=self.batch)
        if told and all(phase in (*ENDS, "parked") for phase in told["phases"]):
            self.batch = ""


class Commander(Caller):
    """Has one task after the other carried out by a program that waits in the sandbox."""

    weight = 3

    def on_start(self) -> None:
        """Begin with nothing open."""
        super().on_start()
        self.open = ""

    @task
    def work(self) -> None:
        """Submit a task, or look at the one at hand."""
        if not Target.repository:
            return
        if not self.open:
            body = repository.task(Target.repository, Target.tools, f"{self.chance.getrandbits(48):x}")
            accepted = self.call(SUBMIT, 202, body=body)
            if accepted:
                self.open = accepted["id"]
                self.accept(self.open)
            return
        shown = self.call(TASK, 200, task_id=self.open)
        if shown and shown["phase"] in ENDS:
            self.open = ""


class Operator(Caller):
    """Holds a queue or all of them for a moment, and shares the slots out anew; there is one."""

    fixed_count = 1
    wait_time = between(2.0, 5.0)

    @task(3)
    def pause(self) -> None:
        """Pause a queue, look, and resume it."""
        queue = self.chance.choice(wishes.QUEUES)
        self.call(PAUSE, 200, name=queue, body={"reason": "the load test"})
        self.call(QUEUES, 200)
        time.sleep(self.chance.uniform(2.0, 5.0))
        self.call(RESUME, 200, name=queue, body={})

    @task(2)
    def weigh(self) -> None:
        """Give a queue more or less of the slots."""
        queue = self.chance.choice(wishes.QUEUES)
        self.call(WEIGH, 200, name=queue, body={"weight": self.chance.randint(1, 5)})

    @task(1)
    def drain(self) -> None:
        """Start nothing for a moment."""
        self.call(DRAIN, 200, body={"reason": "the load test"})
        self.call(UNDRAIN, 200)

    def on_stop(self) -> None:
        """Leave nothing held, wherever this user was interrupted."""
        for queue in wishes.QUEUES:
            self.call(RESUME, 200, name=queue, body={})
        self.call(UNDRAIN, 200)


class Reader(Caller):
    """Looks at pages, lists and settings."""

    weight = 2

    @task(2)
    def browse(self) -> None:
        """List tasks, and open one of them."""
        shown = self.call(SHOWN_TASKS, 200, query="?limit=50")
        if shown and shown["tasks"]:
            self.call(SHOWN_TASK, 200, task_id=self.chance.choice(shown["tasks"])["id"])

    @task
    def scheduler(self) -> None:
        """Ask the scheduler itself."""
        self.call(TASKS, 200, query="?limit=20")
        self.call(SETTINGS, 200)
        self.call(MODE, 200)

    @task
    def overview(self) -> None:
        """Read events, stages and alerts."""
        self.call(SHOWN_EVENTS, 200, query="?limit=50")
        self.call(SHOWN_STAGES, 200)
        self.call(SHOWN_ALERTS, 200)


class Careless(Caller):
    """Sends what has to be refused."""

    weight = 2

    @task
    def send(self) -> None:
        """Send one such request."""
        wrong = wishes.refused(self.chance)
        self.call(
            wrong.route,
            *wrong.statuses,
            query=wrong.query,
            body=wrong.body or None,
            headers=wrong.headers,
            **wrong.parameters,
        )


class Follower(HttpUser):
    """Follows the event stream, leaves, and comes back behind the last event that it has seen."""

    weight = 1
    wait_time = between(0.1, 2.0)

    def on_start(self) -> None:
        """Begin with now."""
        self.continuity = Continuity()

    @task
    def follow(self) -> None:
        """Listen for a while; a gap in any stream's versions, over all connections, is a failure."""
        headers = dict(Target.headers)
        if self.continuity.position:
            headers["Last-Event-ID"] = self.continuity.position
        began = time.time()
        with self.client.get(
            Target.addresses[STREAM.service] + STREAM.path,
            name=f"{STREAM.service} {STREAM.path}",
            headers=headers,
            stream=True,
            timeout=(CONNECT_S, SILENT_S),
            catch_response=True,
        ) as answer:
            if answer.status_code != 200:
                answer.failure(f"{answer.status_code}: {answer.text[:300]}")
                return
            if fault := self._listen(answer, began):
                answer.failure(fault)
            else:
                answer.success()

    def _listen(self, answer: Any, began: float) -> str:
        """Hear events, and return the first fault. Heartbeats bring the end when nothing happens."""
        fields: dict[str, str] = {}
        for line in answer.iter_lines(decode_unicode=True):
            if time.time() > began + LISTENS_S:
                break
            name, _, value = line.partition(":")
            if line:
                fields[name] = value.removeprefix(" ")
                continue
            if "data" in fields and "id" in fields:
                if fault := self.continuity.hear(fields["id"], fields["data"]):
                    return fault
                self._time(fields["data"], began)
            fields = {}
        return ""

    def _time(self, data: str, began: float) -> None:
        """Tell how long an event was on its way; one from before this connection waited for the client."""
        recorded = msgspec.json.decode(data, type=_Timed).time.timestamp()
        if recorded > began:
            self.environment.events.request.fire(
                request_type="SSE",
                name="record to client",
                response_time=1_000 * max(0.0, time.time() - recorded),
                response_length=len(data),
                exception=None,
                context={},
            )


class _Timed(msgspec.Struct, frozen=True):
    time: datetime


events.init_command_line_parser.add_listener(options)
events.init.add_listener(locate)
