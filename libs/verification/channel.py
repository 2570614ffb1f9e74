"""Receives what the observer says, outside the sandbox, and believes only what it can check.

The child's end is inherited by the command's processes. A session asks for its key once, before any code of
the repository runs in it; every later packet carries a keyed digest over its number and content, and the
kernel attests which process sent it. One packet that does not fit rejects the whole run.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import os
import secrets
import socket
import struct
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

_PACKET_BYTES = 1 << 20
#: Bytes and packets that one run may send; the largest suites known stay below a tenth of it.
_TOTAL_BYTES = 256 << 20
_MAC_BYTES = 32
#: Bytes of altered test files per packet: what a socket takes without anybody reading.
_CHUNK_BYTES = 60_000
_CREDENTIALS = struct.Struct("iII")


class Session:
    """What one pytest process said, in order."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.key = secrets.token_bytes(32)
        self.records: list[list[Any]] = []
        self.ended = False
        #: Packets of altered test files that it has asked for.
        self.given = 0


class Channel:
    """Listens to the observers of one command; use as a context manager inside a running loop."""

    def __init__(self, *, altered: Mapping[str, bytes] | None = None) -> None:
        # Altered test files go to the observer's memory only: on disk a control looks like any other run.
        self._control = altered is not None
        files = {path: source.decode("utf-8", "surrogatepass") for path, source in (altered or {}).items()}
        text = json.dumps(files).encode()
        self._packets = [text[at : at + _CHUNK_BYTES] for at in range(0, len(text), _CHUNK_BYTES)]
        self.sessions: list[Session] = []
        self.violations: list[str] = []
        self._received = 0

    def __enter__(self) -> Channel:
        self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._ours.setblocking(False)
        self._ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        asyncio.get_running_loop().add_reader(self._ours.fileno(), self._drain)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._ours.fileno())
        self._drain()
        self._ours.close()
        self._theirs.close()

    @property
    def descriptor(self) -> int:
        """Number of the end that the command inherits."""
        return self._theirs.fileno()

    def _drain(self) -> None:
        space = socket.CMSG_SPACE(_CREDENTIALS.size)
        # A flood must not starve the loop, hence the bound; what is left calls back at once.
        for _ in range(1_000):
            try:
                data, ancillary, flags, _ = self._ours.recvmsg(_PACKET_BYTES, space)
            except (BlockingIOError, OSError):
                return
            if not data and not ancillary:
                return
            pid = next((_CREDENTIALS.unpack(content)[0] for _, _, content in ancillary), 0)
            self._received += len(data)
            if len(self.violations) < 20:
                self._take(data, pid, bool(flags & socket.MSG_TRUNC))

    def _take(self, data: bytes, pid: int, truncated: bool) -> None:
        if truncated or self._received > _TOTAL_BYTES:
            self.violations.append("more was sent than an observer sends")
        elif data == b"hello":
            self._open(pid)
        elif not self.sessions:
            self.violations.append("something was sent before any session began")
        elif self.sessions[-1].pid != pid:
            self.violations.append("a process other than the test session's wrote to the channel")
        else:
            session = self.sessions[-1]
            if data == b"next" and self._control and not session.records:
                self._give(session)
            else:
                self._record(session, data)

    def _give(self, session: Session) -> None:
        packet = self._packets[session.given] if session.given < len(self._packets) else b"end"
        session.given += 1
        try:
            self._ours.send(packet)
        except OSError:
            self.violations.append("a session could not be given its tests")

    def _open(self, pid: int) -> None:
        # A session beside a running one is not the command's own: the command's processes follow each other.
        if self.sessions and not self.sessions[-1].ended and _alive(self.sessions[-1].pid):
            self.violations.append("a second session began while one was running")
            return
        session = Session(pid)
        self.sessions.append(session)
        try:
            self._ours.send(session.key + (b"c" if self._control else b"r"))
        except OSError:
            self.violations.append("a session could not be given its key")

    def _record(self, session: Session, data: bytes) -> None:
        if session.ended:
            self.violations.append("something was sent after the end of a session")
            return
        sent, text = data[:_MAC_BYTES], data[_MAC_BYTES:]
        number = struct.pack(">Q", len(session.records))
        if not hmac.compare_digest(sent, hmac.new(session.key, number + text, sha256).digest()):
            self.violations.append("something was sent without the session's signature, or out of order")
            return
        try:
            record = json.loads(text)
            session.ended = record[0] == "finish"
        except (ValueError, LookupError, TypeError, RecursionError):
            self.violations.append("a packet does not say what packets say")
            return
        session.records.append(record)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
