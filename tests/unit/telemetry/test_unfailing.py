"""Whoever logs is not ended by a log that cannot be written."""

from __future__ import annotations

import io

import pytest

from libs.telemetry.log import Unfailing


class Full(io.StringIO):
    """A stream on a disk that is full until it is not."""

    full = True

    def write(self, text: str) -> int:
        if self.full:
            raise OSError(28, "No space left on device")
        return super().write(text)

    def flush(self) -> None:
        if self.full:
            raise OSError(28, "No space left on device")


def test_a_line_that_cannot_be_written_is_lost_and_the_next_is_not() -> None:
    stream = Full()
    print("lost", file=Unfailing(stream), flush=True)
    stream.full = False
    print("told", file=Unfailing(stream), flush=True)
    assert stream.getvalue() == "told\n"


def test_what_is_no_matter_of_room_is_still_told() -> None:
    stream = io.StringIO()
    stream.close()
    with pytest.raises(ValueError, match="closed"):
        print("anything", file=Unfailing(stream))
