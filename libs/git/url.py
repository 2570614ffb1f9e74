"""Judges repository addresses: which are allowed, which are on this machine, and how they are named."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from libs.git.error import UnsupportedRepositoryError

_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")
_REMOTE_HELPER = re.compile(r"^[A-Za-z0-9+.-]+::")
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://")
_SCP = re.compile(r"^[^/:\s]+:[^:].*$")
_SCHEMES = frozenset({"file", "git", "http", "https", "ssh"})
_SLUG_LENGTH = 40


def redact(text: str) -> str:
    """Returns the text with user names and passwords of addresses replaced."""
    return _CREDENTIALS.sub("***@", text)


def check(url: str) -> None:
    """Refuses addresses that git would not take as plain ones; raises UnsupportedRepositoryError.

    Relative paths are refused because services run in folders of their own.
    """
    shown = redact(url)
    if not url or url.startswith("-") or any(ord(character) < 32 for character in url):
        raise UnsupportedRepositoryError(repr(shown), "this is not a repository address")
    if _REMOTE_HELPER.match(url):
        raise UnsupportedRepositoryError(shown, "remote helpers (name::address) run programs and are refused")
    if scheme := _SCHEME.match(url):
        if scheme[1] not in _SCHEMES:
            allowed = ", ".join(sorted(_SCHEMES))
            raise UnsupportedRepositoryError(shown, f"{scheme[1]}:// is not one of {allowed}")
    elif not url.startswith("/") and not _SCP.match(url):
        raise UnsupportedRepositoryError(shown, "a relative path; give an absolute path or an address")


def local_path(url: str) -> Path | None:
    """Returns the folder that the address names on this machine, or None for an address elsewhere."""
    if url.startswith("/"):
        return Path(url)
    if url.startswith("file://"):
        return Path(unquote(urlsplit(url).path))
    return None


def repo_key(url: str) -> str:
    """Returns a name for the repository that is readable, safe as a file name and distinct per address.

    Credentials, a trailing slash and `file://` make no difference.
    """
    path = local_path(url)
    plain = _CREDENTIALS.sub("", str(path) if path is not None else url).rstrip("/")
    tail = plain.rsplit("/", 2)[-2:] if path is None else plain.rsplit("/", 1)[-1:]
    slug = re.sub(r"[^A-Za-z0-9]+", "-", "-".join(tail).removesuffix(".git")).strip("-").lower()
    digest = hashlib.sha256(plain.encode("utf-8", "surrogateescape")).hexdigest()[:12]
    return f"{slug[:_SLUG_LENGTH] or 'repository'}-{digest}"
