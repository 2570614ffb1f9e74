"""Who waits for something to do: asleep until there is something, by timer, by event, or by what others have left behind.

On virtual time, so that an hour of nothing is an hour, and a moment is a moment.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st

from libs.eventstore.outbox import Relay
from libs.eventstore.store import Append, StreamAppend, Timer
from libs.runtime.leadership import RENEW_S, Leadership
from libs.runtime.service import Follower
from libs.runtime.timekeeping import Timekeeping
from libs.runtime.work import Work
from libs.testing.samples import Aside, Noted, head_of, new
from libs.testing.virtualtime import VirtualLoop
from tests.unit.runtime.house import House

T = TypeVar("T")
#: Seconds that a clock of microseconds may be late.
LATE_S = 0.001


class LoopClock:
    """The time of the loop, which somebody may set."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop, self.ahead_s = loop, 0.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self._loop.time() + self.ahead_s)


class Leading(House):
    """A house that leads, with its clock on virtual time and a note of what it asks the record."""

    def __init__(self, loop: VirtualLoop, handler: Any = None, **service: Any) -> None:
        super().__init__(*([handler] if handler else []), **service)
        self.clock = LoopClock(loop)  # type: ignore[assignment]
        self.store._clock = self.running.clock = self.clock
        self.asked: Counter[str] = Counter()
        self.running.store = _Counting(self.store, self.asked)  # type: ignore[assignment]

    async def begin(self, *jobs: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Take the lease and go on with it, and with some of what a process does."""
        store, loop = self.running.store, asyncio.get_running_loop()
        leadership = Leadership(
            store, "keeper", "keeper-1", loop.time, service="keeper", pulse=self.running.pulse
        )
        claim = await leadership.acquire()
        self.running.lead(claim)
        self.jobs = [loop.create_task(job()) for job in (lambda: leadership.hold(claim), *jobs)]


class _Counting:
    def __init__(self, store: Any, asked: Counter[str]) -> None:
        self._store, self._asked = store, asked

    def __getattr__(self, name: str) -> Any:
        self._asked[name] += 1
        return getattr(self._store, name)


def run(main: Callable[[VirtualLoop], Coroutine[Any, Any, T]]) -> T:
    loop = VirtualLoop()
    return loop.run(main(loop))


class Bell:
    """A timer handler that writes down when it was called."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.rang: dict[str, list[float]] = {}
        self._loop = loop

    async def __call__(self, subject: str, work: Work) -> None:
        self.rang.setdefault(subject, []).append(self._loop.time())


async def keeping(loop: VirtualLoop) -> tuple[Leading, Bell]:
    bell = Bell(loop)
    house = Leading(loop, timers={"ring": bell})
    await house.begin(Timekeeping(house.running).run)
    return house, bell


async def set_timer(house: Leading, key: str, seconds: float) -> None:
    async def act(work: Work) -> None:
        work.set_timer(key, work.now + timedelta(seconds=seconds), "ring", key)

    await house.running.perform(act)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.sampled_from((0.0, 0.0, 0.1, 0.4, 3.0)), st.sampled_from((0.0, 0.01, 0.3, 1.0, 7.0, 20.0))
        ),
        min_size=1,
        max_size=12,
    )
)
def test_every_timer_rings_when_it_is_due_whenever_it_was_set(plan: list[tuple[float, float]]) -> None:
    async def main(loop: VirtualLoop) -> None:
        house, bell = await keeping(loop)
        due: dict[str, float] = {}
        for place, (pause, seconds) in enumerate(plan):
            await asyncio.sleep(pause)
            due[f"t{place}"] = loop.time() + seconds
            await set_timer(house, f"t{place}", seconds)
        await asyncio.sleep(25)
        assert bell.rang.keys() == due.keys()
        for key, times in bell.rang.items():
            (at,) = times
            assert abs(at - due[key]) < LATE_S, key

    run(main)


def test_while_no_timer_is_due_nobody_asks_for_any() -> None:
    async def main(loop: VirtualLoop) -> None:
        house, bell = await keeping(loop)
        await set_timer(house, "late", 3_600)
        await asyncio.sleep(1)
        house.asked.clear()
        await asyncio.sleep(3_000)
        assert house.asked.keys() == {"beat"}
        assert bell.rang == {}

    run(main)


