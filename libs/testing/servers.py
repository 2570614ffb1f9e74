"""Which servers tests run against: containers where an engine and its images are there, the environment's packages otherwise.

`AUTOPILOT_TEST_SERVERS=containers` or `=wheels` says so; unset, it is found out. No engine is started and no image fetched.
"""

from __future__ import annotations

import functools
import os
import socket
from typing import Literal, NamedTuple, TypeAlias
from urllib.parse import urlsplit

VARIABLE = "AUTOPILOT_TEST_SERVERS"
POSTGRES_IMAGE, NATS_IMAGE = "postgres:17", "nats:2-alpine"
#: Seconds in which an engine must answer.
ENGINE_S = 2

Kind: TypeAlias = Literal["containers", "wheels"]


class Choice(NamedTuple):
    """What was chosen, and why."""

    kind: Kind
    why: str


class NoContainersError(RuntimeError):
    """Containers were asked for and cannot be had; the message says what is missing."""


@functools.cache
def choice() -> Choice:
    """Choose for this process. Raises NoContainersError; ValueError for another value of the variable."""
    asked = os.environ.get(VARIABLE, "")
    match asked:
        case "wheels":
            return Choice("wheels", f"{VARIABLE} says so")
        case "containers":
            if missing := _missing():
                raise NoContainersError(f"{VARIABLE}=containers, but {missing}")
            return Choice("containers", f"{VARIABLE} says so")
        case "":
            missing = _missing()
            return Choice("wheels", missing) if missing else Choice("containers", "an engine has the images")
    raise ValueError(f"{VARIABLE} is {asked!r}; it may be containers, wheels, or not set")


def _missing() -> str:
    """Say what there is not; empty when containers can be started."""
    from docker.client import DockerClient
    from docker.errors import DockerException, ImageNotFound

    try:
        # The client would leave its socket open.
        _knock(os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock")
        client = DockerClient.from_env(timeout=ENGINE_S)  # type: ignore[no-untyped-call]
    except (DockerException, OSError, ValueError) as error:
        return f"no container engine answers ({_short(error)})"
    try:
        for image in (POSTGRES_IMAGE, NATS_IMAGE):
            client.images.get(image)
    except ImageNotFound:
        return f"the engine does not have the image (docker pull {image})"
    except (DockerException, OSError) as error:
        return f"no container engine answers ({_short(error)})"
    finally:
        client.close()
    return ""


def _knock(address: str) -> None:
    """Connect to an engine and hang up. Raises OSError, ValueError."""
    url = urlsplit(address)
    if url.scheme == "unix":
        with socket.socket(socket.AF_UNIX) as knocking:
            knocking.settimeout(ENGINE_S)
            knocking.connect(url.path)
    else:
        with socket.create_connection((url.hostname or "", url.port or 2375), ENGINE_S):
            pass


def _short(error: Exception) -> str:
    return str(error).splitlines()[0][:120]
