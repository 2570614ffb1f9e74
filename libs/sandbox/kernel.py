"""System calls that Python's standard library does not offer.

Imported by a bare interpreter (`python -I -S`) at the start of every sandbox: standard library only, and
none of the slow parts of it (`json`, `re`, `typing`).
"""

import ctypes
import os

NEWNS, NEWCGROUP, NEWUTS, NEWIPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
NEWUSER, NEWPID, NEWNET = 0x10000000, 0x20000000, 0x40000000

MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
MNT_DETACH = 2
#: attributes of mount_setattr(2)
RDONLY, NOSUID, NODEV, NOEXEC = 1, 2, 4, 8

_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_CAPBSET_DROP, _PR_SET_CHILD_SUBREAPER = 1, 4, 24, 36
_PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 38, 47, 4
_CAPABILITY_VERSION_3 = 0x20080522
_MOUNT_SETATTR = 442
_KEYCTL = {"x86_64": 250, "aarch64": 219}
_KEYCTL_JOIN_SESSION_KEYRING = 1

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result


def syscall(number: int, what: str, *arguments: object) -> int:
    """Make a system call and return its result; `what` names it in the OSError raised when it fails."""
    widened = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return _checked(int(_libc.syscall(ctypes.c_long(number), *widened)), what)


def unshare(flags: int, what: str) -> None:
    """Leave the namespaces named by the flags for new ones."""
    _checked(_libc.unshare(ctypes.c_int(flags)), what)


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """Mount, bind or change the propagation of a mount, as mount(2)."""
    result = _libc.mount(
        os.fsencode(source), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), options.encode()
    )
    _checked(result, target)


def restrict_mount(target: str, attributes: int, recursive: bool = True) -> None:
    """Add attributes to a mount and, since a bind brings its submounts along, to everything below it."""

    class MountAttr(ctypes.Structure):
        _fields_ = [(name, ctypes.c_uint64) for name in ("attr_set", "attr_clr", "propagation", "userns_fd")]

    wanted = MountAttr(attr_set=attributes)
    flags = _AT_RECURSIVE if recursive else 0
    syscall(
        _MOUNT_SETATTR,
        target,
        _AT_FDCWD,
        os.fsencode(target),
        flags,
        ctypes.byref(wanted),
        ctypes.sizeof(wanted),
    )


def pivot_root(new: str, old: str) -> None:
    """Make `new` the root and put the previous root at `old`."""
    _checked(_libc.pivot_root(os.fsencode(new), os.fsencode(old)), "pivot_root")


def unmount(target: str) -> None:
    """Detach a mount and all below it."""
    _checked(_libc.umount2(os.fsencode(target), ctypes.c_int(MNT_DETACH)), target)


def set_hostname(name: str) -> None:
    """Name the machine, as seen in this UTS namespace."""
    _checked(_libc.sethostname(name.encode(), ctypes.c_size_t(len(name.encode()))), "sethostname")


def _prctl(what: str, option: int, argument: int = 0, more: int = 0) -> None:
    zero = ctypes.c_ulong(0)
    _checked(
        _libc.prctl(ctypes.c_int(option), ctypes.c_ulong(argument), ctypes.c_ulong(more), zero, zero), what
    )


def die_with_parent(signal_number: int) -> None:
    """Ask for this signal when the parent's thread ends; a later change of credentials undoes it."""
    _prctl("PR_SET_PDEATHSIG", _PR_SET_PDEATHSIG, signal_number)


def become_subreaper(*, on: bool = True) -> None:
    """Become the parent of descendants whose own parent dies, or be it no longer."""
    _prctl("PR_SET_CHILD_SUBREAPER", _PR_SET_CHILD_SUBREAPER, int(on))


def hide_from_ptrace() -> None:
    """Close this process's /proc/<pid>/{fd,mem,environ,…} to others of the same user, until it executes."""
    _prctl("PR_SET_DUMPABLE", _PR_SET_DUMPABLE, 0)


def forbid_new_privileges() -> None:
    """Make set-user-ID bits and file capabilities mean nothing from now on."""
    _prctl("PR_SET_NO_NEW_PRIVS", _PR_SET_NO_NEW_PRIVS, 1)


def drop_capabilities() -> None:
    """Give up every capability in every set, the bounding set included."""
    for capability in range(64):
        try:
            _prctl("PR_CAPBSET_DROP", _PR_CAPBSET_DROP, capability)
        except OSError:
            break  # EINVAL: beyond the last one that this kernel knows
    _prctl("PR_CAP_AMBIENT", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    _checked(_libc.capset(header, nothing), "capset")


def leave_session_keyring() -> None:
    """Start an empty session keyring, since a new user namespace keeps the old one and the keys in it."""
    number = _KEYCTL.get(os.uname().machine)
    if number is not None:
        try:  # noqa: SIM105  (contextlib is one more import at each start)
            syscall(number, "keyctl", _KEYCTL_JOIN_SESSION_KEYRING, None)
        except OSError:
            pass  # a kernel, or a container's seccomp filter, without keyrings has none to leak
