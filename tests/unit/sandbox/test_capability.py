"""A set-up that is refused is explained in one line, with a remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from libs.sandbox import capability
from libs.sandbox.capability import remedy
from libs.sandbox.command import Command
from libs.sandbox.errors import SandboxError, SandboxUnavailableError
from libs.sandbox.launch import Backend
from libs.sandbox.runner import run


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        ("user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=15000"),
        ("kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
        (
            "kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
    ],
)
def test_a_switch_of_the_kernel_is_named(tmp_path: Path, setting: str, value: str, expected: str) -> None:
    (tmp_path / setting).parent.mkdir()
    (tmp_path / setting).write_text(f"{value}\n", encoding="ascii")

    line = remedy(SandboxError("user namespace", "Operation not permitted"), tmp_path)

    assert expected in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("stage", "cause", "expected"),
    [
        ("user namespace", "Operation not permitted: unshare", "seccomp=unconfined"),
        ("proc", "Operation not permitted: /proc", "systempaths=unconfined"),
        ("mount /usr", "Function not implemented: /usr", "older than 5.12"),
        ("probe", "the set-up failed silently", "install bubblewrap"),
    ],
)
def test_the_failed_step_is_named(tmp_path: Path, stage: str, cause: str, expected: str) -> None:
    line = remedy(SandboxError(stage, cause), tmp_path)

    assert expected in line
    assert cause in line


async def test_without_a_sandbox_nothing_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(backend: Backend) -> None:
        raise SandboxError("user namespace", "Operation not permitted")

    monkeypatch.setattr(capability, "try_out", refuse)
    monkeypatch.setattr(capability, "_found", None)
    output = tmp_path / "output"

    with pytest.raises(SandboxUnavailableError):
        await run(Command(script=f"touch {tmp_path}/ran", cwd="/", env={}, mounts=()), output)

    assert list(tmp_path.iterdir()) == []
    assert capability.probe().kind is None
    assert "user namespaces" in capability.probe().missing
