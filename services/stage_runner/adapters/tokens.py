"""How a stage spends tokens: each call is reserved in the run's own stream before it is made, and settled after it.

Nobody is asked for leave as long as the grant lasts. At its end the run asks for more and waits for the answer, which
is in the task's stream: every replica hears of it, and the one that holds the run reads it there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from contracts.stage import TOKENS_EXHAUSTED, CallReserved
from contracts.task import RunRequest, StageRequested, TokenGrant, TokensGranted, TokensRefused
from libs.runtime.running import Running
from libs.runtime.work import Work
from services.stage_runner.adapters.stages.context import fail
from services.stage_runner.domain import ReserveCall, Run, SettleCall, run


@dataclass
class Call:
    """One call of a language model that may be made now."""

    #: What it may take at most.
    tokens: int
    #: Digest of the stored answer, if it was made before a crash: then it is not made again.
    settled: str | None = None
    _took: int | None = None
    _reference: str = ""

    def took(self, tokens: int, reference: str = "") -> None:
        """Say what the call took, and where its answer is kept; a call of which this is not said counts in full.

        Raises ValueError for more than was reserved: the provider has not kept to its limit.
        """
        if not 0 <= tokens <= self.tokens:
            raise ValueError(f"a call took {tokens} tokens, and {self.tokens} were the most it might take")
        self._took, self._reference = tokens, reference


class Tokens:
    """What one run may spend."""

    def __init__(self, running: Running, request: RunRequest) -> None:
        self._running, self._request = running, request
        self._grant: TokenGrant | None = request.tokens if isinstance(request, StageRequested) else None
        self._granted = self._grant.tokens if self._grant else 0
        self._answered = 0
        self._heard = asyncio.Event()
        #: Whether the run waits for an answer.
        self.waiting = False

    def hear(self) -> None:
        """Let a run that waits look for its answer."""
        self.waiting = False
        self._heard.set()

    @asynccontextmanager
    async def call(self, name: str, at_most: int) -> AsyncIterator[Call]:
        """Make a call that takes so many tokens at most. `name` is the call's own in its run, the same after a crash.

        Waits while more is asked for. Raises StageError if there is no more.
        """
        call = await self._reserved(name, at_most)
        yield call
        if call._took is not None and call.settled is None:
            await self._perform(SettleCall(call=name, tokens=call._took, reference=call._reference))

    async def _reserved(self, name: str, at_most: int) -> Call:
        grant = self._grant
        if grant is None:
            fail(
                "impossible", "no_token_grant", f"{self._request.stage} may not spend tokens: it has no grant"
            )
        while True:
            wish = ReserveCall(
                call=name,
                provider=grant.provider,
                tokens=at_most,
                granted=self._granted,
                answered=self._answered,
            )
            reserved, state = await self._perform(wish)
            if name in state.answers:
                return Call(tokens=at_most, settled=state.answers[name])
            if reserved:
                return Call(tokens=at_most)
            await self._topped_up(state.exhausted)

    async def _perform(self, wish: ReserveCall | SettleCall) -> tuple[bool, Run]:
        """Record it; tell whether a call is reserved by it, and how the run is then."""
        run_id = self._request.run_id

        async def act(work: Work) -> tuple[bool, Run]:
            events = await work.decide(run, run_id, wish)
            return any(isinstance(event, CallReserved) for event in events), await work.load(run, run_id)

        return await self._running.perform(act, synthetic=self._request.input.spec.synthetic)

    async def _topped_up(self, number: int) -> None:
        """Wait for the answer to a request. Raises StageError for a refusal."""
        while True:
            self._heard.clear()
            answers = await self._answers()
            if number in answers:
                break
            self.waiting = True
            await self._heard.wait()
        self._granted += sum(
            answer.tokens
            for place, answer in answers.items()
            if isinstance(answer, TokensGranted) and place > self._answered
        )
        self._answered = number
        if isinstance(refused := answers[number], TokensRefused):
            fail(
                "transient", TOKENS_EXHAUSTED, f"the grant is used up, and there is no more: {refused.reason}"
            )

    async def _answers(self) -> dict[int, TokensGranted | TokensRefused]:
        found = await self._running.store.read_stream(
            f"task-{self._request.task_id}", types=["tokens_granted", "tokens_refused"]
        )
        return {
            one.event.number: one.event
            for one in found
            if isinstance(one.event, TokensGranted | TokensRefused)
            and one.event.run_id == self._request.run_id
        }
