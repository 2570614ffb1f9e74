"""Some seeds, and what makes seeds worth anything: they replay, and the planted bugs still fit the code they spoil."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests.simulation.planting import PLANTED, ROOT, copy, names, plant, search
from tests.simulation.run import run

#: Seeds of `make test`; `make simulate SEEDS=1000` runs more of them.
SEEDS = range(1, 13)
#: One in which an API that outlived its process answered from what it had heard in the run before.
LINGERING = 16


@pytest.fixture(autouse=True)
def _logging() -> Iterator[None]:
    """A run listens to the product's log in its own way."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_goes_wrong_no_promise_is_broken(seed: int) -> None:
    result = run(seed)
    assert result.breaches == [], f"replay: python -m tests.simulation --seed {seed}"
    assert result.events > 0


def test_a_seed_replays_identically_in_a_process_of_its_own_and_after_others() -> None:
    told = [_told(hash_seed) for hash_seed in ("1", "2")]
    # What the first run of a process left behind has once changed the next.
    assert [run(LINGERING).digest for _ in range(2)] == told


def _told(hash_seed: str) -> str:
    program = f"from tests.simulation.run import run; print(run({LINGERING}).digest)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize("name", names())
def test_a_planted_bug_fits_the_code_that_it_spoils(name: str) -> None:
    subprocess.run(["git", "apply", "--check", str(PLANTED / f"{name}.patch")], cwd=ROOT, check=True)


@pytest.mark.drill
@pytest.mark.parametrize("name", names())
def test_a_planted_bug_is_found(name: str, tmp_path: Path) -> None:
    copy(tmp_path)
    plant(name, tmp_path)
    found = search(tmp_path, "--seeds", "1000")
    assert found.returncode == 1, found.stderr
    assert "replay: python -m tests.simulation --seed" in found.stdout
