"""What the services really publish is what the AsyncAPI document promises."""

from __future__ import annotations

import json
from typing import Any

from jsonschema import Draft7Validator

from autopilot.asyncapi import headers, schemas
from libs.messaging.cloudevents import encode
from libs.testing.world import World
from tests.system.walking import sound, submit, wait_out


async def test_every_event_of_a_task_that_passes_and_one_that_is_given_up_fits_the_document(
    world: World,
) -> None:
    await submit(world, "t1")
    await submit(world, "t2", body="fail verify 9")
    await wait_out(world)
    events = await sound(world)
    components: dict[str, Any] = {"components": {"schemas": schemas()}}
    for event in events:
        message = encode(event)
        name = type(event.event).__name__
        check = Draft7Validator({**components, "allOf": [{"$ref": f"#/components/schemas/{name}"}]})
        check.validate(json.loads(message.payload))
        Draft7Validator(headers()).validate(message.headers)
    assert {"task_done", "task_given_up", "incident_filed", "gate_decided"} <= {
        event.type for event in events
    }
