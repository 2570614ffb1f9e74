"""What each service's database role owns follows from its declaration."""

from __future__ import annotations

import pytest

from libs.eventstore.rights import RightsError, derive, everything, render, statement
from libs.messaging.bus import ConsumerSpec
from libs.messaging.topology import ServiceDeclaration

PRESS = ServiceDeclaration(
    name="press",
    consumes=(ConsumerSpec(durable="press-print", filters=("autopilot.v1.sheet.*.drawn",)),),
    publishes=("sheet", "plate"),
    views=("proof",),
)
READER = ServiceDeclaration(name="reader", lease_per_replica=True)


def role_of(service: str) -> str:
    return f"the_{service}"


def test_a_service_owns_what_it_declares_and_its_leases() -> None:
    assert render(derive([READER, PRESS], role_of)).splitlines() == [
        "role the_press",
        "  owns service press",
        "  owns category plate",
        "  owns category sheet",
        "  owns consumer press-print",
        "  owns view proof",
        "  owns lease press",
        "  owns lease relay-press",
        "role the_reader",
        "  owns service reader",
        "  owns lease reader",
        "  owns lease relay-reader",
        "  owns lease (every name that no role owns)",
    ]


def test_the_order_of_declarations_does_not_matter() -> None:
    assert derive([READER, PRESS], role_of) == derive([PRESS, READER], role_of)


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (ServiceDeclaration(name="other", publishes=("plate",)), "category 'plate'"),
        (ServiceDeclaration(name="other", views=("proof",)), "view 'proof'"),
        (ServiceDeclaration(name="relay-press"), "lease 'relay-press'"),
    ],
)
def test_nothing_belongs_to_two(other: ServiceDeclaration, what: str) -> None:
    with pytest.raises(RightsError, match=f"both own {what}"):
        derive([PRESS, other], role_of)


def test_two_services_cannot_both_name_their_leases_as_they_like() -> None:
    with pytest.raises(RightsError, match="both own lease"):
        derive([READER, ServiceDeclaration(name="other", lease_per_replica=True)], role_of)


def test_a_quote_in_a_name_stays_a_quote() -> None:
    odd = derive([ServiceDeclaration(name="o'press")], lambda name: name)
    assert "values ('o''press', '{\"service\":[\"o''press\"]" in statement(odd, kept="k'ept")
    assert "('k''ept', 'o''press')" in statement(odd, kept="k'ept")


def test_everything_is_of_every_kind_that_a_service_can_own() -> None:
    (press,) = derive([PRESS], role_of)
    assert everything("root").owned == dict.fromkeys(press.owned, ("*",))
