"""Ports: no two stacks choose the same ones."""

from __future__ import annotations

import socket

from autopilot.stack.config import DEFAULT_PORTS
from autopilot.stack.ports import PortBlock, busy


def test_two_claims_never_share_a_port() -> None:
    first, second = PortBlock.claim(), PortBlock.claim()
    try:
        assert first.ports.keys() == DEFAULT_PORTS.keys()
        assert not set(first.ports.values()) & set(second.ports.values())
    finally:
        first.release()
        second.release()


def test_releasing_twice_is_once() -> None:
    block = PortBlock.claim()
    block.release()
    block.release()


def test_a_port_that_somebody_listens_on_is_named() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        assert busy({"gate": port}) == {"gate": port}
    assert busy({"gate": port}) == {}
