from __future__ import annotations

import os
from pathlib import Path

import pytest

from libs.verification import junit
from libs.verification.types import RequestError

GOOD = """<?xml version="1.0"?><testsuites><testsuite>
<testcase classname="a.B" name="one"/><testcase classname="a.B" name="two"><failure/></testcase>
<testcase classname="a.B" name="three"><error/></testcase><testcase name="four"><skipped/></testcase>
</testsuite></testsuites>"""


def test_each_case_has_its_outcome(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "r.xml").write_text(GOOD)

    report = junit.read(tmp_path, "out/r.xml")

    assert [(test.id, test.status) for test in report.tests] == [
        ("a.B::one", "passed"), ("a.B::two", "failed"), ("a.B::three", "error"), ("four", "skipped"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not xml",
        '<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>',
        '<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
    ],
)
def test_what_is_no_plain_report_is_a_violation(tmp_path: Path, text: str) -> None:
    (tmp_path / "r.xml").write_text(text)

    assert junit.read(tmp_path, "r.xml").violations


def test_bytes_that_are_no_text_are_a_violation(tmp_path: Path) -> None:
    (tmp_path / "r.xml").write_bytes("<a/>".encode("utf-16"))

    assert junit.read(tmp_path, "r.xml").violations


def test_links_and_pipes_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "r.xml").write_text(GOOD)
    (tmp_path / "folder").symlink_to("real")
    (tmp_path / "link.xml").symlink_to("real/r.xml")
    os.mkfifo(tmp_path / "pipe.xml")

    for path in ("folder/r.xml", "link.xml", "pipe.xml", "real"):
        assert junit.read(tmp_path, path).violations, path


def test_a_report_that_is_not_there_is_no_observation(tmp_path: Path) -> None:
    assert not junit.read(tmp_path, "r.xml").observed


def test_an_old_report_is_gone_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "r.xml").write_text(GOOD)

    junit.remove(tmp_path, "r.xml")
    junit.remove(tmp_path, "r.xml")

    assert not junit.read(tmp_path, "r.xml").observed


@pytest.mark.parametrize("path", ["/etc/passwd", "../r.xml", "a/../../r.xml", ""])
def test_the_path_must_be_inside(path: str) -> None:
    with pytest.raises(RequestError):
        junit.check_path(path)
