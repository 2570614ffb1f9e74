"""Runs in the new process between fork and exec of every child; started by path, standard library only.

`python -I -S entry.py PARENT DEATH_SIGNAL NAMESPACE -- PROGRAM ARGUMENTS…`

A small program instead of code after the fork, because a forked Python with threads may deadlock there. It replaces
itself, so the id the supervisor knows is the program's own. It asks the kernel for a signal when the supervisor ends,
and where the supervisor is root it enters a namespace with one unprivileged user, since Postgres refuses root.
"""

from __future__ import annotations

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1
_CLONE_NEWUSER = 0x10000000

#: Exit codes as `env` and `nohup` use them.
NO_NAMESPACE, CANNOT_RUN, PARENT_GONE = 125, 127, 124

NAMESPACE_REFUSED = (
    "Postgres does not run as root and no user namespace could be made for it ({reason}):"
    " start the stack as a normal user, or allow user namespaces"
)


def main(arguments: list[str]) -> int:
    """Prepare this process and become the program; returns an exit code only if that is impossible."""
    parent, death_signal, namespace = int(arguments[0]), int(arguments[1]), arguments[2] == "1"
    program = arguments[4:]
    if sys.platform == "linux":
        if namespace:
            try:
                _enter_namespace()
            except OSError as error:
                print(NAMESPACE_REFUSED.format(reason=error.strerror), file=sys.stderr)
                return NO_NAMESPACE
        # After the namespace: a change of credentials may clear it.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
        if os.getppid() != parent:
            return PARENT_GONE
    try:
        os.execv(program[0], program)  # noqa: S606 (no shell is the point)
    except OSError as error:
        print(f"{program[0]}: {error.strerror}", file=sys.stderr)
    return CANNOT_RUN


def _enter_namespace() -> None:
    uid, gid = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    # The order is the kernel's: groups can be mapped only after setgroups is given up.
    for name, text in (("setgroups", "deny"), ("uid_map", f"1000 {uid} 1"), ("gid_map", f"1000 {gid} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