def test_a_timer_that_is_set_costs_no_look_before_it_is_due() -> None:
    async def main(loop: VirtualLoop) -> None:
        house, _ = await keeping(loop)
        await asyncio.sleep(1)
        house.asked.clear()
        for place in range(10):
            await set_timer(house, f"t{place}", 60 + place)
        await asyncio.sleep(10)
        assert house.asked["due_timers"] + house.asked["next_timer"] == 0

    run(main)


def test_a_timer_that_somebody_else_has_set_rings_within_a_beat() -> None:
    async def main(loop: VirtualLoop) -> None:
        house, bell = await keeping(loop)
        await asyncio.sleep(1.2)
        due = house.clock.now() + timedelta(seconds=0.1)
        timer = Timer(service="keeper", key="k", due=due, kind="ring", subject="k")
        await house.store.append(Append(service="keeper", timers=(timer,)))
        await asyncio.sleep(0.1 + RENEW_S)
        assert list(bell.rang) == ["k"]

    run(main)


def test_a_clock_that_is_set_forward_makes_timers_ring_within_a_beat() -> None:
    async def main(loop: VirtualLoop) -> None:
        house, bell = await keeping(loop)
        await set_timer(house, "k", 3_600)
        await asyncio.sleep(5)
        house.clock.ahead_s = 4_000  # type: ignore[attr-defined]
        await asyncio.sleep(RENEW_S + LATE_S)
        assert list(bell.rang) == ["k"]

    run(main)


class Ear:
    """A follower's handler that writes down when it was called."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.heard: dict[str, float] = {}
        self.fails: set[str] = set()
        self._loop = loop

    async def hear(self, event: Aside, work: Work) -> None:
        if event.case_id in self.fails:
            self.fails.discard(event.case_id)
            raise RuntimeError("no luck")
        self.heard[event.case_id] = self._loop.time()


async def following(loop: VirtualLoop) -> tuple[Leading, Ear]:
    ear = Ear(loop)
    house = Leading(loop, Follower(ear.hear))
    await house.begin(house.following().run)
    return house, ear


def test_a_follower_of_a_record_that_does_not_grow_does_not_read_it() -> None:
    async def main(loop: VirtualLoop) -> None:
        house, ear = await following(loop)
        await house.news(Aside(case_id="a"))
        await asyncio.sleep(5)
        assert list(ear.heard) == ["a"]
        house.asked.clear()
        await asyncio.sleep(600)
        assert house.asked.keys() == {"beat"}

    run(main)


def test_a_follower_hears_within_a_beat_and_a_pause_after_any_silence() -> None:
    async def main(loop: VirtualLoop) -> None:
        house, ear = await following(loop)
        for place, silence in enumerate((0.0, 0.3, 10.0, 600.0)):
            await asyncio.sleep(silence)
            said = loop.time()
            await house.news(Aside(case_id=f"c{place}"))
            await asyncio.sleep(2)
            assert ear.heard[f"c{place}"] - said <= RENEW_S + Follower(ear.hear).every_s

    run(main)


def test_a_stream_that_is_held_back_is_tried_again_although_nothing_else_happens() -> None:
    async def main(loop: VirtualLoop) -> None:
        house, ear = await following(loop)
        await asyncio.sleep(5)
        ear.fails = {"a"}
        await house.news(Aside(case_id="a"))
        await asyncio.sleep(10)
        assert list(ear.heard) == ["a"]

    run(main)


def test_what_a_process_that_died_has_not_published_is_swept_within_a_beat_of_its_age() -> None:
    async def main(loop: VirtualLoop) -> None:
        house = Leading(loop)
        relay = Relay("keeper", house.running.store, house.running.bus)
        house.running.pulse.listen(relay.heed)
        await house.begin(relay.run)
        await asyncio.sleep(60)
        house.asked.clear()
        await asyncio.sleep(60)
        assert house.asked.keys() == {"beat"}
        stream = StreamAppend(head=await head_of(house.store, "case-a"), events=(new(Noted(case_id="a")),))
        await house.store.append(Append(service="keeper", streams=(stream,)))
        await asyncio.sleep(2 * RENEW_S + LATE_S)
        assert not await house.store.pending_outbox("keeper", older_than_s=0)

    run(main)
