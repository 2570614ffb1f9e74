"""Verifies a record against its checkpoints: one walk over both, in order of position, in memory that stays flat.

Each event must hash to its own hash, continue its stream's chain, and be the one that was sealed at its position. The
streams' heads must be where their events end. What lies behind the last checkpoint is chained but not sealed yet.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Literal, TypeAlias

import msgspec

from contracts.message import category_of
from libs.eventstore.row import Row, row_hash
from libs.journal.chains import Chains, End
from libs.journal.checkpoint import MARK_BYTES, Checkpoint, Digest
from libs.journal.exactness import parse
from libs.journal.seals import Seals
from libs.journal.source import Kept, KeptHead, Source

#: Findings that are told one by one; all are counted.
TOLD = 100

Kind: TypeAlias = Literal["changed", "removed", "inserted", "truncated", "checkpoint", "stream"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not as it was sealed."""

    #: Where; None for a stream whose head does not fit its events: what is missing there had no sealed position.
    position: int | None
    kind: Kind
    detail: str


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a verification found."""

    ok: bool
    #: The finding with the lowest position; those without one come last.
    first: Finding | None
    findings: tuple[Finding, ...]
    #: How many there were, those included that are not listed.
    found: int
    events: int
    #: Events behind the last checkpoint, and the first of their positions.
    unsealed: int
    first_unsealed: int | None
    checkpoints: int
    #: The last checkpoint: the position up to which it seals, its hash (worth noting elsewhere), its public key.
    sealed_upto: int
    last_checkpoint: str
    key: str


class Findings:
    """Collects what is found."""

    def __init__(self) -> None:
        self.told: list[Finding] = []
        self.count = 0
        self.first: Finding | None = None

    def add(self, position: int | None, kind: Kind, detail: str) -> None:
        """Take a finding in."""
        finding = Finding(position=position, kind=kind, detail=detail)
        self.count += 1
        if len(self.told) < TOLD:
            self.told.append(finding)
        if self.first is None or _place(finding) < _place(self.first):
            self.first = finding


async def verify(
    source: Source, trusted: str | None, *, other: AsyncIterator[str] | None = None, drawn: int | None = None
) -> Verdict:
    """Verify a record. Raises what the source raises.

    `trusted` is the public key of the journal; None takes the one that signed last, whatever it is worth. `other` are
    the lines of the checkpoints' second place, `drawn` the highest position that was ever given to a writer.
    """
    findings = Findings()
    seals = Seals(
        source.checkpoints(), other, trusted, lambda at, detail: findings.add(at, "checkpoint", detail)
    )
    with Chains() as chains:
        walk = _Walk(findings, seals, chains, drawn)
        async for kept in source.events():
            await walk.take(kept)
        await walk.end()
        await _compare_heads(source.streams(), chains.ends(), findings)
    return Verdict(
        ok=findings.count == 0,
        first=findings.first,
        findings=tuple(sorted(findings.told, key=_place)),
        found=findings.count,
        events=walk.events,
        unsealed=walk.unsealed,
        first_unsealed=walk.first_unsealed,
        checkpoints=seals.count,
        sealed_upto=seals.upto,
        last_checkpoint=seals.last_hash,
        key=seals.key,
    )


class _Walk:
    """The events on one side, the sealed ranges on the other."""

    def __init__(self, findings: Findings, seals: Seals, chains: Chains, drawn: int | None) -> None:
        self._findings, self._seals, self._chains, self._drawn = findings, seals, chains, drawn
        self._current: _Range | None = None
        self._exhausted = False
        #: Sealed events of which nothing was there, since the last one that was: first, last, how many.
        self._missing: tuple[int, int, int] | None = None
        self.events = self.unsealed = 0
        self.first_unsealed: int | None = None

    async def take(self, kept: Kept) -> None:
        """Judge the next event."""
        row = kept.row
        self.events += 1
        await self._advance_to(row.position)
        if row.position < 1 or (self._drawn is not None and row.position > self._drawn):
            self._wrong(row.position, "inserted", "no writer was ever given this position")
        elif self._current is None:
            self.unsealed += 1
            self.first_unsealed = self.first_unsealed or row.position
        elif row.position > self._current.checkpoint.after:
            self._judge(row, self._current)
        # Else the checkpoint of this place cannot be believed, which has been told.
        link, content = self._chains.follow(row), _fault_of(kept)
        if content or link:
            self._wrong(row.position, "changed", content or link or "")
        self._tell_missing("removed")

    async def end(self) -> None:
        """Judge what should have followed."""
        await self._advance_to(None)
        self._tell_missing("truncated")

    async def _advance_to(self, position: int | None) -> None:
        """Leave ranges that end before a position, all of them for None."""
        while not self._exhausted:
            if self._current is not None:
                if position is not None and position <= self._current.checkpoint.upto:
                    return
                self._leave(self._current)
            following = await self._seals.next()
            self._current = None if following is None else _Range(following)
            self._exhausted = following is None

    def _judge(self, row: Row, current: _Range) -> None:
        self._skip(current, row.position)
        mark = current.take(row)
        if mark is None:
            self._wrong(row.position, "inserted", "the checkpoint of this range has no event here")
        elif mark != row.hash[: 2 * MARK_BYTES]:
            self._wrong(row.position, "changed", "another event was sealed here")

    def _leave(self, current: _Range) -> None:
        self._skip(current, None)
        if not current.faulty and current.digest != current.checkpoint.digest:
            # The open part of each hash is right, so somebody worked hard for this.
            self._findings.add(
                current.checkpoint.after + 1, "changed", "the digest of its checkpoint differs"
            )

    def _skip(self, current: _Range, position: int | None) -> None:
        for missing in current.skip(position):
            first, _, count = self._missing or (missing, missing, 0)
            self._missing = first, missing, count + 1

    def _tell_missing(self, kind: Literal["removed", "truncated"]) -> None:
        if self._missing is not None:
            first, last, count = self._missing
            self._missing = None
            detail = "its event is gone" if count == 1 else f"{count} events up to position {last} are gone"
            self._findings.add(first, kind, detail)

    def _wrong(self, position: int, kind: Kind, detail: str) -> None:
        if self._current is not None:
            self._current.faulty = True
        self._findings.add(position, kind, detail)


class _Range:
    """What is left to be seen of one checkpoint."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        #: Whether something was found in it: its digest says no more then.
        self.faulty = False
        self._expected = checkpoint.expected()
        self._next = next(self._expected, None)
        self._digest = Digest()

    def skip(self, position: int | None) -> Iterator[int]:
        """List positions before one (all for None) where an event should have come by now."""
        while self._next is not None and (position is None or self._next[0] < position):
            self.faulty = True
            yield self._next[0]
            self._next = next(self._expected, None)

    def take(self, row: Row) -> str | None:
        """Take an event in and return the mark (hexadecimal) that it should have; None if none should be here."""
        if self._next is None or self._next[0] != row.position:
            return None
        mark = self._next[1].hex()
        self._next = next(self._expected, None)
        # A hash that is none is found as such.
        with contextlib.suppress(ValueError):
            self._digest.add(row.position, row.hash)
        return mark

    @property
    def digest(self) -> str:
        """The digest of what was there."""
        return self._digest.value


