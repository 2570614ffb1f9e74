"""A small repository in the sandbox, and a search over it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from libs.git.broker import Broker
from libs.repair.repair import Found, Settings, repair
from libs.verification.types import Limits, Request
from tests.system.shop import PYTEST, Shop, require_sandbox

ENV = {"PATH": f"{Path(sys.executable).parent}:$PATH", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
#: Time enough on a busy machine: a search ends soon after it has found something.
SETTINGS = Settings(budget_s=120)


class Clinic:
    """Searches for repairs of one repository."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.shop = Shop(root / "shop")

    async def search(self, files: Mapping[str, str], settings: Settings = SETTINGS, **request: Any) -> Found:
        """Commit the files and search; the shop's own fault is mended with them."""
        self.shop.git("rm", "-q", "--ignore-unmatch", "wide.py", "test_wide.py")
        self.shop.commit(files)
        mirror = await Broker(self.root / "data").mirror(self.shop.url)
        base = await mirror.resolve("main")
        asked = Request(
            repo="shop",
            repo_key="shop",
            base_commit=base,
            commit=base,
            test=f"{PYTEST} .",
            fail_to_pass=(f"{PYTEST} test_it.py",),
            env=ENV,
            limits=Limits(wall_s=60, memory_mb=512),
        )
        asked = msgspec.structs.replace(asked, **request)
        workdir = self.root / "work"
        try:
            return await repair(asked, mirror, workdir=workdir, settings=settings)
        finally:
            assert not workdir.exists(), "nothing is left behind"


@pytest.fixture
def clinic(tmp_path: Path) -> Clinic:
    require_sandbox()
    return Clinic(tmp_path)
