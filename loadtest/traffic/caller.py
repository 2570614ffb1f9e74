"""Whoever calls routes of a stack as Locust counts it. Importing Locust replaces the standard library's sockets: tests do not."""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from locust import FastHttpUser, between
from locust.env import Environment

from autopilot.stack.config import StackConfig
from autopilot.stack.status import read
from loadtest.traffic.routes import Route


def options(parser: Any) -> None:
    """Say where the stack is and how its tasks are."""
    add = parser.add_argument
    add("--data-dir", default="", help="of an embedded stack: tells addresses and token")
    add(
        "--dashboard",
        default="http://127.0.0.1:8800",
        help="address of the dashboard; --host is the scheduler's",
    )
    add("--token-file", default="", help="file that holds the API token")
    add("--task-seconds", type=float, default=4.0, help="what a simulated task waits in all, about")
    add("--accepted", default="", help="file to which the ids of accepted tasks are added")
    add(
        "--repository",
        default="",
        help="made by loadtest.traffic.repository; without one no task uses engine command",
    )
    tools = str(Path(sys.executable).parent)
    add("--tools", default=tools, help="where the stage-runner finds a Python with pytest")


def locate(environment: Environment, **_: Any) -> None:
    """Find out where the stack is, once for all users of this process."""
    given = environment.parsed_options
    assert given is not None
    addresses: Mapping[str, str] = {"scheduler": environment.host or "", "dashboard": given.dashboard}
    token = given.token_file
    if given.data_dir:
        config = StackConfig.from_arguments(Path(given.data_dir))
        found = read(config.stack_file)
        if found is None:
            raise argparse.ArgumentTypeError(f"no stack runs on {config.data_dir}")
        addresses, token = found.addresses, str(config.secrets_dir / "api-token")
    Target.addresses = addresses
    environment.host = addresses["scheduler"]
    Target.headers = {
        "Authorization": f"Bearer {Path(token).read_text(encoding='utf-8').strip()}",
        "X-Actor": "load",
    }
    Target.seconds, Target.accepted = given.task_seconds, given.accepted
    Target.repository, Target.tools = given.repository, given.tools


class Target:
    """What all users of this process know."""

    addresses: ClassVar[Mapping[str, str]] = {}
    headers: ClassVar[Mapping[str, str]] = {}
    seconds: ClassVar[float] = 0.0
    repository: ClassVar[str] = ""
    tools: ClassVar[str] = ""
    accepted: ClassVar[str] = ""


class Caller(FastHttpUser):
    """Somebody who calls routes and knows what may be answered."""

    abstract = True
    wait_time = between(0.2, 0.8)
    network_timeout = connection_timeout = 30.0

    def on_start(self) -> None:
        """Have a chance of its own: forked processes would otherwise all draw the same."""
        self.chance = random.Random(os.urandom(8))  # noqa: S311 - what users do is no secret

    def call(
        self,
        route: Route,
        *statuses: int,
        query: str = "",
        body: str | dict[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        **parameters: str,
    ) -> Any:
        """Call a route; return what was answered, None if it was not among what is expected."""
        data = json.dumps(body) if isinstance(body, dict) else body
        with self.client.request(
            route.method,
            Target.addresses[route.service] + route.filled(**parameters) + query,
            name=f"{route.service} {route.path}",
            data=data,
            headers={**Target.headers, "Content-Type": "application/json", **(headers or {})},
            catch_response=True,
            allow_redirects=False,
        ) as answer:
            if answer.status_code not in statuses:
                # Status 0 is no answer at all.
                told = (answer.text or "")[:300] or repr(answer.error)
                answer.failure(f"{answer.status_code}, expected {statuses}: {told}")
                return None
            if answer.status_code >= 400 and answer.headers["content-type"] != "application/problem+json":
                answer.failure(f"a refusal as {answer.headers['content-type']}")
                return None
            answer.success()
            return answer.json()

    def accept(self, *ids: str) -> None:
        """Note what the stack has promised to carry out. Several processes may add to one file."""
        if Target.accepted:
            with open(Target.accepted, "a", encoding="utf-8") as file:
                file.write("".join(f"{task_id}\n" for task_id in ids))
