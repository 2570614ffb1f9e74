from __future__ import annotations

from pathlib import Path

import pytest

from libs.messaging.bus import ConsumerSpec
from libs.messaging.topology import FollowerSpec, ServiceDeclaration, TopologyError, derive, render

PRESS = ServiceDeclaration(
    name="press",
    consumes=(
        ConsumerSpec(
            durable="press-print", filters=("autopilot.v1.sheet.*.drawn", "autopilot.v1.sheet.*.drawn")
        ),
        ConsumerSpec(
            durable="press-audit", filters=("autopilot.v1.>", "autopilot.v1.sheet.*.drawn"), ack_wait_s=30
        ),
    ),
    follows=(FollowerSpec(name="press-count", filters=("autopilot.v1.sheet.*.drawn",)),),
    publishes=("sheet", "plate"),
)
READER = ServiceDeclaration(name="reader", reads_dead_letters=True)


def test_the_topology_is_as_reviewed() -> None:
    golden = Path(__file__).with_name("topology.golden.txt")
    assert render(derive([READER, PRESS])) == golden.read_text()


def test_the_order_of_declarations_does_not_matter() -> None:
    assert derive([READER, PRESS]) == derive([PRESS, READER])


def consumer(durable: str, *filters: str) -> ServiceDeclaration:
    return ServiceDeclaration(name="press", consumes=(ConsumerSpec(durable=durable, filters=filters),))


@pytest.mark.parametrize(
    ("services", "reason"),
    [
        ([PRESS, PRESS], "is taken"),
        ([ServiceDeclaration(name="admin")], "is taken"),
        ([ServiceDeclaration(name="a b")], "cannot be a user's name"),
        ([PRESS, ServiceDeclaration(name="other", publishes=("plate",))], "both write the category plate"),
        ([ServiceDeclaration(name="press", publishes=("*",))], "cannot be a stream category"),
        ([ServiceDeclaration(name="press", publishes=("a-b",))], "cannot be a stream category"),
        ([consumer("reader-print", "autopilot.v1.>")], "is not named press-<handler>"),
        ([consumer("press-a.b", "autopilot.v1.>")], "is not named press-<handler>"),
        ([consumer("press-print", "deadletter.>")], "are not subjects of events"),
        ([consumer("press-print")], "are not subjects of events"),
        ([consumer("press-print", "autopilot.v1.*.a.b", "autopilot.v1.c.*.b")], "overlap"),
    ],
)
def test_declarations_that_cannot_be_are_refused(services: list[ServiceDeclaration], reason: str) -> None:
    with pytest.raises(TopologyError, match=reason):
        derive(services)
