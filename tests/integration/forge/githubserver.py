"""A GitHub for tests: its REST API and its git by HTTP, stateful, strict about requests, and faulty on demand.

Answers have the shapes of GitHub's published description (`shapes`), addresses are those of an Enterprise Server:
`http://host/api/v3` beside `http://host/owner/name.git`.
"""

from __future__ import annotations

import asyncio
import base64
import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import jwt

from tests.integration.forge.exchange import Answer, Fault, Refused, Request, read, write
from tests.integration.forge.githttp import backend
from tests.integration.forge.shapes import shaped

TOKEN = "ghp_" + "canary0123456789" * 2 + "abcd"
APP_ID = "4711"
API = "/api/v3"


class GitHubServer:
    """Serves repositories below a folder: `<root>/<owner>/<name>.git`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.faults: list[Fault] = []
        self.requests: list[Request] = []
        self.pulls: dict[int, dict[str, Any]] = {}
        self.labels: set[str] = set()
        self.check_runs: list[dict[str, Any]] = []
        self.statuses: list[dict[str, Any]] = []
        self.remarks: dict[str, list[dict[str, Any]]] = {}
        self.issues: dict[int, dict[str, Any]] = {}
        self.tokens = {TOKEN}
        self.app_key = ""
        self.page_size = 100
        self.protected = False
        #: Seconds that clients of a test wait for an answer.
        self.patience_s = 20.0
        self._server: asyncio.Server | None = None
        self._handlers: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        """Listen on loopback."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"

    async def stop(self) -> None:
        """Close everything."""
        assert self._server is not None
        self._server.close()
        for task in self._handlers:
            task.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)

    def fail(self, method: str, path: str, answer: Answer | None = None, **values: Any) -> Fault:
        """Let the next matching request go wrong."""
        fault = Fault(method, path, answer=answer, **values)
        self.faults.append(fault)
        return fault

    @property
    def open_pulls(self) -> list[dict[str, Any]]:
        """Return the open pull requests as they are stored."""
        return [pull for pull in self.pulls.values() if pull["state"] == "open"]

    def sent(self, method: str, path: str) -> list[Request]:
        """Return the requests of a kind."""
        return [one for one in self.requests if one.method == method and re.search(path, one.path)]

    async def git(self, where: str, *args: str) -> str | None:
        """Run git on a repository; None if it fails."""
        process = await asyncio.create_subprocess_exec(
            "git",
            *("-c", "safe.directory=*", "-C", str(self.root / f"{where}.git"), *args),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        out, _ = await process.communicate()
        return out.decode().strip() if process.returncode == 0 else None

    # The wire.

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        try:
            request = await read(reader, writer)
            if request is not None:
                await self._respond(request, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._handlers.discard(task)
            writer.close()
            with suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _respond(self, request: Request, writer: asyncio.StreamWriter) -> None:
        self.requests.append(request)
        fault = next((one for one in self.faults if one.matches(request)), None)
        if fault is not None:
            fault.times -= 1
        if fault is None or fault.effect or fault.way == "cut":
            answer = await self._answer(request)
        else:
            answer = Answer(500)
        if fault is None:
            await write(writer, answer)
        elif fault.answer is not None:
            await write(writer, fault.answer)
        elif fault.way == "cut":
            content = answer.content
            half = Answer(answer.status, headers=answer.headers, raw=content[: len(content) // 2])
            await write(writer, half, length=len(content))
        elif fault.way == "hang":
            await asyncio.sleep(3_600)

    async def _answer(self, request: Request) -> Answer:
        if not request.path.startswith("/api/"):
            return await self._git_http(request)
        try:
            answer = await self._api(request)
        except Refused as refused:
            answer = refused.answer
        answer.headers = {
            "X-RateLimit-Limit": "5000",
            "X-RateLimit-Remaining": "4999",
            "X-RateLimit-Reset": str(int(time.time()) + 3_600),
            "X-RateLimit-Resource": "core",
            **answer.headers,
        }
        return answer

    async def _git_http(self, request: Request) -> Answer:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        user, _, password = base64.b64decode(given).decode().partition(":")
        if scheme != "Basic" or password not in self.tokens or user != "x-access-token":
            return Answer(401, raw=b"", headers={"WWW-Authenticate": 'Basic realm="GitHub"'})
        if self.protected and ("receive-pack" in request.path + request.query.get("service", "")):
            return Answer(403, raw=b"Write access to repository not granted.")
        return await backend(self.root, user, request)

    # The API.

    async def _api(self, request: Request) -> Answer:
        if request.path == "/api/graphql":
            self._check_token(request)
            return self._graphql(request)
        path = request.path.removeprefix(API)
        if re.fullmatch(r"/app(/.*)?|/repos/[^/]+/[^/]+/installation", path):
            return self._as_app(request, path)
        self._check_token(request)
        if path == "/rate_limit":
            rate = {"limit": 5000, "used": 1, "remaining": 4999, "reset": int(time.time()) + 60}
            return Answer(200, shaped("RateLimitOverview", rate=rate))
        found = re.fullmatch(r"/repos/([^/]+/[^/]+)(/.*)?", path)
        if found is None or not (self.root / f"{found[1]}.git").exists():
            raise Refused(404, "Not Found")
        where, rest = found[1], found[2] or ""
        for method, pattern, handle in self._routes:
            match = re.fullmatch(pattern, rest)
            if match and method == request.method:
                return await handle(self, request, where, *(unquote(part) for part in match.groups()))
        raise Refused(404, "Not Found")

    def _check_token(self, request: Request) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() not in ("token", "bearer") or token not in self.tokens:
            raise Refused(401, "Bad credentials")

    def _as_app(self, request: Request, path: str) -> Answer:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        try:
            claims = jwt.decode(token, self.app_key, algorithms=["RS256"])
        except jwt.PyJWTError:
            raise Refused(401, "A JSON web token could not be decoded") from None
        assert claims["iss"] == APP_ID
        if path == "/app":
            return Answer(200, shaped("Integration", slug="our-robot"))
        if path.endswith("/installation"):
            return Answer(200, shaped("Installation", id=99))
        assert request.method == "POST"
        assert len(request.json["repositories"]) == 1
        made = f"ghs_{'installation' * 3}{len(self.tokens)}"
        self.tokens.add(made)
        expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3_600))
        return Answer(201, shaped("InstallationToken", token=made, expires_at=expires))

    def _graphql(self, request: Request) -> Answer:
        query, number = request.json["query"], int(request.json["variables"]["id"].removeprefix("PR_"))
        self.pulls[number]["draft"] = "convertPullRequestToDraft" in query
        return Answer(200, {"data": {"x": {"clientMutationId": None}}})

    async def _repository(self, request: Request, where: str) -> Answer:
        return Answer(200, shaped("FullRepository", full_name=where, default_branch="main"))

    async def _ref(self, request: Request, where: str, branch: str) -> Answer:
        sha = await self.git(where, "rev-parse", "--verify", "--quiet", f"refs/heads/{branch}")
        if sha is None:
            raise Refused(404, "Not Found")
        target = {"sha": sha, "type": "commit", "url": "x"}
        return Answer(200, shaped("GitRef", ref=f"refs/heads/{branch}", object=target))

    async def _commit(self, request: Request, where: str, commit: str) -> Answer:
        tree = await self.git(where, "rev-parse", "--verify", "--quiet", f"{commit}^{{tree}}")
        if tree is None:
            raise Refused(404, "Not Found")
        return Answer(200, shaped("GitCommit", sha=commit, tree={"sha": tree, "url": "x"}))

    async def _list_pulls(self, request: Request, where: str) -> Answer:
        owner, _, head = request.query.get("head", "").partition(":")
        wanted = [
            pull
            for _, pull in sorted(self.pulls.items(), reverse=True)
            if request.query.get("state", "open") in ("all", pull["state"])
            and request.query.get("base", pull["base"]) == pull["base"]
            # As the real one: a filter without an owner is left out.
            and (not head or (pull.get("owner", where.split("/")[0]), pull["head"]) == (owner, head))
        ]
        return self._page(request, [await self.shown(where, pull, "PullRequestSimple") for pull in wanted])

    async def _open_pull(self, request: Request, where: str) -> Answer:
        wish = request.json
        assert set(wish) <= {"title", "head", "base", "body", "draft", "maintainer_can_modify"}, wish
        assert 0 < len(wish["title"]) <= 256
        if len(wish["body"]) > 65_536:
            raise Refused(
                422, "Validation Failed", _error("body", "is too long (maximum is 65536 characters)")
            )
        for end in ("base", "head"):
            if await self.git(where, "rev-parse", "--verify", "--quiet", f"refs/heads/{wish[end]}") is None:
                raise Refused(
                    422, "Validation Failed", {"resource": "PullRequest", "field": end, "code": "invalid"}
                )
        if any((pull["head"], pull["base"]) == (wish["head"], wish["base"]) for pull in self.open_pulls):
            owner = where.split("/")[0]
            raise Refused(
                422,
                "Validation Failed",
                {
                    "resource": "PullRequest",
                    "code": "custom",
                    "message": f"A pull request already exists for {owner}:{wish['head']}.",
                },
            )
        number = len(self.pulls) + len(self.issues) + 1
        self.pulls[number] = {**wish, "number": number, "state": "open", "labels": []}
        return Answer(201, await self.shown(where, self.pulls[number], "PullRequest"))

    async def _get_pull(self, request: Request, where: str, number: str) -> Answer:
        return Answer(200, await self.shown(where, self._pull(number), "PullRequest"))

    async def _change_pull(self, request: Request, where: str, number: str) -> Answer:
        pull, wish = self._pull(number), request.json
        assert set(wish) <= {"title", "body", "state", "base", "maintainer_can_modify"}, wish
        pull |= wish
        return Answer(200, await self.shown(where, pull, "PullRequest"))

    def _pull(self, number: str) -> dict[str, Any]:
        if int(number) not in self.pulls:
            raise Refused(404, "Not Found")
        return self.pulls[int(number)]

    async def shown(self, where: str, pull: dict[str, Any], schema: str) -> dict[str, Any]:
        number = pull["number"]
        kept = f"refs/pull/{number}/head"
        head = await self.git(where, "rev-parse", "--verify", "--quiet", f"refs/heads/{pull['head']}")
        if head is not None and pull["state"] == "open":
            await self.git(where, "update-ref", kept, head)
        head = await self.git(where, "rev-parse", kept)
        base = await self.git(where, "rev-parse", f"refs/heads/{pull['base']}")
        simple = (
            {"repo": {"full_name": where}} if "fork" not in pull else {"repo": {"full_name": pull["fork"]}}
        )
        return shaped(
            schema,
            number=number,
            node_id=f"PR_{number}",
            state=pull["state"],
            title=pull["title"],
            body=pull["body"],
            draft=pull["draft"],
            merged_at=pull.get("merged_at"),
            html_url=f"{self.url}/{where}/pull/{number}",
            labels=[shaped(_LABEL_OF[schema], name=name) for name in pull["labels"]],
            head={"ref": pull["head"], "sha": head, **simple},
            base={"ref": pull["base"], "sha": base, "repo": {"full_name": where}},
        )

    async def _labels_of(self, request: Request, where: str, number: str) -> Answer:
        return self._page(request, [shaped("Label", name=name) for name in self._pull(number)["labels"]])

    async def _add_labels(self, request: Request, where: str, number: str) -> Answer:
        labels = self._pull(number)["labels"]
        labels += [name for name in request.json["labels"] if name not in labels]
        self.labels |= set(labels)
        return Answer(200, [shaped("Label", name=name) for name in labels])

    async def _get_label(self, request: Request, where: str, name: str) -> Answer:
        if name not in self.labels:
            raise Refused(404, "Not Found")
        return Answer(200, shaped("Label", name=name))

    async def _make_label(self, request: Request, where: str) -> Answer:
        name = request.json["name"]
        if name in self.labels:
            raise Refused(
                422, "Validation Failed", {"resource": "Label", "code": "already_exists", "field": "name"}
            )
        self.labels.add(name)
        return Answer(201, shaped("Label", name=name))

    async def _list_runs(self, request: Request, where: str, commit: str) -> Answer:
        runs = [run for run in self.check_runs if run["head_sha"] == commit]
        page = self._page(request, runs)
        page.document = {"total_count": len(runs), "check_runs": page.document}
        return page

    async def _make_run(self, request: Request, where: str) -> Answer:
        if request.headers["authorization"].endswith(TOKEN):
            raise Refused(403, "Resource not accessible by personal access token")
        wish = request.json
        run = shaped(
            "CheckRun",
            **{key: wish[key] for key in ("name", "head_sha", "external_id", "status", "conclusion")},
            id=len(self.check_runs) + 1,
            html_url=f"{self.url}/{where}/runs/{len(self.check_runs) + 1}",
            output=wish["output"],
        )
        self.check_runs.append(run)
        return Answer(201, run)

    async def _list_statuses(self, request: Request, where: str, commit: str) -> Answer:
        return self._page(request, [one for one in reversed(self.statuses) if one["url"].endswith(commit)])

    async def _make_status(self, request: Request, where: str, commit: str) -> Answer:
        wish = request.json
        assert len(wish["description"]) <= 140
        url = f"{self.url}{API}/repos/{where}/statuses/{commit}"
        self.statuses.append(shaped("Status", **wish, url=url))
        return Answer(201, self.statuses[-1])

    async def _list_remarks(self, request: Request, where: str, number: str) -> Answer:
        return self._page(request, self.remarks.get(request.path.removeprefix(f"{API}/repos/{where}"), []))

    async def _get_issue(self, request: Request, where: str, number: str) -> Answer:
        if int(number) not in self.issues:
            raise Refused(404, "Not Found")
        return Answer(200, self.issues[int(number)])

    def _page(self, request: Request, items: list[Any]) -> Answer:
        page, size = int(request.query.get("page", "1")), min(self.page_size, int(request.query["per_page"]))
        links = {}
        if page * size < len(items):
            query = "&".join(f"{key}={value}" for key, value in request.query.items() if key != "page")
            links["Link"] = f'<{self.url}{request.path}?{query}&page={page + 1}>; rel="next"'
        return Answer(200, items[(page - 1) * size : page * size], headers=links)

    _routes: tuple[tuple[str, str, Callable[..., Any]], ...] = (
        ("GET", "", _repository),
        ("GET", "/git/ref/heads/(.+)", _ref),
        ("GET", "/git/commits/([0-9a-f]+)", _commit),
        ("GET", "/pulls", _list_pulls),
        ("POST", "/pulls", _open_pull),
        ("GET", "/pulls/([0-9]+)", _get_pull),
        ("PATCH", "/pulls/([0-9]+)", _change_pull),
        ("GET", "/issues/([0-9]+)/labels", _labels_of),
        ("POST", "/issues/([0-9]+)/labels", _add_labels),
        ("GET", "/labels/([^/]+)", _get_label),
        ("POST", "/labels", _make_label),
        ("GET", "/commits/([0-9a-f]+)/check-runs", _list_runs),
        ("POST", "/check-runs", _make_run),
        ("GET", "/commits/([0-9a-f]+)/statuses", _list_statuses),
        ("POST", "/statuses/([0-9a-f]+)", _make_status),
        ("GET", "/(?:issues|pulls)/([0-9]+)/(?:comments|reviews)", _list_remarks),
        ("GET", "/issues/([0-9]+)", _get_issue),
    )


_LABEL_OF = {
    "PullRequest": "PullRequestPropLabelsItems",
    "PullRequestSimple": "PullRequestSimplePropLabelsItems",
}


def _error(name: str, message: str) -> dict[str, str]:
    return {"resource": "PullRequest", "field": name, "code": "custom", "message": message}
