"""Whatever the bus loses, forges or hands out again: it is noticed, and every event takes effect once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from libs.messaging import cloudevents
from libs.messaging.accounts import ACCOUNT
from tests.integration.busaudit.house import House


def blocks(house: House) -> list[Path]:
    """The files that hold the messages of the stream."""
    return sorted((house.server.store / "jetstream").glob(f"{ACCOUNT}/streams/EVENTS/msgs/*.blk"))


async def before(house: House) -> None:
    """Half of the events are handled and compared, half are published and not handled."""
    await house.write(4, 5)
    await house.handled()
    await house.compared()
    house.consuming = False
    await house.write(4, 5, prefix="late")
    await house.relay.flush()
    await house.compared()


async def afterwards(house: House) -> None:
    """The bus becomes sound again, and everything takes effect once; what is written now, too."""
    house.consuming = True
    await house.sound(2)
    await house.write(2, 2, prefix="after")
    await house.handled()
    house.once()
    await house.sound(2)
    await house.compared()


async def test_a_sound_bus_is_left_alone(house: House) -> None:
    await before(house)
    house.consuming = True
    await house.handled()
    await house.compared()
    for _ in range(20):
        await house.look()
    assert (await house.store.bus_epoch()).epoch == 1


async def test_a_server_that_was_killed_and_lost_nothing_is_left_alone(house: House) -> None:
    await before(house)
    house.server.kill()
    await house.nats.start()
    house.consuming = True
    await house.write(2, 2, prefix="after")
    await house.handled()
    await house.compared()
    assert (await house.store.bus_epoch()).epoch == 1
    house.once()


async def test_a_store_deleted_while_the_server_is_stopped(house: House) -> None:
    await before(house)
    house.server.kill()
    house.server.wipe()
    await house.nats.start()
    assert "made anew" in await house.raised()
    await afterwards(house)


async def test_a_store_deleted_under_a_running_server_and_lost_with_it(house: House) -> None:
    await before(house)
    house.server.wipe()
    await house.write(3, 2, prefix="meanwhile")
    await house.relay.flush()
    house.server.kill()
    await house.nats.start()
    assert "made anew" in await house.raised()
    await afterwards(house)


@pytest.mark.parametrize("share", [0.02, 0.75])
async def test_a_block_that_was_cut_short(house: House, share: float) -> None:
    await before(house)
    house.server.kill()
    (block,) = blocks(house)
    data = block.read_bytes()
    block.write_bytes(data[: int(len(data) * share)])
    await house.nats.start()
    await house.raised()
    await afterwards(house)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
async def test_one_bit_flipped_while_the_server_is_stopped(house: House, share: float) -> None:
    await before(house)
    house.server.kill()
    (block,) = blocks(house)
    data = bytearray(block.read_bytes())
    data[int(len(data) * share)] ^= 0x10
    block.write_bytes(bytes(data))
    await house.nats.start()
    await house.raised()
    await afterwards(house)


async def test_sequences_that_were_handed_out_again_before_anybody_looked(house: House) -> None:
    await before(house)
    house.server.kill()
    (block,) = blocks(house)
    data = bytearray(block.read_bytes())
    data[len(data) // 2] ^= 0x10
    block.write_bytes(bytes(data))
    await house.nats.start()
    # More than were lost: the last sequence is beyond what the auditor saw last.
    await house.write(5, 8, prefix="again")
    await house.relay.flush()
    assert (await house.info())["last_seq"] > 40
    await house.raised()
    await afterwards(house)


async def test_a_message_deleted_by_an_admin(house: House) -> None:
    await before(house)
    await house.ask("$JS.API.STREAM.MSG.DELETE.EVENTS", {"seq": 30})
    assert "went missing" in await house.raised()
    await afterwards(house)


async def test_the_first_message_deleted_by_an_admin(house: House) -> None:
    await before(house)
    await house.ask("$JS.API.STREAM.MSG.DELETE.EVENTS", {"seq": 1})
    assert "before their time" in await house.raised()
    await afterwards(house)


async def test_a_stream_purged_by_an_admin(house: House) -> None:
    await before(house)
    await house.ask("$JS.API.STREAM.PURGE.EVENTS")
    assert "before their time" in await house.raised()
    await afterwards(house)


async def test_a_stream_deleted_and_made_anew_by_an_admin(house: House) -> None:
    await before(house)
    await house.ask("$JS.API.STREAM.DELETE.EVENTS")
    await house.nats.ensure()
    assert "made anew" in await house.raised()
    await afterwards(house)


async def test_a_stream_that_is_missing(house: House) -> None:
    await before(house)
    await house.ask("$JS.API.STREAM.DELETE.EVENTS")
    assert "there is no stream" in await house.raised()
    await afterwards(house)


def nonsense(house: House) -> tuple[str, bytes, dict[str, str]]:
    return "autopilot.v1.case.s1.noted", b"what?", {}


def stranger(house: House) -> tuple[str, bytes, dict[str, str]]:
    message = cloudevents.encode(house.written[-1])
    id_ = "00000000-0000-4000-8000-00000000abcd"
    return message.subject, message.payload, {**message.headers, "ce-id": id_, "Nats-Msg-Id": id_}


def forged(house: House) -> tuple[str, bytes, dict[str, str]]:
    message = cloudevents.encode(house.written[-1])
    payload = message.payload.replace(b"xxx", b"yyy", 1)
    return message.subject, payload, {**message.headers, "Nats-Msg-Id": "another"}


@pytest.mark.parametrize("make", [nonsense, stranger, forged])
async def test_a_message_that_nobody_recorded(
    house: House, make: Callable[[House], tuple[str, bytes, dict[str, str]]]
) -> None:
    await before(house)
    await house.invent(*make(house))
    assert "event" in await house.raised()
    await afterwards(house)


async def test_a_repetition_of_a_true_event_is_none(house: House) -> None:
    await before(house)
    message = cloudevents.encode(house.written[0])
    await house.invent(message.subject, message.payload, {**message.headers, "Nats-Msg-Id": "another"})
    house.consuming = True
    await house.handled()
    await house.compared()
    assert (await house.store.bus_epoch()).epoch == 1
    house.once()


async def test_a_message_that_was_acknowledged_by_nobody_who_handled_it(house: House) -> None:
    await before(house)
    # A late word of a worker that is long gone takes the message off the durable, and nothing on the bus is amiss.
    while await house.bus.lag("tester-notes") != (0, 0):
        for delivery in await house.bus.fetch("tester-notes", 64, 0.5):
            await delivery.ack()
    assert "never reach tester-notes" in await house.raised()
    await afterwards(house)


async def test_files_that_vanish_from_under_the_running_server_one_after_the_other(house: House) -> None:
    await before(house)
    # Moved first, because the running server writes into it meanwhile.
    gone = house.server.store / "gone"
    (house.server.store / "jetstream" / ACCOUNT / "streams" / "EVENTS").rename(gone)
    shutil.rmtree(gone, ignore_errors=True)
    await house.write(4, 10, prefix="on")
    house.consuming = True
    await house.handled()
    house.once()
    house.server.kill()
    await house.nats.start()
    await house.raised()
    await afterwards(house)