def _fault_of(kept: Kept) -> str | None:
    """Tell what is wrong with an event by itself."""
    row = kept.row
    if kept.category != category_of(row.stream):
        return "its category is not its stream's"
    try:
        expected = row_hash(row, parse)
    except (ValueError, OverflowError, msgspec.MsgspecError) as error:
        return f"it cannot have been written as it is ({error})"
    return None if expected == row.hash else "its hash is not that of its content"


async def _compare_heads(heads: AsyncIterator[KeptHead], ends: Iterator[End], findings: Findings) -> None:
    """Walk over both in the order of names. What they lack has no position that could be known."""

    def unknown(end: End) -> None:
        findings.add(None, "stream", f"stream {end.stream} is not in the table of streams")

    end = next(ends, None)
    async for kept in heads:
        head = kept.head
        while end is not None and end.stream.encode() < head.stream.encode():
            unknown(end)
            end = next(ends, None)
        if end is None or end.stream != head.stream:
            findings.add(
                None, "stream", f"stream {head.stream} should have {head.version} events and has none"
            )
            continue
        if fault := _fault_of_head(kept, end):
            findings.add(None, "stream", f"stream {head.stream} {fault}")
        end = next(ends, None)
    while end is not None:
        unknown(end)
        end = next(ends, None)


def _fault_of_head(kept: KeptHead, end: End) -> str | None:
    head = kept.head
    if head.version != end.version:
        return f"ends at version {end.version} (position {end.position}), its head says {head.version}"
    if head.hash != end.hash:
        return f"ends with another hash (position {end.position}) than its head says"
    return None if kept.category == category_of(head.stream) else "has another category in its head"


def _place(finding: Finding) -> tuple[bool, int, bool]:
    # A checkpoint that cannot be believed explains what else is found where it begins.
    return finding.position is None, finding.position or 0, finding.kind != "checkpoint"
