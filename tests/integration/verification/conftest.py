"""A repository with a fault, its private clone, and a verifier that shares its base results."""

from __future__ import annotations

import hashlib
import sys
import uuid
from pathlib import Path
from typing import Any

import msgspec
import pytest

from libs.git.broker import Broker
from libs.git.mirror import Mirror
from libs.verification.cache import BaseCache
from libs.verification.types import Evidence, Limits, Request, Verification
from libs.verification.verify import verify
from tests.integration.verification.shop import Repository

TEST = "python -m pytest -q -p no:cacheprovider tests"
FAIL_TO_PASS = "python -m pytest -q -p no:cacheprovider tests/test_money.py::test_discount"


class Court:
    """Verifies commits of one repository."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "shop").mkdir()
        self.repository = Repository(folder / "shop")
        self.broker = Broker(folder / "data")
        self.cache = BaseCache(folder / "cache")
        self.evidence: dict[str, bytes] = {}

    async def mirror(self) -> Mirror:
        return await self.broker.mirror(str(self.repository.path))

    def request(self, commit: str, **settings: Any) -> Request:
        request = Request(
            repo="shop",
            repo_key="shop",
            base_commit=self.repository.base,
            commit=commit,
            test=TEST,
            fail_to_pass=(TEST,),
            env={"PATH": f"{Path(sys.executable).parent}:$PATH", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            limits=Limits(wall_s=60, memory_mb=512),
        )
        return msgspec.structs.replace(request, **settings)

    async def judge(self, edits: dict[str, str | bytes | None], **settings: Any) -> Verification:
        """Commit the edits and verify them."""
        return await self.verify(self.request(self.repository.change(edits), **settings))

    async def verify(self, request: Request) -> Verification:
        workdir = self.folder / f"work-{uuid.uuid4().hex}"
        try:
            return await verify(
                request, await self.mirror(), workdir=workdir, keep=self.keep, base_cache=self.cache
            )
        finally:
            assert not workdir.exists()

    async def keep(self, name: str, content: Path | bytes, media_type: str) -> Evidence:
        data = content if isinstance(content, bytes) else content.read_bytes()
        self.evidence[name] = data
        digest = hashlib.sha256(data).hexdigest()
        return Evidence(digest=digest, name=name, media_type=media_type, size=len(data))


@pytest.fixture(scope="session")
def court(tmp_path_factory: pytest.TempPathFactory) -> Court:
    return Court(tmp_path_factory.mktemp("court"))
