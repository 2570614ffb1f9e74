"""Tells which addresses are repositories or issues of a GitHub site, and names them."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import msgspec

_NAME = r"[A-Za-z0-9._-]{1,100}"
_PATH = re.compile(rf"/?(?P<owner>{_NAME})/(?P<name>{_NAME}?)(?:\.git)?/?")
_ISSUE = re.compile(rf"/(?P<owner>{_NAME})/(?P<name>{_NAME})/(?:issues|pull)/(?P<number>[0-9]{{1,10}})/?")
_SCP = re.compile(r"(?:[^@/:\s]+@)?(?P<host>[^@/:\s]+):(?P<path>[^:].*)")


class Address(msgspec.Struct, frozen=True):
    """Names a repository of a site."""

    owner: str
    name: str

    def __str__(self) -> str:
        return f"{self.owner}/{self.name}"

    @property
    def path(self) -> str:
        """Returns where its part of the API begins."""
        return f"/repos/{self.owner}/{self.name}"


def parse(url: str, site: str) -> Address | None:
    """Returns the repository of the site that an address means, or None for any other address.

    Understands `https://host/owner/name(.git)`, `ssh://git@host/owner/name` and `git@host:owner/name`.
    """
    web = urlsplit(site)
    if "://" in url:
        try:
            parts = urlsplit(url)
            same = _same_host(parts.hostname, web.hostname)
            same &= parts.scheme in ("ssh", "git+ssh") or (parts.scheme, parts.port) == (web.scheme, web.port)
        except ValueError:
            return None
        path = parts.path
    elif match := _SCP.fullmatch(url):
        same, path = _same_host(match["host"], web.hostname), match["path"]
    else:
        return None
    found = _PATH.fullmatch(path)
    if not same or found is None or {found["owner"], found["name"]} & {".", "..", ".git", ""}:
        return None
    return Address(found["owner"], found["name"])


def parse_issue(url: str, site: str) -> tuple[Address, int] | None:
    """Returns the repository and number of an issue's address on the site, or None."""
    parts, web = urlsplit(url), urlsplit(site)
    found = _ISSUE.fullmatch(parts.path)
    if found is None or (parts.scheme, parts.netloc.lower()) != (web.scheme, web.netloc.lower()):
        return None
    return Address(found["owner"], found["name"]), int(found["number"])


def ssh_forms(site: str) -> tuple[str, ...]:
    """Returns how addresses of the site begin that go by ssh."""
    host = urlsplit(site).hostname
    return (f"git@{host}:", f"ssh://git@{host}/")


def _same_host(given: str | None, host: str | None) -> bool:
    return given is not None and host is not None and given.lower().removeprefix("www.") == host.lower()
