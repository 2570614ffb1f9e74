"""Who may ask what, and that no credential is anywhere but in its own file."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.e2e import till
from tests.e2e.stack import SERVICES, Stack, git, until

#: Answered without a credential: the probes, and the page's own files and login.
_OPEN = {"/healthz", "/readyz", "/login", "/page/{name}"}


def routes(stack: Stack, service: str) -> list[tuple[str, str]]:
    """List the routes that a service itself describes."""
    document = stack.http(service, "GET", "/openapi.json").json()
    return [
        (method.upper(), path)
        for path, methods in document["paths"].items()
        for method in methods
        if path not in _OPEN
    ] + [("GET", "/openapi.json"), ("GET", "/metrics")]


@pytest.mark.parametrize("service", SERVICES)
def test_every_route_but_the_probes_wants_a_token(stack: Stack, service: str) -> None:
    for probe in ("/healthz", "/readyz"):
        assert stack.http(service, "GET", probe, token=None).status_code == 200
    for method, path in routes(stack, service):
        filled = path.replace("{", "").replace("}", "")
        # A browser without a session sees how to get in; and a session, which is for reading, is refused before that.
        wanted = (401, 403) if service == "dashboard" else (401,)
        assert stack.http(service, method, filled, token=None).status_code in wanted, (method, path)
        wrong = stack.http(service, method, filled, token=None, headers={"Authorization": "Bearer wrong"})
        assert wrong.status_code == 401, (method, path)
    assert stack.http(service, "GET", "/no/such/place", token=None).status_code in (401, 404)


@pytest.mark.parametrize("service", SERVICES)
def test_the_scrape_token_reads_metrics_and_nothing_else(stack: Stack, service: str) -> None:
    metrics = stack.http(service, "GET", "/metrics", token="scrape-token")
    assert metrics.status_code == 200
    assert "# TYPE" in metrics.text
    for method, path in routes(stack, service):
        if path not in ("/metrics", "/"):
            filled = path.replace("{", "").replace("}", "")
            answer = stack.http(service, method, filled, token="scrape-token")
            assert answer.status_code == 401, (method, path)


def test_refusals_are_problems(stack: Stack) -> None:
    for answer in (
        stack.http("scheduler", "GET", "/v1/tasks", token=None),
        stack.http("scheduler", "GET", "/v1/tasks/nobody"),
        stack.http("scheduler", "GET", "/v1/nothing"),
        stack.http("scheduler", "DELETE", "/v1/tasks"),
        stack.http("scheduler", "POST", "/v1/tasks", content=b"{"),
        stack.http("scheduler", "POST", "/v1/tasks", content=b"x" * (5 * 2**20)),
        stack.http("scheduler", "PUT", "/v1/mode", json={"mode": "party"}),
        stack.http("dashboard", "GET", "/api/v1/events", params={"limit": "many"}),
        stack.http("dashboard", "GET", "/api/v1/evidence/../../secrets/api-token"),
    ):
        assert answer.is_client_error, answer
        assert answer.headers["content-type"] == "application/problem+json", answer.url
        problem = answer.json()
        assert problem["status"] == answer.status_code
        assert problem["title"]
        assert problem["detail"]


def test_the_same_idempotency_key_is_the_same_task(stack: Stack) -> None:
    body = {"title": "Once", "engine": "noop", "synthetic": True, "repos": [{"name": "r", "url": "/r"}]}

    def post(content: dict[str, object], key: str) -> httpx.Response:
        return stack.http("scheduler", "POST", "/v1/tasks", json=content, headers={"Idempotency-Key": key})

    first = post(body, "e2e-once")
    again = post(body, "e2e-once")
    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json()["id"] == again.json()["id"]
    assert first.headers["location"] == f"/v1/tasks/{first.json()['id']}"
    other = post({**body, "title": "Twice"}, "e2e-once")
    assert other.status_code == 422
    assert "e2e-once" in other.json()["detail"]
    assert post(body, "e2e-other").json()["id"] != first.json()["id"]
    titles = [one["title"] for one in stack.json("tasks", "--limit", "500")]
    assert titles.count("Once") == 2
    assert "Twice" not in titles


def test_no_credential_is_anywhere_but_in_its_file(
    stack: Stack, tmp_path: Path, task_file: Callable[..., Path]
) -> None:
    """A repository that looks for credentials finds none, and nothing that is stored or logged holds one."""
    secrets = stack.data_dir / "secrets"
    curious = (
        "import os, pathlib\n\n\n"
        "def test_looks_around():\n"
        "    found = [dict(os.environ)]\n"
        f"    for place in ({str(secrets)!r}, {str(stack.data_dir)!r}, 'linked'):\n"
        "        for path in [pathlib.Path(place), *pathlib.Path(place).rglob('*')]:\n"
        "            try:\n"
        "                found.append(path.read_text())\n"
        "            except (OSError, UnicodeDecodeError):\n"
        "                pass\n"
        "    for path in pathlib.Path('/proc').glob('[0-9]*/environ'):\n"
        "        try:\n"
        "            found.append(path.read_text())\n"
        "        except (OSError, UnicodeDecodeError):\n"
        "            pass\n"
        "    print(found)\n"
    )
    repository = till.make(tmp_path / "curious", {"tests/test_curious.py": curious})
    (repository / "linked").symlink_to(secrets / "api-token")
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "A link to what is not ours")
    [task_id] = stack.submit(
        task_file(repository, repo={"fail_to_pass": ["python -m pytest -q -s"]}, title="Curious")
    )
    assert stack.ended(task_id)["phase"] == "done"
    assert any(one["name"].endswith("change/fail_to_pass.log") for one in stack.json("evidence", task_id))

    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    values = {}
    for file in secrets.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
        values[file.name] = file.read_text().strip().encode()
    assert {"api-token", "scrape-token", "session-key", "postgres-gate", "journal-key"} <= set(values)
    del values["journal-public-key"]  # It is there to be known.

    def leaks(content: bytes) -> list[str]:
        return [name for name, value in values.items() if value in content]

    # The bus reads its users' passwords from its configuration, which is as private as the credentials themselves.
    configuration = stack.data_dir / "nats" / "nats.conf"
    assert stat.S_IMODE(configuration.stat().st_mode) == 0o600
    for file in stack.data_dir.rglob("*"):
        if file.is_file() and not file.is_symlink() and secrets not in file.parents and file != configuration:
            try:
                content = file.read_bytes()
            except FileNotFoundError:
                continue
            assert leaks(content) == [], file
    # Long rows of the record are compressed on disk, and so is evidence some day: both are read as people read them.
    everything = json.dumps(record(stack)).encode()
    assert leaks(everything) == []
    for one in stack.json("evidence", task_id):
        assert leaks(stack.http("dashboard", "GET", f"/api/v1/evidence/{one['digest']}").content) == [], one


def record(stack: Stack) -> list[object]:
    """Read every event there is."""
    found: list[object] = []
    since, more = 0, True
    while more:
        page = stack.http("dashboard", "GET", "/api/v1/events", params={"since": since, "limit": 500}).json()
        found += page["events"]
        since, more = page["next"], page["more"]
    return found


def test_the_one_time_link_opens_the_page_once(stack: Stack) -> None:
    said = until(lambda: stack.run("status").stdout.partition("Dashboard: ")[2], "a link")
    link = said.split()[0]
    with httpx.Client(trust_env=False, timeout=30.0) as browser:
        entered = browser.get(link)
        assert entered.status_code == 303
        cookie = entered.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "samesite=strict" in cookie.lower()
        address = stack.state["addresses"]["dashboard"]
        assert browser.get(address + "/").status_code == 200
        assert browser.get(address + "/api/v1/system").status_code == 200
        assert browser.post(address + "/api/v1/session-links").status_code in (401, 403)
    with httpx.Client(trust_env=False, timeout=30.0) as other:
        assert other.get(link).status_code == 403
        assert other.get(address + "/").status_code == 401
