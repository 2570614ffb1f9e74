"""Speaks to the running stack of a data directory over HTTP."""

from __future__ import annotations

import getpass
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from autopilot.cli.failure import RefusedError, UnreachableError
from autopilot.stack.config import StackConfig
from autopilot.stack.status import StackStatus, read

#: Seconds for one answer.
TIMEOUT_S = 15.0


class Client:
    """One command's connection to the stack."""

    def __init__(self, config: StackConfig) -> None:
        self.config = config
        found = read(config.stack_file)
        if found is None or not found.alive:
            raise UnreachableError(f"no stack is running on {config.data_dir}; start one with `autopilot up`")
        self.status: StackStatus = found
        try:
            token = (config.secrets_dir / "api-token").read_text().strip()
        except OSError as error:
            raise UnreachableError(f"the API token cannot be read: {error}") from error
        self._http = httpx.Client(
            headers={"Authorization": f"Bearer {token}", "X-Actor": _login()},
            timeout=TIMEOUT_S,
            trust_env=False,
            # Trusts nobody, and needs not: the stack speaks plain HTTP on the loopback. Reading the machine's
            # authorities, which is the default, takes longer than most answers.
            verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        )

    def close(self) -> None:
        """Let go of its connections."""
        self._http.close()

    def scheduler(self, method: str, path: str, **options: Any) -> Any:
        """Call the task API."""
        return self._call("scheduler", method, path, **options)

    def dashboard(self, method: str, path: str, **options: Any) -> Any:
        """Call the read API."""
        return self._call("dashboard", method, path, **options)

    def service(self, name: str, method: str, path: str, **options: Any) -> Any:
        """Call any service."""
        return self._call(name, method, path, **options)

    def download(self, path: str) -> Iterator[bytes]:
        """Stream an artifact from the read API."""
        with self._answered("dashboard") as base, self._http.stream("GET", base + path) as answer:
            if answer.is_error:
                answer.read()
                raise _refused(answer)
            yield from answer.iter_bytes()

    def events(self, since: int | None, task: str) -> Iterator[tuple[int, str, str]]:
        """Follow the live stream: (position, type, JSON) of every event; ends when the stack does."""
        parameters: dict[str, Any] = {"task": task} if task else {}
        if since is not None:
            parameters["since"] = since
        timeout = httpx.Timeout(TIMEOUT_S, read=60.0)
        with (
            self._answered("dashboard") as base,
            self._http.stream("GET", f"{base}/api/v1/stream", params=parameters, timeout=timeout) as answer,
        ):
            if answer.is_error:
                answer.read()
                raise _refused(answer)
            fields: dict[str, str] = {}
            for line in answer.iter_lines():
                if not line:
                    if "data" in fields and "id" in fields:
                        yield int(fields["id"]), fields.get("event", ""), fields["data"]
                    fields = {}
                elif not line.startswith(":"):
                    name, _, value = line.partition(":")
                    fields[name] = fields.get(name, "") + value.removeprefix(" ")

    def _call(self, service: str, method: str, path: str, **options: Any) -> Any:
        with self._answered(service) as base:
            answer = self._http.request(method, base + path, **options)
        if answer.is_error:
            raise _refused(answer)
        try:
            return answer.json()
        except ValueError as error:
            raise UnreachableError(f"at {base}, something else than the {service} answers") from error

    @contextmanager
    def _answered(self, service: str) -> Iterator[str]:
        base = self.status.addresses[service]
        try:
            yield base
        except httpx.TransportError as error:
            raise UnreachableError(f"the {service} at {base} does not answer: {error}") from error


def _login() -> str:
    """Name who types, for the record; a header takes no more than a line of ASCII."""
    try:
        shown = "".join(letter if letter.isprintable() else "?" for letter in getpass.getuser())
        return shown.encode("ascii", "backslashreplace").decode()
    except (KeyError, OSError):
        return "operator"


def _refused(answer: httpx.Response) -> RefusedError:
    try:
        problem = answer.json()
    except ValueError:
        problem = {"title": answer.reason_phrase, "detail": answer.text[:500]}
    return RefusedError(answer.status_code, problem)
