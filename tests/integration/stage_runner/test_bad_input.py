"""Bad input, through four real services: each fails by a name that tells the cause, leaves nothing, and disturbs nobody."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from contracts.task import TaskSpec
from libs.evidence.store import EvidenceStore
from libs.forge.local import LocalForge
from libs.runtime import http
from libs.testing.world import World
from tests.system.shop import PYTEST, RIGHT, Shop, require_sandbox
from tests.system.walking import CORE, end, facts_of, opened, sound, spec, submit, wait_out


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "the user's shop")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with opened(CORE, tmp_path / "data") as made:
        yield made


async def failed(world: World, shop: Shop, task: TaskSpec, *, stage: str) -> tuple[str, str]:
    """Run a bad task beside a good one; return the code and the words of its failure."""
    await submit(world, "bad", task)
    await submit(world, "good", spec(body="fail verify 1"))
    await world.settle()
    await wait_out(world)
    events = await sound(world)
    assert (end(events, "bad"), end(events, "good")) == ("task_given_up", "task_done")
    data = Path(world.running["stage-runner"].config.data_dir)
    assert [path for path in (data / "work").rglob("*") if path.is_file()] == []
    assert await LocalForge(data).list(shop.url) == ()
    (last,) = facts_of(events, "bad", "resolution_awaited")[-1:]
    assert last.stage == stage
    (given_up,) = facts_of(events, "bad", "task_given_up")
    assert last.failure.detail in given_up.reason
    return last.failure.code, last.failure.detail


async def test_a_repository_that_cannot_be_cloned(world: World, shop: Shop, tmp_path: Path) -> None:
    task = shop.task(shop.patch({"wide.py": RIGHT}), url=str(tmp_path / "nowhere"))
    code, detail = await failed(world, shop, task, stage="spec")
    assert code == "repository_unusable"
    assert "nowhere" in detail
    mirrors = tmp_path / "data" / "mirrors"
    assert not mirrors.exists() or list(mirrors.glob("*.git")) == []


@pytest.mark.parametrize(
    "url", ["ext::sh -c touch% OWNED", "relative/path", "-oProxyCommand=x", "ftp://host/x.git"]
)
async def test_an_address_that_git_would_run_or_guess(world: World, shop: Shop, url: str) -> None:
    code, detail = await failed(world, shop, shop.task(shop.patch({"wide.py": RIGHT}), url=url), stage="spec")
    assert code == "repository_unusable"
    assert detail


async def test_a_base_that_does_not_exist(world: World, shop: Shop) -> None:
    task = shop.task(shop.patch({"wide.py": RIGHT}), base="no-such-branch")
    code, detail = await failed(world, shop, task, stage="spec")
    assert code == "base_not_found"
    assert "no-such-branch" in detail


async def test_a_repository_without_a_commit(world: World, shop: Shop, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    shop.git("init", "-q", cwd=empty)
    code, detail = await failed(world, shop, shop.task("x", url=str(empty)), stage="spec")
    assert (code, "empty" in detail) == ("repository_unusable", True)


async def test_a_repository_with_submodules(world: World, shop: Shop) -> None:
    patch = shop.patch({"wide.py": RIGHT})
    shop.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", shop.url, "inner")
    shop.git("commit", "-qm", "a submodule")
    code, detail = await failed(world, shop, shop.task(patch), stage="spec")
    assert (code, "submodule" in detail) == ("repository_unusable", True)


async def test_a_patch_that_does_not_apply(world: World, shop: Shop) -> None:
    patch = shop.patch({"wide.py": RIGHT})
    shop.commit({"wide.py": "def pad(text, width):\n    raise ValueError(text)\n"})
    code, detail = await failed(world, shop, shop.task(patch), stage="implement")
    assert (code, "wide.py" in detail) == ("patch_does_not_apply", True)


async def test_a_patch_that_is_none(world: World, shop: Shop) -> None:
    code, _ = await failed(world, shop, shop.task("# nothing\n"), stage="spec")
    assert code == "patch_malformed"


@pytest.mark.parametrize(
    ("values", "stage", "code"),
    [
        ({}, "workspace", "not_failing_on_base"),
        ({"fail_to_pass": [], "verify": {"test": PYTEST}}, "implement", "patch_does_not_apply"),
    ],
)
async def test_a_patch_that_is_in_the_base_already(
    world: World, shop: Shop, values: dict[str, Any], stage: str, code: str
) -> None:
    patch = shop.patch({"wide.py": RIGHT})
    shop.commit({"wide.py": RIGHT})
    assert (await failed(world, shop, shop.task(patch, **values), stage=stage))[0] == code


async def test_a_verification_that_hangs(world: World, shop: Shop) -> None:
    require_sandbox()
    task = shop.task(shop.patch({"wide.py": RIGHT}), verify={"test": "sleep 600"}, fail_to_pass=[])
    # The command is what takes too long, not the stage around it, however busy the machine is.
    budget = msgspec.structs.replace(task.budget, wall_s=1, stage_wall_s=600)
    code, detail = await failed(world, shop, msgspec.structs.replace(task, budget=budget), stage="verify")
    assert code == "gate_refused"
    assert "limit" in detail


async def test_a_verification_that_prints_without_end_is_capped_and_judged_all_the_same(
    world: World, shop: Shop, tmp_path: Path
) -> None:
    require_sandbox()
    loud = f"head -c 30000000 /dev/zero | tr '\\\\0' 'x'; {PYTEST}"
    await submit(world, "t1", shop.task(shop.patch({"wide.py": RIGHT}), verify={"test": loud}))
    await world.settle()
    await wait_out(world)
    events = await sound(world)
    assert end(events) == "task_done", facts_of(events, "t1", "resolution_awaited")
    (verified,) = [run for run in facts_of(events, "t1", "stage_completed") if run.stage == "verify"]
    evidence = EvidenceStore(tmp_path / "data" / "evidence")
    sizes = [len(evidence.read(ref.digest, 10**9)) for ref in verified.evidence]
    assert max(sizes) < 20_000_000


async def test_a_hostile_repository_runs_nothing_outside_the_sandbox(
    world: World, shop: Shop, tmp_path: Path
) -> None:
    require_sandbox()
    mark = tmp_path / "OWNED"
    for hook in ("post-checkout", "pre-commit", "post-commit", "pre-push", "reference-transaction", "update"):
        place = shop.path / ".git" / "hooks" / hook
        place.parent.mkdir(exist_ok=True)
        place.write_text(f"#!/bin/sh\ntouch '{mark}'\n")
        place.chmod(0o755)
    shop.git("-c", "core.hooksPath=/dev/null", "config", "core.fsmonitor", f"touch '{mark}'")
    (shop.path / "link").symlink_to("/etc/hostname")
    (shop.path / ".gitattributes").write_text("*.py filter=evil diff=evil\n")
    quiet = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false")
    shop.git(*quiet, "add", "-A")
    shop.git(*quiet, "commit", "-qm", "hostile")
    shop.git(*quiet, "config", "filter.evil.smudge", f"touch '{mark}'; cat")
    patch = "\n".join(
        [
            *("diff --git a/wide.py b/wide.py", "--- a/wide.py", "+++ b/wide.py", "@@ -1,2 +1,2 @@"),
            *(" def pad(text, width):", "-    return text", "+    return text.ljust(width)", ""),
        ]
    )
    mark.unlink(missing_ok=True)
    await submit(world, "t1", shop.task(patch))
    await world.settle()
    await wait_out(world)
    events = await sound(world)
    assert not mark.exists()
    assert end(events) in ("task_done", "task_given_up")


GIVEN: dict[str, Any] = {
    "title": "t",
    "engine": "patch",
    "patch": "diff",
    "repos": [{"name": "r", "url": "/x", "verify": {"test": "pytest"}}],
}
REPO = GIVEN["repos"][0]
FAULTS: dict[str, tuple[Any, str]] = {
    "unknown field": ({"colour": "red"}, "colour"),
    "unknown field of a repository": ({"repos": [{**REPO, "colour": "red"}]}, "repos[0].colour"),
    "no title at all": ({"title": msgspec.UNSET}, "title"),
    "wrong type": ({"priority": 3}, "priority"),
    "wrong word": ({"priority": "soon"}, "priority"),
    "no repository": ({"repos": []}, "repos"),
    "a name that is a path": ({"repos": [{**REPO, "name": "../x"}]}, "repos[0].name"),
    "two of a name": ({"repos": [REPO, REPO]}, "repos"),
    "no title": ({"title": ""}, "title"),
    "no patch": ({"patch": None}, "patch"),
    "a patch for a repository that is none": ({"patch": {"other": "diff"}}, "patch"),
    "nothing that tests": ({"repos": [{"name": "r", "url": "/x"}]}, "repos[0].verify.test"),
    "a variable that is none": ({"repos": [{**REPO, "env": {"A B": "x"}}]}, "repos[0].env"),
    "a report outside": ({"repos": [{**REPO, "report": "../r.xml"}]}, "repos[0].report"),
    "an engine that is not there": ({"engine": "llm"}, "engine"),
    "noop that is not marked": ({"engine": "noop"}, "engine"),
    "a budget below all": ({"budget": {"wall_s": 0}}, "budget.wall_s"),
    "a dependency that is not there": ({"depends_on": ["t9"]}, "depends_on[0]"),
    "a dependency on itself": ({"key": "k", "depends_on": ["k"]}, "depends_on[0]"),
}


@pytest.fixture
async def api(world: World) -> AsyncIterator[httpx.AsyncClient]:
    """The scheduler's API."""

    async def ready() -> dict[str, str]:
        return {}

    transport = httpx.ASGITransport(app=http.build(world.running["scheduler"], ready))
    headers = {"authorization": "Bearer token-of-the-tests"}
    async with httpx.AsyncClient(transport=transport, base_url="http://scheduler", headers=headers) as client:
        yield client


