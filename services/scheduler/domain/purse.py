"""What a task may spend next: sized by what attempts of the same kind have spent, never the whole of its budget."""

from __future__ import annotations

from datetime import datetime

import msgspec

from contracts.budget import HOUR, provider_of, task_scope
from contracts.task import Activity, TokenGrant
from services.scheduler.domain.budget import lacking
from services.scheduler.domain.ledger import Ledger, history_of
from services.scheduler.domain.state import Task

#: Tokens of a grant before there is a history, and what an exhausted grant is raised by where that fits.
FLOOR = 1_000
#: Attempts before their spending counts as a history, and how many of ten shall find their grant sufficient.
KNOWN, SUFFICES = 5, 9
#: What a grant is rounded up to.
STEP = 100


class Shortage(msgspec.Struct, frozen=True, kw_only=True):
    """A grant that a task cannot have now."""

    provider: str
    tokens: int
    #: The account that is short.
    scope: str
    #: None where somebody has to raise a ceiling.
    until: datetime | None
    reason: str


class Purse(msgspec.Struct, frozen=True, kw_only=True):
    """A ledger at a moment, as a task's decider looks at it."""

    ledger: Ledger
    now: datetime

    def offer(self, task: Task, stage: Activity) -> TokenGrant | Shortage | None:
        """Size the grant of a stage's next run; None for a stage that spends nothing."""
        provider = provider_of(task.spec, stage)
        if not provider:
            return None
        account = self.ledger.task(task.task_id, task.tokens_before)
        ceiling = task.spec.budget.tokens
        left = ceiling - account.spent - account.live
        usual = usual_tokens(self.ledger.history.get(history_of(provider, stage), ()))
        # Half of its budget at most, so that a stage that is worse than others leaves something for what follows.
        tokens = max(task.wanted, min(usual, (ceiling + 1) // 2, left, self.ledger.most(provider)))
        if tokens > left or tokens < 1:
            need = f"{stage} needs {tokens} more" if tokens > 0 else f"nothing is left for {stage}"
            reason = f"{account.spent} of the task's {ceiling} tokens are spent; {need}"
            return _of_its_own(task, provider, tokens, reason)
        return self._within_the_hour(task, provider, tokens) or TokenGrant(
            tokens=tokens, provider=provider, before=account.spent
        )

    def raised(self, task: Task, run_id: str, missing: int) -> int | Shortage:
        """Size what is added to the grant of a run that is under way; `missing` is the least that helps."""
        grant = self.ledger.grants[run_id]
        account = self.ledger.task(task.task_id)
        left = task.spec.budget.tokens - account.spent - account.live
        if missing > left:
            reason = f"{left} of the task's {task.spec.budget.tokens} tokens are left, {missing} are needed"
            return _of_its_own(task, grant.provider, missing, reason)
        more = min(max(missing, FLOOR), left)
        if self._within_the_hour(task, grant.provider, more) is None:
            return more
        return self._within_the_hour(task, grant.provider, missing) or missing

    def _within_the_hour(self, task: Task, provider: str, tokens: int) -> Shortage | None:
        short = lacking(self.ledger, task.task_id, provider, tokens, self.now)
        if short is None:
            return None
        ceiling = self.ledger.ceilings[short.scope]
        whose = "the hour" if short.scope == HOUR else provider
        used = self.ledger.account(short.scope).used(self.now)
        reason = f"{tokens} tokens are needed; of the {ceiling} of {whose}, {used} are spent or reserved"
        return Shortage(provider=provider, tokens=tokens, scope=short.scope, until=short.until, reason=reason)


def _of_its_own(task: Task, provider: str, tokens: int, reason: str) -> Shortage:
    return Shortage(
        provider=provider, tokens=tokens, scope=task_scope(task.task_id), until=None, reason=reason
    )


def usual_tokens(history: tuple[int, ...]) -> int:
    """Return what suffices for nine of ten of the last attempts, or the floor before there were enough of them."""
    if len(history) < KNOWN:
        return FLOOR
    sufficient = sorted(history)[(len(history) * SUFFICES + 9) // 10 - 1]
    return -(-sufficient // STEP) * STEP
