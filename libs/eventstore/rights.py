"""What each service may touch in the record's database, derived from what it declares; the bus's counterpart is
`libs.messaging.topology`.

Postgres enforces it: `not_owned` for appends, row-level policies for everything beside the record. `render` writes
it for people: `docs/rights.txt` is where a change of who may touch what is reviewed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from libs.messaging.topology import ServiceDeclaration

#: Every name of a kind.
ALL = "*"
#: The lease names that no service's rights hold: replicas name theirs after themselves, a container's by chance.
UNNAMED = ""

_TAKE = "delete from rights where role not in ({});"
_GIVE = "insert into rights values ({}, {}) on conflict (role) do update set owned = excluded.owned;"


class RightsError(ValueError):
    """The declarations contradict each other."""


class Rights(msgspec.Struct, frozen=True, kw_only=True):
    """What one login role owns: by kind, the names."""

    role: str
    owned: Mapping[str, tuple[str, ...]]


def derive(services: Iterable[ServiceDeclaration], role_of: Callable[[str], str]) -> tuple[Rights, ...]:
    """Derive the services' rights. Raises RightsError where two of them own the same."""
    derived = tuple(
        Rights(role=role_of(service.name), owned=_owned(service))
        for service in sorted(services, key=lambda service: service.name)
    )
    owners: dict[tuple[str, str], str] = {}
    for one in derived:
        for kind, names in one.owned.items():
            for name in names:
                if owners.setdefault((kind, name), one.role) != one.role:
                    raise RightsError(f"{one.role} and {owners[kind, name]} both own {kind} {name!r}")
    return derived


def everything(role: str) -> Rights:
    """Give a role all there is."""
    kinds = _owned(ServiceDeclaration(name=role))
    return Rights(role=role, owned=dict.fromkeys(kinds, (ALL,)))


def statement(rights: Sequence[Rights], *, kept: str) -> str:
    """Write the SQL that gives these rights and takes those of every other role but `kept`."""
    roles = ", ".join(_literal(role) for role in (kept, *(one.role for one in rights)))
    lines = [_TAKE.format(roles)]
    lines += [
        _GIVE.format(_literal(one.role), _literal(msgspec.json.encode(one.owned).decode())) for one in rights
    ]
    return "\n".join([*lines, "select compile_rights();"]) + "\n"


def render(rights: Iterable[Rights]) -> str:
    """Write rights as text, one fact a line, in a stable order."""
    lines: list[str] = []
    for one in rights:
        lines.append(f"role {one.role}")
        lines += [
            f"  owns {kind} {name or '(every name that no role owns)'}"
            for kind, names in one.owned.items()
            for name in names
        ]
    return "\n".join(lines) + "\n"


def _owned(service: ServiceDeclaration) -> dict[str, tuple[str, ...]]:
    leases = (service.name, f"relay-{service.name}", *((UNNAMED,) if service.lease_per_replica else ()))
    return {
        "service": (service.name,),
        "category": tuple(sorted(service.publishes)),
        "consumer": tuple(
            sorted(
                [
                    *(consumer.durable for consumer in service.consumes),
                    *(follower.name for follower in service.follows),
                ]
            )
        ),
        "view": tuple(sorted(service.views)),
        "lease": leases,
    }


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
