"""Lines and pages of a text: complete, in order, in constant memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.dashboard.api import texts
from services.dashboard.api.texts import PAGE, SHOWN, lines_of, page_of


@given(st.lists(st.sampled_from([b"", b"a", b"bc\n", b"\n", b"\n\n", b"\r\n", b"x" * 50])))
def test_lines_are_those_of_the_whole_however_it_comes_in_chunks(chunks: list[bytes]) -> None:
    whole = b"".join(chunks)
    expected = whole.split(b"\n")
    if expected[-1] == b"":
        expected.pop()
    lines = list(lines_of(chunks))
    assert [line.content for line in lines] == expected
    assert [line.number for line in lines] == list(range(1, len(expected) + 1))
    assert all(whole[line.offset : line.offset + line.length] == line.content for line in lines)


@given(st.lists(st.integers(0, 3 * PAGE // 2), max_size=6))
def test_pages_hold_each_line_once_and_in_order(lengths: list[int]) -> None:
    whole = b"".join(b"%d" % (n % 10) * length + b"\n" for n, length in enumerate(lengths))
    pages = max(1, -(-len(whole) // PAGE))
    seen = [page_of([whole], len(whole), number) for number in range(pages)]
    assert {page.pages for page in seen} == {pages}
    assert [len(line) for page in seen for line in page.lines] == [min(n, SHOWN) for n in lengths]
    left = {number: cut for page in seen for number, cut in page.cut.items()}
    assert left == {n: length - SHOWN for n, length in enumerate(lengths, 1) if length > SHOWN}


def test_a_line_without_end_is_read_in_constant_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "LOOKED_AT", 1_000)

    def endless() -> Iterator[bytes]:
        yield from [b"y" * 300] * 1_000
        yield b"\nend\n"

    long, short = lines_of(endless())
    assert (len(long.content), long.length) == (1_000, 300_000)
    assert (short.number, short.content, short.offset) == (2, b"end", 300_001)