@pytest.mark.parametrize("name", FAULTS)
async def test_a_malformed_task_is_refused_by_the_name_of_its_field(
    world: World, api: httpx.AsyncClient, name: str
) -> None:
    bent, field = FAULTS[name]
    given = {key: value for key, value in {**GIVEN, **bent}.items() if value is not msgspec.UNSET}
    answer = await api.post("/v1/tasks", json=given)
    told = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, told["status"]) == (422, 422)
    assert told["field"] == field
    assert field in told["detail"]
    assert await world.events() == []


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{", 400), (b"", 400), (b"[]", 422), (b'"x"', 422), (b'{"title": "\xff"}', 400)],
)
async def test_what_is_no_task_at_all_is_refused(
    world: World, api: httpx.AsyncClient, body: bytes, status: int
) -> None:
    answer = await api.post("/v1/tasks", content=body)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert await world.events() == []


@pytest.mark.parametrize("text", ["a\0b", "lone \ud800 surrogate"])
async def test_text_that_cannot_be_kept_is_refused(world: World, api: httpx.AsyncClient, text: str) -> None:
    content = msgspec.json.encode({**GIVEN, "title": "TEXT"}).replace(
        b"TEXT", text.encode("unicode_escape").replace(b"\\x00", b"\\u0000")
    )
    answer = await api.post("/v1/tasks", content=content)
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"
    assert await world.events() == []


async def test_the_same_key_is_the_same_task_and_another_body_is_refused(
    world: World, api: httpx.AsyncClient
) -> None:
    key = {"idempotency-key": "k-1"}
    task = {**GIVEN, "engine": "noop", "synthetic": True, "patch": None}
    first = await api.post("/v1/tasks", json=task, headers=key)
    again = await api.post("/v1/tasks", json=task, headers=key)
    other = await api.post("/v1/tasks", json={**task, "title": "another"}, headers=key)
    assert (first.status_code, again.status_code, other.status_code) == (202, 200, 422)
    assert first.json()["id"] == again.json()["id"]
    assert len(await world.events("task_submitted")) == 1
