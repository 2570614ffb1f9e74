"""Landlock: a second wall behind the read-only mounts.

Only rights that change the file system are handled, so reading is left to the mounts. A process under it
can also not mount, remount or move anything. Kernels before 5.19 are left without it: there it would forbid
every rename from one directory to another.
"""

import ctypes
import os

from libs.sandbox.kernel import syscall

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION, _PATH_BENEATH = 1, 1
_WRITE_FILE = 1 << 1
#: remove and make files, directories, devices, sockets, fifos and links (bits 4 to 12), and rename across
#: (13)
_CHANGE_DIRECTORY = sum(1 << bit for bit in range(4, 14))
_TRUNCATE = 1 << 14


def _version() -> int:
    try:
        return syscall(_CREATE_RULESET, "landlock", None, 0, _VERSION)
    except OSError:
        return 0


def allow_writing_only(paths: list[str]) -> bool:
    """Forbid this process and its children every change outside the paths; False where the kernel cannot.

    Needs no_new_privs.
    """

    class PathBeneath(ctypes.Structure):
        _pack_ = 1
        _fields_ = [("allowed", ctypes.c_uint64), ("parent_fd", ctypes.c_int32)]

    version = _version()
    if version < 2:
        return False
    file_rights = _WRITE_FILE | (_TRUNCATE if version >= 3 else 0)
    handled = ctypes.c_uint64(file_rights | _CHANGE_DIRECTORY)
    ruleset = syscall(_CREATE_RULESET, "landlock ruleset", ctypes.byref(handled), ctypes.sizeof(handled), 0)
    try:
        for path in paths:
            parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
            try:
                rights = handled.value if os.path.isdir(path) else file_rights
                rule = PathBeneath(allowed=rights, parent_fd=parent)
                syscall(_ADD_RULE, path, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0)
            finally:
                os.close(parent)
        syscall(_RESTRICT_SELF, "landlock", ruleset, 0)
    finally:
        os.close(ruleset)
    return True
