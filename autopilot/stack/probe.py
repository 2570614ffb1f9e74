"""Asks a local HTTP server how it is, without an HTTP library to load."""

from __future__ import annotations

import asyncio
import contextlib


async def http_status(host: str, port: int, path: str, timeout_s: float | None = 2.0) -> int | None:
    """Return the status of a GET; None when nobody answers in time (None: the caller limits it)."""
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(
                    f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode()
                )
                line = await reader.readline()
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except (OSError, ValueError):
        return None
    words = line.split()
    return int(words[1]) if len(words) > 1 and words[1].isdigit() else None
