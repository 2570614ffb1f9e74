"""A checkpoint: the signed statement which events a closed range of positions holds, chained to the one before.

It is kept and compared as one line of JSON: `{"checkpoint":{...},"signature":"<hex>"}`. The signature covers the
bytes of the inner object, and `previous` of the next checkpoint is their SHA-256, so whoever trusts the last
signature has all before it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TypeAlias

import msgspec

from libs.journal.signing import SigningKey, is_signed

#: Bytes of each event's hash that are shown beside the digest, so that a wrong one can be named.
MARK_BYTES = 8
#: Position and hash (hexadecimal) of an event.
Place: TypeAlias = "tuple[int, str]"


class CheckpointError(Exception):
    """A line is no checkpoint as this program writes and signs them."""


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What was sealed."""

    #: From 1 on, without a gap.
    number: int
    #: SHA-256 (hexadecimal) of the checkpoint before; empty for the first.
    previous: str
    sealed_at: datetime
    #: Public key with which it was signed.
    key: str
    #: It seals the positions behind `after` up to `upto`; the next one begins there.
    after: int
    upto: int
    #: The positions that hold an event, as ranges from-to. The others of the range hold none, for ever.
    present: tuple[tuple[int, int], ...]
    #: The first bytes of each event's hash, in order.
    marks: bytes
    #: SHA-256 over position (8 bytes, big-endian) and hash of each event, in order.
    digest: str

    def positions(self) -> Iterator[int]:
        """List the positions that hold an event."""
        for first, last in self.present:
            yield from range(first, last + 1)

    @property
    def count(self) -> int:
        """How many events it seals."""
        return sum(last - first + 1 for first, last in self.present)

    def expected(self) -> Iterator[tuple[int, bytes]]:
        """List positions with the mark of the event that belongs there."""
        for place, position in enumerate(self.positions()):
            yield position, self.marks[place * MARK_BYTES : (place + 1) * MARK_BYTES]


class Signed(msgspec.Struct, frozen=True, kw_only=True):
    """A checkpoint whose signature is right for the key that it names."""

    checkpoint: Checkpoint
    #: As it is kept, without an end of line.
    line: str
    #: What the next one names as `previous`.
    hash: str


class _Line(msgspec.Struct, frozen=True):
    checkpoint: msgspec.Raw
    signature: str


class _Number(msgspec.Struct, frozen=True):
    number: int


class _Numbered(msgspec.Struct, frozen=True):
    checkpoint: _Number


class Digest:
    """Runs over the events of one checkpoint."""

    def __init__(self) -> None:
        self._sum = hashlib.sha256()

    def add(self, position: int, hash_: str) -> None:
        """Take the next event in. Raises ValueError for a hash that is none."""
        self._sum.update(position.to_bytes(8, "big", signed=True) + bytes.fromhex(hash_))

    @property
    def value(self) -> str:
        """Tell the digest so far."""
        return self._sum.hexdigest()


def seal(
    places: Iterable[Place], *, before: Signed | None, upto: int, sealed_at: datetime, key: SigningKey
) -> Signed:
    """Seal the events behind the last checkpoint, which come in order of position and end at `upto`."""
    ranges: list[tuple[int, int]] = []
    marks = bytearray()
    digest = Digest()
    for position, hash_ in places:
        if ranges and ranges[-1][1] == position - 1:
            ranges[-1] = (ranges[-1][0], position)
        else:
            ranges.append((position, position))
        marks += bytes.fromhex(hash_)[:MARK_BYTES]
        digest.add(position, hash_)
    checkpoint = Checkpoint(
        number=before.checkpoint.number + 1 if before else 1,
        previous=before.hash if before else "",
        sealed_at=sealed_at,
        key=key.public,
        after=before.checkpoint.upto if before else 0,
        upto=upto,
        present=tuple(ranges),
        marks=bytes(marks),
        digest=digest.value,
    )
    body = msgspec.json.encode(checkpoint)
    return Signed(checkpoint=checkpoint, line=_line(body, key.sign(body)), hash=_hash(body))


def read(line: str) -> Signed:
    """Read a line. Raises CheckpointError for what was not written here, byte for byte, under the key that it names."""
    try:
        found = msgspec.json.decode(line, type=_Line)
        body, signature = bytes(found.checkpoint), bytes.fromhex(found.signature)
        checkpoint = msgspec.json.decode(body, type=Checkpoint)
    except (msgspec.MsgspecError, ValueError) as error:
        raise CheckpointError(f"it cannot be read ({error})") from error
    if line != _line(body, signature):
        raise CheckpointError("it was written otherwise")
    if not is_signed(body, signature, checkpoint.key):
        raise CheckpointError("its signature is wrong")
    if not _is_sound(checkpoint):
        raise CheckpointError("it contradicts itself")
    return Signed(checkpoint=checkpoint, line=line, hash=_hash(body))


def number_of(line: str) -> int | None:
    """Tell which number a line claims to have, None if it cannot be read."""
    try:
        return msgspec.json.decode(line, type=_Numbered).checkpoint.number
    except msgspec.MsgspecError:
        return None


def fault_between(before: Signed | None, after: Signed) -> str | None:
    """Tell what is wrong where one checkpoint follows another, None if nothing is."""
    this = after.checkpoint
    number, end = (before.checkpoint.number, before.checkpoint.upto) if before else (0, 0)
    if this.number != number + 1:
        return f"it is number {this.number} where {number + 1} belongs"
    if this.previous != (before.hash if before else ""):
        return "it follows another checkpoint than the one before it"
    if this.after != end:
        return f"it begins behind position {this.after}, the one before it ends at {end}"
    return None


def _is_sound(checkpoint: Checkpoint) -> bool:
    end = checkpoint.after
    for first, last in checkpoint.present:
        if not end < first <= last:
            return False
        end = last
    # What the digest of no event is does not depend on anything, so it is not compared here.
    return end <= checkpoint.upto and len(checkpoint.marks) == checkpoint.count * MARK_BYTES


def _line(body: bytes, signature: bytes) -> str:
    return f'{{"checkpoint":{body.decode()},"signature":"{signature.hex()}"}}'


def _hash(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
