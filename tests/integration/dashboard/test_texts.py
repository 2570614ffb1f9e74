"""Stored texts line by line: a page at a time, searched to their end, in constant memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from libs.evidence.store import EvidenceStore
from services.dashboard.api.texts import MATCHES, SHOWN
from tests.integration.dashboard.world import World

Program = Callable[[World], httpx.AsyncClient]


async def read(world: World, program: Program, path: str) -> dict[str, Any]:
    answer = await program(world).get(f"/api/v1/texts/{path}")
    assert answer.status_code == 200, answer.text
    read: dict[str, Any] = answer.json()
    return read


@pytest.mark.parametrize("compressed", [False, True])
async def test_evidence_is_read_by_pages_and_found_in(
    world: World, program: Program, tmp_path: Path, compressed: bool
) -> None:
    store = EvidenceStore(tmp_path / "evidence")
    lines = [f"line {number} of a long log" for number in range(1, 100_001)]
    digest = store.put_bytes("\n".join(lines).encode())
    if compressed:
        store.compress(digest)
    first = await read(world, program, f"evidence/{digest}")
    assert (first["first"], first["lines"][0]) == (1, lines[0])
    seen = [
        line
        for number in range(first["pages"])
        for line in (await read(world, program, f"evidence/{digest}?page={number}"))["lines"]
    ]
    assert seen == lines
    beyond = await read(world, program, f"evidence/{digest}?page={first['pages']}")
    assert (beyond["first"], beyond["lines"]) == (0, [])
    found = await read(world, program, f"evidence/{digest}?find=LINE 99999 ")
    assert found["more"] is False
    (match,) = found["matches"]
    assert match["line"] == 99_999
    page = await read(world, program, f"evidence/{digest}?page={match['page']}")
    assert page["lines"][match["line"] - page["first"]] == lines[99_998]
    many = await read(world, program, f"evidence/{digest}?find=log")
    assert (len(many["matches"]), many["more"]) == (MATCHES, True)


async def test_a_match_far_out_in_a_long_line_is_found(
    world: World, program: Program, tmp_path: Path
) -> None:
    text = "a" * 200_000 + "needle" + "b" * 200_000
    digest = EvidenceStore(tmp_path / "evidence").put_bytes(text.encode())
    (match,) = (await read(world, program, f"evidence/{digest}?find=needle"))["matches"]
    assert "needle" in match["text"]
    assert len(match["text"]) <= 200
    page = await read(world, program, f"evidence/{digest}")
    assert page["cut"] == {"1": len(text) - SHOWN}


async def test_what_is_not_utf_8_is_shown_as_far_as_it_goes(
    world: World, program: Program, tmp_path: Path
) -> None:
    digest = EvidenceStore(tmp_path / "evidence").put_bytes(b"caf\xe9\r\n\x00\xff")
    page = await read(world, program, f"evidence/{digest}")
    assert page["lines"] == ["caf\ufffd", "\x00\ufffd"]


async def test_files_of_an_incident_are_read_the_same_way(
    world: World, program: Program, tmp_path: Path
) -> None:
    folder = tmp_path / "incidents" / "inc-1" / "ledgerline"
    folder.mkdir(parents=True)
    (folder / "change.patch").write_text("+1\n-2\n")
    page = await read(world, program, "incidents/inc-1/ledgerline/change.patch")
    assert (page["lines"], page["size"], page["pages"]) == (["+1", "-2"], 6, 1)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("evidence/" + "0" * 64, 404),
        ("evidence/..%2f..%2fstack.json", 404),
        ("incidents/inc-1/..%2f..%2fsecrets%2fapi-token", 404),
        ("incidents/..%2fsecrets/api-token", 404),
        ("evidence/" + "0" * 64 + "?page=-1", 422),
        ("evidence/" + "0" * 64 + "?find=" + "x" * 201, 422),
    ],
)
async def test_what_is_not_there_is_refused(
    world: World, program: Program, tmp_path: Path, path: str, status: int
) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "api-token").write_text("the token")
    (tmp_path / "incidents" / "inc-1").mkdir(parents=True)
    answer = await program(world).get(f"/api/v1/texts/{path}")
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


async def test_damaged_evidence_is_not_shown(world: World, program: Program, tmp_path: Path) -> None:
    digest = EvidenceStore(tmp_path / "evidence").put_bytes(b"42 passed\n")
    (tmp_path / "evidence" / digest[:2] / digest).write_bytes(b"43 passed\n")
    answer = await program(world).get(f"/api/v1/texts/evidence/{digest}")
    assert (answer.status_code, answer.json()["title"]) == (500, "Evidence corrupt")


async def test_texts_want_the_token(world: World) -> None:
    transport = httpx.ASGITransport(app=world.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8800") as nobody:
        assert (await nobody.get("/api/v1/texts/evidence/" + "0" * 64)).status_code == 401
