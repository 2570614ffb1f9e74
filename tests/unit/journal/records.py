"""Small records with checkpoints, made by Hypothesis, and a source that reads them from memory."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import msgspec
from hypothesis import settings
from hypothesis import strategies as st

from contracts.message import category_of
from libs.eventstore.row import Row, seal
from libs.eventstore.store import NewEvent, StreamAppend, StreamHead
from libs.journal import checkpoint as checkpoints
from libs.journal.checkpoint import Signed
from libs.journal.signing import SigningKey
from libs.journal.source import Entry, Kept, KeptHead
from libs.journal.verification import Verdict, verify
from libs.testing.samples import META, Aside, Noted, plain, registry

KEY = SigningKey("aa" * 32)
#: Signing and hashing a record takes milliseconds: a few examples of each kind, the kinds are many.
FEW = settings(max_examples=15, deadline=None)
AT = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)


@dataclasses.dataclass
class Record:
    """A record that a test may damage."""

    rows: list[Kept]
    heads: list[KeptHead]
    table: list[Entry]
    file: list[str]
    upto: int
    drawn: int

    async def checkpoints(self) -> AsyncIterator[Entry]:
        for entry in self.table:
            yield entry

    async def events(self) -> AsyncIterator[Kept]:
        for kept in sorted(self.rows, key=lambda kept: kept.row.position):
            yield kept

    async def streams(self) -> AsyncIterator[KeptHead]:
        for kept in sorted(self.heads, key=lambda kept: kept.head.stream.encode()):
            yield kept

    async def lines(self) -> AsyncIterator[str]:
        for line in self.file:
            yield line

    async def verify(self, trusted: str | None = KEY.public) -> Verdict:
        return await verify(self, trusted, other=self.lines(), drawn=self.drawn)

    def at(self, position: int) -> int:
        """Find an event's place in the list."""
        return next(at for at, kept in enumerate(self.rows) if kept.row.position == position)

    def replace(self, at_position: int, /, **fields: object) -> None:
        """Change columns of an event."""
        at = self.at(at_position)
        kept = self.rows[at]
        category = fields.pop("category", kept.category)
        self.rows[at] = Kept(msgspec.structs.replace(kept.row, **fields), category)  # type: ignore[arg-type]

    @property
    def sealed(self) -> list[int]:
        """Positions of sealed events."""
        return [kept.row.position for kept in self.rows if kept.row.position <= self.upto]


def grown(head: StreamHead, text: str, at: int) -> Row:
    """Make the next event of a stream."""
    key = head.stream.partition("-")[2]
    event = (
        Aside(case_id=key) if head.stream.startswith("side") else Noted(case_id=key, text=text, amount=0.1)
    )
    new = NewEvent(id=str(uuid.UUID(int=at)), event=event, meta=META, recorded_at=AT)
    return seal(plain(StreamAppend(head=head, events=(new,))), registry).rows[0]


@st.composite
def records(draw: st.DrawFn, least: int = 1) -> Record:
    """Draw a record of a few streams: positions with gaps, checkpoints anywhere, an unsealed end."""
    names = draw(
        st.lists(st.sampled_from(["case-a", "case-b", "side-c"]), min_size=max(least, 1), max_size=9)
    )
    heads: dict[str, StreamHead] = {}
    rows: list[Kept] = []
    position = 0
    for name in names:
        position += draw(st.integers(1, 3))
        row = grown(heads.get(name, StreamHead(stream=name)), f"text {position}", position)
        heads[name] = StreamHead(stream=name, version=row.version, hash=row.hash)
        rows.append(Kept(msgspec.structs.replace(row, position=position, xid=7), category_of(name)))
    drawn = position + draw(st.integers(0, 2))
    ends = draw(
        st.lists(st.integers(rows[least - 1].row.position, drawn), min_size=1, max_size=3, unique=True)
    )
    signed: list[Signed] = []
    after = 0
    for end in sorted(ends):
        places = [(kept.row.position, kept.row.hash) for kept in rows if after < kept.row.position <= end]
        signed.append(
            checkpoints.seal(places, before=signed[-1] if signed else None, upto=end, sealed_at=AT, key=KEY)
        )
        after = end
    return Record(
        rows=rows,
        heads=[KeptHead(head, category_of(name)) for name, head in heads.items()],
        table=[(one.checkpoint.number, one.line) for one in signed],
        file=[one.line for one in signed],
        upto=after,
        drawn=drawn,
    )
