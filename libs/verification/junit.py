"""Reads the JUnit XML that runners other than pytest write.

The file is written by a process in which tested code runs, so it proves less than the observer's report; the
control run with failing tests is what a forged file does not survive. docs/threats.md says how far that goes.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

from libs.verification.report import Report, Seen, stable_id
from libs.verification.types import RequestError, Status

_MAX_BYTES = 32 << 20


def check_path(report: str) -> None:
    """Raise `RequestError` unless the path lies inside the checkout."""
    path = PurePosixPath(report)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise RequestError(f"report: {report!r} must be a path inside the repository")


def read(tree: Path, report: str) -> Report:
    """Read the report below a tree that untrusted code wrote to; one that is not acceptable is a violation."""
    try:
        text = _read_below(tree, report)
    except FileNotFoundError:
        return Report(unfinished=(f"no report was written to {report}",))
    except OSError as error:
        return Report(observed=True, violations=(f"{report} is not an ordinary file ({error.strerror})",))
    try:
        content = text.decode("utf-8-sig")
        if "<!DOCTYPE" in content or "<!ENTITY" in content:
            raise ValueError("it declares a document type")
        root = ElementTree.fromstring(content)  # noqa: S314  entities were refused above, size by the reader
    except (ValueError, ElementTree.ParseError) as error:
        return Report(observed=True, violations=(f"{report} is not a JUnit report: {error}",))
    tests = tuple(_seen(case) for case in root.iter("testcase"))
    return Report(observed=True, tests=tests)


def remove(tree: Path, report: str) -> None:
    """Remove a report that was there before the run, so that only a new one can be read."""
    path = tree / report
    if path.is_symlink() or path.is_file():
        path.unlink()


def _read_below(tree: Path, report: str) -> bytes:
    """Open each step without following links: the tested code may have put any there."""
    *folders, name = PurePosixPath(report).parts
    place = os.open(tree, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for folder in folders:
            below = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=place)
            os.close(place)
            place = below
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=place)
    finally:
        os.close(place)
    with os.fdopen(file, "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise OSError(0, "not a regular file")
        content = stream.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise OSError(0, "too large")
    return content


def _seen(case: ElementTree.Element) -> Seen:
    name = case.get("name", "")
    group = case.get("classname") or case.get("file") or ""
    tags = {child.tag for child in case}
    status: Status = "passed"
    if "failure" in tags:
        status = "failed"
    elif "error" in tags:
        status = "error"
    elif "skipped" in tags:
        status = "skipped"
    return Seen(id=stable_id(f"{group}::{name}" if group else name), status=status, kind="other")
