"""The channel is spoken to over a real socket, as the observer and as somebody who would like to be it."""

from __future__ import annotations

import asyncio
import hmac
import json
import os
import socket
import struct
from collections.abc import Callable
from hashlib import sha256

import pytest

from libs.verification import transcript
from libs.verification.channel import Channel


class Speaker:
    """The child's end, as an observer uses it."""

    def __init__(self, channel: Channel) -> None:
        self.socket = socket.socket(fileno=os.dup(channel.descriptor))
        self.count = 0
        self.key = b""

    async def hello(self) -> None:
        self.socket.send(b"hello")
        await asyncio.sleep(0)
        while not self.key:
            await asyncio.sleep(0)
            try:
                self.key = self.socket.recv(64, socket.MSG_DONTWAIT)[:32]
            except BlockingIOError:
                continue

    def say(self, *record: object) -> bytes:
        text = json.dumps(record).encode()
        packet = hmac.new(self.key, struct.pack(">Q", self.count) + text, sha256).digest() + text
        self.socket.send(packet)
        self.count += 1
        return packet


async def conversation(speak: Callable[[Speaker], object]) -> Channel:
    with Channel() as channel:
        speaker = Speaker(channel)
        try:
            await speaker.hello()
            speak(speaker)
        finally:
            speaker.socket.close()
    return channel


async def test_signed_packets_in_order_are_taken() -> None:
    channel = await conversation(lambda s: (s.say("start", "8", "3", "/"), s.say("finish", 0)))

    assert channel.violations == []
    assert channel.sessions[0].records == [["start", "8", "3", "/"], ["finish", 0]]
    assert transcript.read(channel.sessions).exit_codes == (0,)


def _twice(speaker: Speaker) -> None:
    speaker.socket.send(speaker.say("begin", "a"))


def _skipped(speaker: Speaker) -> None:
    speaker.count += 1
    speaker.say("begin", "a")


def _altered(speaker: Speaker) -> None:
    text = b'["finish",0]'
    speaker.socket.send(hmac.new(b"guess", struct.pack(">Q", 0) + text, sha256).digest() + text)


def _afterwards(speaker: Speaker) -> None:
    speaker.say("finish", 0)
    speaker.say("begin", "a")


@pytest.mark.parametrize(
    "speak",
    [
        lambda s: s.socket.send(b"x"),
        lambda s: s.socket.send(b'["finish", 0]'),
        lambda s: s.socket.send(bytes(32) + b'["finish", 0]'),
        lambda s: s.socket.send(b"hello"),
        _twice,
        _skipped,
        _altered,
        _afterwards,
    ],
    ids=["garbage", "unsigned", "zero signature", "second session", "repeated", "skipped", "guessed key", "after the end"],
)  # fmt: skip
async def test_one_packet_that_does_not_fit_is_a_violation(speak: Callable[[Speaker], object]) -> None:
    channel = await conversation(speak)

    assert channel.violations
    assert transcript.read(channel.sessions, channel.violations).violations


async def test_another_process_cannot_speak_for_the_session() -> None:
    def speak(speaker: Speaker) -> None:
        pid = os.fork()
        if pid == 0:
            speaker.say("finish", 0)
            os._exit(0)
        os.waitpid(pid, 0)

    channel = await conversation(speak)

    assert channel.violations == ["a process other than the test session's wrote to the channel"]


async def test_nothing_before_a_session() -> None:
    with Channel() as channel:
        socket_ = socket.socket(fileno=os.dup(channel.descriptor))
        socket_.send(b"early")
        socket_.close()

    assert channel.violations == ["something was sent before any session began"]


async def test_sessions_may_follow_each_other() -> None:
    with Channel() as channel:
        for _ in range(2):
            speaker = Speaker(channel)
            await speaker.hello()
            speaker.say("finish", 0)
            speaker.socket.close()
            while not channel.sessions[-1].ended:
                await asyncio.sleep(0)

    assert channel.violations == []
    assert len(channel.sessions) == 2


async def test_altered_tests_are_given_once_and_only_before_a_session_speaks() -> None:
    source = "# \u00e9\n".encode() * 40_000
    with Channel(altered={"tests/test_a.py": source}) as channel:
        speaker = Speaker(channel)
        packets: list[bytes] = []
        await speaker.hello()
        while packets[-1:] != [b"end"]:
            speaker.socket.send(b"next")
            await asyncio.sleep(0)
            while True:
                try:
                    packets.append(speaker.socket.recv(1 << 17, socket.MSG_DONTWAIT))
                    break
                except BlockingIOError:
                    await asyncio.sleep(0)
        assert channel.violations == []
        speaker.say("start", "8", "3", "/")
        speaker.socket.send(b"next")
        speaker.socket.close()

    assert json.loads(b"".join(packets[:-1])) == {"tests/test_a.py": source.decode()}
    assert channel.violations


async def test_an_ordinary_run_has_nothing_to_ask_for() -> None:
    channel = await conversation(lambda s: s.socket.send(b"next"))

    assert channel.violations
