"""How commands that read the record themselves come to it: as a role that may read everything and write nothing."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar
from urllib.parse import quote, urlsplit

from autopilot.cli.client import Client
from autopilot.cli.failure import CliError, UnreachableError
from autopilot.stack import secrets
from autopilot.stack.config import POSTGRES, READER_ROLE, StackConfig
from libs.eventstore.store import EventStoreError, StoreUnavailableError

T = TypeVar("T")


def reading_dsn(config: StackConfig) -> str:
    """Name the database of a running stack. Raises UnreachableError, SecretsError."""
    place = urlsplit(Client(config).status.addresses[POSTGRES])
    password = quote(secrets.reader_password(config.secrets_dir), safe="")
    return f"postgresql://{READER_ROLE}:{password}@{place.netloc}{place.path}"


async def answered(work: Awaitable[T]) -> T:
    """Await what reads the record. Raises UnreachableError when it does not answer, CliError when it refuses."""
    try:
        return await work
    except StoreUnavailableError as error:
        raise UnreachableError(f"the record does not answer: {error}") from error
    except EventStoreError as error:
        raise CliError(f"the record refuses: {error}") from error
