"""Harm to connections: cut by the server, or spoilt on their way."""

from __future__ import annotations

import time

from autopilot.stack.config import NATS, POSTGRES
from loadtest.chaos.arena import Arena
from loadtest.chaos.case import Fault, Harm
from loadtest.chaos.load import Load
from loadtest.chaos.proxy import Weather

#: Seconds of bad weather, and the longest between two cuts of every database connection.
WEATHER_S, CUT_EVERY_S = 15.0, 2.0
#: Weathers that are cases.
WEATHERS: tuple[Weather, ...] = ("slow", "half-open", "resetting", "lossy")


def cut_connections(arena: Arena, load: Load) -> list[Fault]:
    """End every connection of the services to Postgres, again and again."""
    del load
    at = time.time()
    while time.time() < at + WEATHER_S:
        arena.ask(
            "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and datname = 'autopilot'"
        )
        time.sleep(arena.chance.uniform(0.0, CUT_EVERY_S))
    return [Fault(part="connections", at=at)]


def weather(kind: Weather, server: str) -> Harm:
    """Let the connections of all services to a server be bad for a while."""

    def harm(arena: Arena, load: Load) -> list[Fault]:
        del load
        proxy = {NATS: arena.nats, POSTGRES: arena.postgres}[server]
        at = time.time()
        proxy.turn(kind)
        time.sleep(WEATHER_S)
        proxy.turn("fair")
        return [Fault(part=f"{kind} {server}", at=at)]

    return harm
