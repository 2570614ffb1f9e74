"""Builds the surroundings in which git runs: nothing of the machine, the user or a repository takes part.

A repository is other people's text, and git can be told by text to run programs: hooks, filters, text
converters, file-system monitors, ssh commands, credential helpers, remote helpers. Two layers switch them
off. Configuration given by environment variables outranks every file. What it cannot outrank (attributes
of the tree) is overruled by `ATTRIBUTES`, which every repository of ours carries as `info/attributes`.
`uploadpack.packObjectsHook` needs no entry: git takes it only from files that are switched off here.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path

#: Overrules any `.gitattributes`: a checkout holds the bytes of the blobs, and a diff judges by content.
#: `!working-tree-encoding`, not `-`: git dies on a false encoding.
ATTRIBUTES = (
    "* -text -crlf !eol !ident !filter !working-tree-encoding !diff !merge !whitespace"
    " !export-ignore !export-subst !conflict-marker-size\n"
)

AUTHOR_NAME = "Autopilot"
AUTHOR_EMAIL = "autopilot@localhost"

_SETTINGS: Mapping[str, str] = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.attributesFile": "/dev/null",
    "core.excludesFile": "/dev/null",
    "core.alternateRefsCommand": "true",
    "core.pager": "cat",
    "core.editor": "true",
    "core.autocrlf": "false",
    "core.safecrlf": "false",
    "core.eol": "lf",
    "core.symlinks": "true",
    "core.fileMode": "true",
    "core.ignoreCase": "false",
    "core.precomposeUnicode": "false",
    "core.protectHFS": "true",
    "core.protectNTFS": "true",
    # The record says that a commit exists only after git said so; a power cut must not take it back.
    "core.fsync": "committed,loose-object,reference",
    "core.sparseCheckout": "false",
    "core.splitIndex": "false",
    "core.untrackedCache": "false",
    "core.logAllRefUpdates": "false",
    "core.quotePath": "true",
    "commit.gpgSign": "false",
    "credential.helper": "",
    "diff.ignoreSubmodules": "all",
    "fetch.recurseSubmodules": "false",
    "gc.auto": "0",
    "gc.autoDetach": "false",
    "init.defaultBranch": "main",
    "maintenance.auto": "false",
    "merge.renames": "true",
    "protocol.ext.allow": "never",
    "push.recurseSubmodules": "no",
    "receive.autogc": "false",
    "safe.directory": "*",
    "submodule.recurse": "false",
}

#: What git may still see of ours: where programs are, how to reach the network, which ssh agent to ask.
_PASSED = (
    "PATH",
    "SSH_AUTH_SOCK",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
)


def hardened(home: Path, outer: Mapping[str, str] | None = None) -> dict[str, str]:
    """Returns the whole environment for a git process; `home` is an empty directory of ours."""
    source = os.environ if outer is None else outer
    environment = {name: source[name] for name in _PASSED if name in source}
    environment.setdefault("PATH", os.defpath)
    environment |= {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home),
        "LC_ALL": "C",
        "TZ": "UTC",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_SYSTEM": "/dev/null",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "true",
        "SSH_ASKPASS": "true",
        # Outranks core.sshCommand of any file; never asks, never lingers.
        "GIT_SSH_COMMAND": "ssh -o BatchMode=yes -o ControlMaster=no -o ControlPath=none",
        "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh",
        "GIT_PROTOCOL_FROM_USER": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_LITERAL_PATHSPECS": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_PAGER": "cat",
        "GIT_EDITOR": "true",
        "GIT_MERGE_AUTOEDIT": "no",
        # The data directory may lie inside a checkout of the user's: its repository must not be discovered.
        "GIT_CEILING_DIRECTORIES": str(home.parent),
        "GIT_AUTHOR_NAME": AUTHOR_NAME,
        "GIT_AUTHOR_EMAIL": AUTHOR_EMAIL,
        "GIT_COMMITTER_NAME": AUTHOR_NAME,
        "GIT_COMMITTER_EMAIL": AUTHOR_EMAIL,
        "GIT_CONFIG_COUNT": str(len(_SETTINGS)),
    }
    for number, (key, value) in enumerate(_SETTINGS.items()):
        environment[f"GIT_CONFIG_KEY_{number}"] = key
        environment[f"GIT_CONFIG_VALUE_{number}"] = value
    return environment


def further(settings: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Returns the variables that add settings to those of `hardened`, for one process."""
    variables: dict[str, str] = {}
    number = len(_SETTINGS)
    for key, value in settings:
        variables |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
        number += 1
    return {"GIT_CONFIG_COUNT": str(number), **variables}


def serving(command: str) -> str:
    """Returns the shell words that serve a local repository (`upload-pack`, `receive-pack`) in safety.

    Git drops configuration variables before it enters the other repository, so they are given again here.
    """
    settings = {
        "safe.directory": "*",
        "core.hooksPath": "/dev/null",
        "core.fsmonitor": "false",
        "core.alternateRefsCommand": "true",
        "core.fsync": "committed,loose-object,reference",
        "gc.auto": "0",
        "maintenance.auto": "false",
        "receive.autogc": "false",
        "receive.denyCurrentBranch": "refuse",
        # A commit named in full is found also when no branch holds it (a detached HEAD, a rewritten branch).
        "uploadpack.allowAnySHA1InWant": "true",
    }
    words = ["git"]
    for key, value in settings.items():
        words += ["-c", f"{key}={value}"]
    return shlex.join([*words, command])
