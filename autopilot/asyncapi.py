"""Describes the bus as an AsyncAPI 3 document: what is said on which subject, by whom, and who listens.

Derived from the event classes and the services' declarations. Payloads are AsyncAPI Schema Objects, which extend JSON
Schema draft 7, while the classes' own schemas are of draft 2020-12; the two differ in how a tuple is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import metadata
from typing import Any

import msgspec

from autopilot.stack.config import DEFAULT_PORTS, HOST, NATS
from contracts.catalogue import EVENTS, OWNERS
from contracts.message import SUBJECT_ROOT, Event, cloud_event_type, subject_filter, wire_type
from libs.messaging import cloudevents
from libs.messaging.subject import covers
from libs.runtime.service import Service

_SCHEMAS = "#/components/schemas/{name}"


def document(services: Sequence[Service]) -> dict[str, Any]:
    """Build the document."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Autopilot",
            "version": metadata.version("autopilot"),
            "description": "Events of Autopilot on NATS JetStream. CloudEvents 1.0 in binary mode: attributes in "
            "headers, the event alone in the payload. The record is Postgres; the bus may repeat a message "
            "(same `ce-id`), and keeps seven days. Followers read the record itself and are not listed here.",
            "tags": [{"name": name} for name in sorted(set(OWNERS))],
        },
        "defaultContentType": "application/json",
        "servers": {
            "embedded": _server(
                f"{HOST}:{DEFAULT_PORTS[NATS]}", "The embedded stack, and the published port."
            ),
            "containers": _server(f"{NATS}:{DEFAULT_PORTS[NATS]}", "Inside the network of the compose file."),
        },
        "channels": {wire_type(event): _channel(event) for event in EVENTS},
        "operations": dict(_operations(services)),
        "components": {
            "messages": {wire_type(event): _message(event) for event in EVENTS},
            "messageTraits": {"cloudEvent": {"contentType": "application/json", "headers": headers()}},
            "schemas": schemas(),
            "securitySchemes": {
                "user": {
                    "type": "userPassword",
                    "description": "One user per service; see docs/topology.txt.",
                }
            },
        },
    }


def _server(host: str, description: str) -> dict[str, Any]:
    return {
        "host": host,
        "protocol": "nats",
        "description": description,
        "security": [{"$ref": "#/components/securitySchemes/user"}],
    }


def _channel(event: type[Event]) -> dict[str, Any]:
    name = wire_type(event)
    return {
        "address": f"{SUBJECT_ROOT}.{event.stream}.{{{event.key}}}.{name}",
        "title": event.__name__,
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
        "parameters": {event.key: {"description": f"Key of the stream `{event.stream}`."}},
        "tags": [{"name": OWNERS[event.stream]}],
    }


def _operations(services: Sequence[Service]) -> Iterator[tuple[str, dict[str, Any]]]:
    for event in EVENTS:
        owner = OWNERS[event.stream]
        yield f"{owner}-sends-{wire_type(event)}", _operation("send", event, owner, f"{owner} records it.")
    for service in services:
        for consumer in service.declaration.consumes:
            for event in EVENTS:
                if any(covers(pattern, subject_filter(event)) for pattern in consumer.filters):
                    summary = f"The durable consumer {consumer.durable} takes it."
                    name = f"{consumer.durable}-receives-{wire_type(event)}"
                    yield name, _operation("receive", event, service.name, summary)


def _operation(action: str, event: type[Event], service: str, summary: str) -> dict[str, Any]:
    name = wire_type(event)
    return {
        "action": action,
        "summary": summary,
        "channel": {"$ref": f"#/channels/{name}"},
        "messages": [{"$ref": f"#/channels/{name}/messages/{name}"}],
        "tags": [{"name": service}],
    }


def _message(event: type[Event]) -> dict[str, Any]:
    return {
        "name": cloud_event_type(wire_type(event)),
        "title": event.__name__,
        "summary": (event.__doc__ or "").strip().splitlines()[0],
        "payload": {"$ref": _SCHEMAS.format(name=event.__name__)},
        "traits": [{"$ref": "#/components/messageTraits/cloudEvent"}],
    }


def headers() -> dict[str, Any]:
    """Describe the headers of every message as a JSON Schema of draft 7."""
    return {
        "type": "object",
        "properties": {
            name: {"type": "string", "description": text} for name, text in cloudevents.HEADERS.items()
        },
        "required": list(cloudevents.REQUIRED),
    }


def schemas() -> dict[str, Any]:
    """Return the schemas of all events and of what they hold, by class name, in draft 7."""
    _, found = msgspec.json.schema_components(EVENTS, ref_template=_SCHEMAS)
    return {name: _as_draft_7(schema) for name, schema in sorted(found.items())}


def _as_draft_7(node: Any) -> Any:
    if isinstance(node, list):
        return [_as_draft_7(one) for one in node]
    if not isinstance(node, dict):
        return node
    made = {name: _as_draft_7(value) for name, value in node.items()}
    if isinstance(made.get("prefixItems"), list):
        # `items: false` beside an unknown `prefixItems` would forbid every element.
        made["additionalItems"] = made.pop("items", True)
        made["items"] = made.pop("prefixItems")
    return made
