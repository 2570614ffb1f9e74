"""Loading an aggregate: from its events, and from a snapshot where its stream is long.

A snapshot is derived and disposable. It counts only if the code that folded it is this code to the last byte, if it is
what was written, and if its last event is in the stream; otherwise it is as if it were not there. So deleting all of
them changes no answer, and nobody has to remember to raise a number. Short streams have none and cost nothing more.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import inspect
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec
import structlog

import contracts
from contracts.message import Recorded
from libs.eventsourcing import decider as folding
from libs.eventsourcing.decider import Decider
from libs.eventsourcing.persistent import from_plain, to_plain
from libs.eventstore.store import EventStoreError, Snapshot, Store, StreamHead

log = structlog.get_logger(__name__)

#: Events between two snapshots of a stream whose state is small; of others, about as many as their states have parts,
#: so that the work of snapshots stays in proportion to that of the events.
EVERY = 500
#: Events read before a snapshot is looked for, and read at once after that.
FIRST_PAGE, PAGE = 200, 1_000
#: Streams read by one look: each may carry patches in several of its events.
AT_ONCE = 25


async def load_all(
    store: Store, decider: Decider[Any, Any], streams: Sequence[str]
) -> dict[str, tuple[StreamHead, Any]]:
    """Load several aggregates, many by one look at the record. Raises StoreUnavailableError."""
    found = {stream: (StreamHead(stream=stream), decider.initial) for stream in streams}
    for place in range(0, len(streams), AT_ONCE):
        events = await store.read_streams(streams[place : place + AT_ONCE], upto=FIRST_PAGE)
        for stream, of_one in groupby(events, key=lambda event: event.stream):
            found[stream] = _folded(decider, list(of_one), *found[stream])
            if found[stream][0].version == FIRST_PAGE:
                found[stream] = await load(store, decider, stream)
            await asyncio.sleep(0)
    return found


async def load(store: Store, decider: Decider[Any, Any], stream: str) -> tuple[StreamHead, Any]:
    """Return where a stream stands and its folded state. Raises StoreUnavailableError."""
    head, state = StreamHead(stream=stream), decider.initial
    upto = FIRST_PAGE
    while True:
        events = await store.read_stream(stream, head.version, upto=upto)
        if events:
            head, state = _folded(decider, events, head, state)
        if head.version < upto:
            return head, state
        if head.version == FIRST_PAGE:
            head, state = await _snapshot(store, decider, stream) or (head, state)
        upto = head.version + PAGE


def _folded(
    decider: Decider[Any, Any], events: Sequence[Recorded], head: StreamHead, state: Any
) -> tuple[StreamHead, Any]:
    last = events[-1]
    state = decider.fold((event.event for event in events), state)
    return StreamHead(stream=head.stream, version=last.version, hash=last.hash), state


async def _snapshot(store: Store, decider: Decider[Any, Any], stream: str) -> tuple[StreamHead, Any] | None:
    """Return a stream's snapshot if it is to be trusted and of any use."""
    found = await store.snapshot(stream)
    if found is None or found.version <= FIRST_PAGE or found.fingerprint != fingerprint(decider.evolve):
        return None
    try:
        if found.digest != _digest(found):
            raise ValueError("it is not what was written")
        state = decode(found.state, type(decider.initial))
        last = await store.read_stream(stream, found.version - 1, upto=found.version)
        if [event.hash for event in last] != [found.hash]:
            raise ValueError("the stream does not have its last event")
    except (ValueError, msgspec.MsgspecError) as error:
        log.warning("snapshot_ignored", stream=stream, version=found.version, reason=str(error))
        return None
    return StreamHead(stream=stream, version=found.version, hash=found.hash), state


def is_due(version: int, events: int, size: int) -> bool:
    """Tell whether the last so many events of a stream have brought it so far that a snapshot is worth its while.

    `size` is that of its state: the larger, the more events there are between two. Both grow by doubling, so that what is
    due at one size falls due at another as well, if later.
    """
    every = EVERY << max((size // EVERY).bit_length() - 1, 0)
    return version // every > (version - events) // every


def encode(state: Any) -> bytes:
    """Write a state as JSON."""
    return msgspec.json.encode(state, enc_hook=to_plain)


def decode(encoded: bytes | str, type_: type[Any]) -> Any:
    """Read a state as `encode` has written it. Raises what `msgspec` raises."""
    return msgspec.json.decode(encoded, type=type_, dec_hook=from_plain)


async def save(store: Store, decider: Decider[Any, Any], head: StreamHead, state: Any) -> None:
    """Keep a stream's state for later loads; where that fails, they read the events.

    A state of a hundred thousand parts is a second's work: between its steps, others come to theirs.
    """
    code = fingerprint(decider.evolve)
    if not code or not isinstance(state, msgspec.Struct):
        return
    encoded = encode(state)
    await asyncio.sleep(0)
    again = decode(encoded, type(state)) if type(state) is type(decider.initial) else None
    await asyncio.sleep(0)
    if again != state:
        log.error("snapshot_impossible", stream=head.stream, state=type(state).__name__)
        return
    await asyncio.sleep(0)
    snapshot = Snapshot(
        stream=head.stream,
        fingerprint=code,
        version=head.version,
        hash=head.hash,
        state=encoded.decode(),
        digest="",
    )
    try:
        await store.save_snapshot(msgspec.structs.replace(snapshot, digest=_digest(snapshot)))
    except EventStoreError as error:
        log.warning("snapshot_not_saved", stream=head.stream, version=head.version, reason=str(error))


@functools.cache
def fingerprint(evolve: Callable[..., Any]) -> str:
    """Name the code that folds: the domain it is in, the events, and what applies one to the other.

    Empty where the source cannot be read: then nothing is snapshot, and nothing trusted.
    """
    try:
        own = Path(inspect.getfile(inspect.unwrap(evolve)))
        folders = {
            Path(inspect.getfile(contracts)).parent,
            Path(inspect.getfile(folding)).parent,
            *([own.parent] if own.parent.name == "domain" else []),
        }
        files = {
            own,
            *(path for folder in folders for path in folder.glob("*.py")),
        }
        digest = hashlib.sha256(msgspec.__version__.encode())
        for path in sorted(files):
            digest.update(path.read_bytes())
    except (OSError, TypeError):
        return ""
    return digest.hexdigest()


def _digest(snapshot: Snapshot) -> str:
    said = (snapshot.stream, snapshot.fingerprint, snapshot.version, snapshot.hash, snapshot.state)
    return hashlib.sha256(msgspec.json.encode(said)).hexdigest()
