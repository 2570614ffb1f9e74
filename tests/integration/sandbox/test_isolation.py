"""What a command can neither see nor touch."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from libs.sandbox.command import Mount, Outcome
from libs.sandbox.launch import Backend

Shell = Callable[..., Coroutine[Any, Any, tuple[Outcome, str]]]


def python(tmp_path: Path, code: str) -> tuple[str, Mount]:
    """A script that runs the code with the sandbox's own Python."""
    folder = tmp_path / "code"
    folder.mkdir(exist_ok=True)
    (folder / "main.py").write_text(code, encoding="utf-8")
    return "exec python3 /code/main.py", Mount(source=str(folder), target="/code")


async def test_it_cannot_read_the_users_home(shell: Shell, tmp_path: Path) -> None:
    canary = tmp_path / "id_ed25519"
    canary.write_text("secret", encoding="utf-8")
    home = os.path.expanduser("~")

    outcome, text = await shell(f"cat '{canary}'; ls -A '{home}'; ls -A ~; ls -A /home; ls /run /var /sys")

    assert outcome.exit_code != 0
    assert "secret" not in text
    assert [line for line in text.splitlines() if "No such file" not in line] == ["sandbox"]


async def test_its_environment_holds_what_was_given_and_nothing_else(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY_TOKEN", "secret")

    _, text = await shell("env", env={"PATH": "/usr/bin:/bin", "GIVEN": "two  words"}, cookie="c-1")

    assert sorted(line for line in text.splitlines() if not line.startswith(("PWD=", "SHLVL=", "_="))) == [
        "AUTOPILOT_COOKIE=c-1",
        "GIVEN=two  words",
        "HOME=/home/sandbox",
        "LANG=C.UTF-8",
        "PATH=/usr/bin:/bin",
        "TMPDIR=/tmp",
    ]


async def test_it_sees_no_process_and_no_environment_of_the_host(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY_TOKEN", "secret")

    _, text = await shell("cat /proc/*/environ | tr '\\0' '\\n'; echo; echo pids /proc/[0-9]*")

    assert "CANARY_TOKEN" not in text
    pids = [int(Path(word).name) for word in text.splitlines()[-1].split()[1:]]
    assert max(pids) < 20, "these are numbers of a namespace that has just begun"


async def test_process_1_cannot_be_killed_and_tells_nothing(shell: Shell, backend: Backend) -> None:
    outcome, text = await shell(
        "cat /proc/1/environ; head -c1 /proc/1/mem; ls /proc/1/root;"
        "for fd in 1 2 3 4 5 6 7; do readlink /proc/1/fd/$fd; echo forged > /proc/1/fd/$fd; done;"
        "for s in HUP INT TERM KILL STOP USR1 QUIT; do kill -$s 1; done; sleep 0.1; echo alive; exit 5"
    )

    assert outcome.exit_code == 5
    assert text.endswith("alive\n")
    assert "PATH=" not in text
    if backend.kind == "namespaces":  # bubblewrap's may be looked at, but it holds nothing
        assert "forged" not in text
        assert text.count("ermission denied") >= 3
        assert "pipe:" not in text


async def test_it_cannot_connect_to_a_listener_on_the_hosts_loopback(shell: Shell, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        port = listener.getsockname()[1]
        script, code = python(
            tmp_path,
            f"import socket\nsocket.create_connection(('127.0.0.1', {port}), timeout=5)\nprint('in')",
        )

        outcome, text = await shell(script, code)

        assert outcome.exit_code == 1
        assert "ConnectionRefusedError" in text
        with pytest.raises(BlockingIOError):
            listener.accept()


async def test_it_has_a_loopback_of_its_own_and_no_way_out(shell: Shell, tmp_path: Path) -> None:
    script, code = python(
        tmp_path,
        "import socket\n"
        "server = socket.create_server(('127.0.0.1', 0))\n"
        "client = socket.create_connection(server.getsockname(), timeout=5)\n"
        "server.accept()[0].sendall(b'own')\n"
        "print(client.recv(3).decode(), [name for _, name in socket.if_nameindex() if name != 'lo'])\n"
        "try:\n"
        "    socket.create_connection(('192.0.2.1', 80), timeout=5)\n"
        "except OSError as error:\n"
        "    print(error.strerror)\n",
    )

    _, text = await shell(script, code)

    assert text == "own []\nNetwork is unreachable\n"


async def test_it_cannot_reach_an_abstract_socket_of_the_host(shell: Shell, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        name = f"\0canary-{os.getpid()}"
        listener.bind(name)
        listener.listen()
        script, code = python(
            tmp_path, f"import socket\nsocket.socket(socket.AF_UNIX).connect({name!r})\nprint('in')"
        )

        outcome, text = await shell(script, code)

    assert outcome.exit_code == 1
    assert "ConnectionRefusedError" in text


async def test_it_inherits_no_descriptor(shell: Shell) -> None:
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    try:
        _, text = await shell("ls /proc/self/fd; readlink /proc/self/fd/0")
    finally:
        os.close(reader)
        os.close(writer)

    assert text.split() == ["0", "1", "2", "3", "/dev/null"]  # 3 is what `ls` itself opens


async def test_it_has_no_power_over_the_machine(shell: Shell, tmp_path: Path) -> None:
    before = Path("/proc/sys/kernel/core_pattern").read_text(encoding="ascii")

    outcome, text = await shell(
        "id -u; grep -E '^(Cap|NoNewPrivs)' /proc/self/status | tr -s '\\t\\n' ' '; echo;"
        "echo '|/tmp/x' > /proc/sys/kernel/core_pattern;"
        "echo c > /proc/sysrq-trigger;"
        "chmod 600 /dev/null; chown 1:1 /dev/zero; mknod /tmp/sda b 8 0;"
        "mount -t tmpfs none /tmp; unshare -Ur true; unshare -m true; chroot /tmp; hostname other; exit 9"
    )

    lines = text.splitlines()
    assert lines[0] == "1000"
    powers = dict(zip(lines[1].split()[::2], lines[1].split()[1::2], strict=True))
    assert powers.pop("NoNewPrivs:") == "1"
    assert set(powers.values()) == {"0" * 16}
    assert len(lines) >= 11, "each attempt was refused with a message"
    assert outcome.exit_code == 9
    assert Path("/proc/sys/kernel/core_pattern").read_text(encoding="ascii") == before
    assert os.stat("/dev/null").st_mode & 0o777 == 0o666


async def test_what_programs_usually_need_is_there(shell: Shell) -> None:
    outcome, text = await shell(
        "set -e; echo x > /dev/null; head -c8 /dev/urandom | wc -c; echo a | tee /dev/stderr >&2; id -un;"
        "echo t > /tmp/t; echo s > /dev/shm/s; echo h > ~/h; cat /tmp/t /dev/shm/s ~/h; mktemp > /dev/null;"
        "awk 'BEGIN { print 6*7 }'; getent hosts localhost | wc -l; cat < /dev/fd/0; hostname;"
        'python3 -c "import os; print(len(os.openpty()))"'
    )

    assert text.split() == ["8", "a", "a", "sandbox", "t", "s", "h", "42", "1", "sandbox", "2"]
    assert outcome.exit_code == 0


async def test_setting_a_user_id_gains_nothing(shell: Shell) -> None:
    outcome, text = await shell("test -u /usr/bin/su || echo none; su -c id </dev/null; id -u")

    assert "uid=0" not in text
    assert text.endswith("1000\n")
    assert outcome.exit_code == 0
