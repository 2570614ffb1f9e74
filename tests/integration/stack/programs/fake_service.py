"""Stands in for a service: answers everything on its port with 200; `python fake_service.py PORT [PID_FILE]`.

With a file it also starts two children of its own, one of which leaves the process group, and writes all three ids
there. It loads almost nothing, as seven of it start in most tests.
"""

from __future__ import annotations

import os
import socket
import sys

if __name__ == "__main__":
    if len(sys.argv) > 2:
        inside = os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "600")
        outside = os.spawnlp(os.P_NOWAIT, "setsid", "setsid", "sleep", "600")
        with open(sys.argv[2] + ".tmp", "w") as file:
            file.write(f"{os.getpid()} {inside} {outside}")
        os.rename(sys.argv[2] + ".tmp", sys.argv[2])
    server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
    while True:
        client, _ = server.accept()
        client.recv(4096)
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        client.close()
