"""JSON lines with the service's name, secrets redacted at the writer."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, MutableMapping
from contextlib import suppress
from typing import Any, TextIO, cast

import structlog

REDACTED = "[redacted]"


class Unfailing:
    """A stream for logs on which a failed write loses a line and is no error.

    Whoever logs that the disk is full must not be ended by it: a supervisor was, and its Postgres never came back.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write as much as can be written."""
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Pass on what was written; what cannot be now comes with the next."""
        with suppress(OSError):
            self._stream.flush()


def never_fail() -> None:
    """Have structured logs, whatever they look like, never raise for want of room or of a reader."""
    structlog.configure(logger_factory=_printing())


def _printing() -> structlog.PrintLoggerFactory:
    return structlog.PrintLoggerFactory(cast(TextIO, Unfailing(sys.stdout)))


def configure(service: str, secrets: Iterable[str] = ()) -> None:
    """Set up structured logs on standard output; known secret values never reach it."""
    known = tuple(secret for secret in secrets if len(secret) >= 8)

    def clean(value: Any) -> Any:
        if isinstance(value, str):
            for secret in known:
                value = value.replace(secret, REDACTED)
            return value
        if isinstance(value, dict):
            return {key: clean(inner) for key, inner in value.items()}
        if isinstance(value, (list, tuple)):
            return [clean(inner) for inner in value]
        return value

    def redact(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        return {key: clean(value) for key, value in event.items()}

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            redact,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=_printing(),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    logging.basicConfig(
        level=logging.WARNING,
        stream=sys.stdout,
        format='{"level": "%(levelname)s", "logger": "%(name)s", "event": "%(message)s"}',
    )
