"""One piece of evidence: stored raw first, compressed later, once."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from contracts.message import Event
from contracts.receipt import EvidenceRef
from contracts.workspace import ArtifactCompressed, ArtifactEvent
from libs.eventsourcing.decider import Decider


class Compressed(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of evidence was found or made compressed."""

    digest: str
    #: Bytes on disk.
    before: int
    after: int


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """How a piece of evidence is stored."""

    compressed: bool = False


def decide(command: Compressed, state: Artifact) -> Iterator[ArtifactEvent]:
    """Record the compression; a second one is silence."""
    if not state.compressed:
        yield ArtifactCompressed(digest=command.digest, before=command.before, after=command.after)


def evolve(state: Artifact, event: ArtifactEvent) -> Artifact:
    """Remember the compression."""
    return msgspec.structs.replace(state, compressed=True)


def evidence_of(event: Event) -> tuple[str, ...]:
    """List the digests of all evidence that an event names, wherever it stands in it."""
    return tuple(dict.fromkeys(_digests(event)))


def _digests(value: object) -> Iterator[str]:
    if isinstance(value, EvidenceRef):
        yield value.digest
    elif isinstance(value, msgspec.Struct):
        for field in value.__struct_fields__:
            yield from _digests(getattr(value, field))
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _digests(item)


artifact: Decider[Compressed, Artifact] = Decider("artifact", Artifact(), decide, evolve)
