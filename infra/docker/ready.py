"""Health check of a container: `ready.py PORT` asks a service, `ready.py FILE SECONDS` looks at a file's age.

Run as `python -I -S`, with the standard library alone: it starts every few seconds in each of nine containers.
"""

import os
import socket
import sys
import time

TIMEOUT_S = 3.0


def answers(port: int) -> bool:
    """Tell whether `/readyz` says 200."""
    with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as connection:
        connection.sendall(b"GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n")
        return connection.makefile("rb").readline().split()[1:2] == [b"200"]


def is_young(file: str, seconds: float) -> bool:
    """Tell whether the file was touched lately."""
    return time.time() - os.stat(file).st_mtime < seconds


if __name__ == "__main__":
    try:
        sys.exit(
            not (is_young(sys.argv[1], float(sys.argv[2])) if sys.argv[2:] else answers(int(sys.argv[1])))
        )
    except OSError as error:
        sys.exit(str(error))
