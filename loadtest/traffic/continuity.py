"""Whether a client of the event stream misses anything, told from what it receives alone."""

from __future__ import annotations

import msgspec


class Heard(msgspec.Struct, frozen=True):
    """What is looked at of an event."""

    stream: str
    version: int


class Continuity:
    """Holds a client's events, over all its connections, to the versions of their streams."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}
        self._decode = msgspec.json.Decoder(Heard).decode
        #: Where to go on: the last `id` that was seen; empty before the first.
        self.position = ""

    def hear(self, position: str, data: bytes | str) -> str:
        """Take one event; return what is wrong with it, or nothing.

        What a stream held before the first of its events that was seen is none of the client's business.
        """
        event = self._decode(data)
        expected = self._last.get(event.stream, event.version - 1) + 1
        self._last[event.stream], self.position = event.version, position
        if event.version == expected:
            return ""
        return f"{event.stream}: version {event.version} came where {expected} was next"
