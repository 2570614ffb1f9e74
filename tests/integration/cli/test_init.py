"""`init` on real repositories: what it writes can be submitted, or says what is missing."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from autopilot.cli import taskfile
from autopilot.cli.failure import UsageError
from autopilot.cli.init import TASK_FILE
from autopilot.cli.main import app
from contracts.policy import POLICY_FILE, Policy
from contracts.task import TaskSpec
from tests.system.shop import Shop


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "the user's shop")


def init(*arguments: str) -> str:
    """Run the command; returns what it printed."""
    done = CliRunner().invoke(app, ["init", *arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output


def test_what_it_writes_can_be_submitted_as_it_is(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    tools = shop.path / ".venv" / "bin"
    tools.mkdir(parents=True)
    said = init(str(shop.path))
    assert "Before it can" not in said
    spec: TaskSpec = taskfile.load(shop.path / TASK_FILE)
    (repo,) = spec.repos
    assert repo.url == str(shop.path)
    assert (repo.name, repo.base, repo.verify.test) == ("the-user-s-shop", "main", "python -m pytest -q")
    assert repo.env == {"PATH": f"{tools}:$PATH"}
    assert msgspec.toml.decode((shop.path / POLICY_FILE).read_bytes(), type=Policy) == Policy()


def test_from_a_folder_below_it_writes_at_the_top(shop: Shop) -> None:
    (shop.path / "below").mkdir()
    init(str(shop.path / "below"))
    assert (shop.path / TASK_FILE).exists()
    assert (shop.path / POLICY_FILE).exists()


def test_what_is_there_stays_unless_it_is_forced(shop: Shop) -> None:
    (shop.path / POLICY_FILE).write_text("mine")
    with pytest.raises(UsageError, match="--force"):
        init(str(shop.path))
    assert (shop.path / POLICY_FILE).read_text() == "mine"
    assert not (shop.path / TASK_FILE).exists(), "all or nothing"
    init(str(shop.path), "--force")
    assert (shop.path / POLICY_FILE).read_text() != "mine"


def test_no_checkout_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no git checkout"):
        init(str(tmp_path))
    with pytest.raises(UsageError, match="no directory"):
        init(str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("file", "text", "command"),
    [
        ("go.mod", "module x\n", "go test ./..."),
        ("Cargo.toml", "[package]\n", "cargo test"),
        ("package.json", "{}", "npm test --silent"),
        ("Makefile", "all:\n\ntest: all\n\ttrue\n", "make test"),
    ],
)
def test_the_test_command_is_read_off_the_repository(
    tmp_path: Path, shop: Shop, file: str, text: str, command: str
) -> None:
    place = tmp_path / "other"
    place.mkdir()
    shop.git("init", "-q", cwd=place)
    (place / file).write_text(text)
    init(str(place))
    assert taskfile.load(place / TASK_FILE).repos[0].verify.test == command


def test_what_cannot_be_guessed_is_asked_for(tmp_path: Path, shop: Shop) -> None:
    place = tmp_path / "other"
    place.mkdir()
    shop.git("init", "-q", cwd=place)
    said = init(str(place))
    assert "Before it can be submitted" in said
    assert "verify.test" in said
