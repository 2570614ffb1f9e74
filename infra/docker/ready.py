"""Health check of a container: `ready.py PORT/PATH…` asks over HTTP, `ready.py FILE SECONDS` looks at a file's age.

Run as `python -I -S`, with the standard library alone: it starts every few seconds in each of ten containers.
"""

import json
import os
import socket
import sys
import time

TIMEOUT_S = 3.0


def is_well(port: int, path: str) -> bool:
    """Tell whether the answer is 200, or that of a process which stands by and lacks nothing else."""
    with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as connection:
        connection.sendall(f"GET /{path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        head, _, body = connection.makefile("rb").read().partition(b"\r\n\r\n")
    if head.split()[1:2] == [b"200"]:
        return True
    try:
        return list(json.loads(body)["not_ready"]) == ["standby"]
    except (ValueError, KeyError):
        return False


def is_young(file: str, seconds: float) -> bool:
    """Tell whether the file was touched lately."""
    return time.time() - os.stat(file).st_mtime < seconds


if __name__ == "__main__":
    first, *more = sys.argv[1:]
    try:
        if os.path.isabs(first):
            sys.exit(not is_young(first, float(*more)))
        asked = [place.partition("/") for place in (first, *more)]
        sys.exit(not all(is_well(int(port), path) for port, _, path in asked))
    except OSError as error:
        sys.exit(str(error))
