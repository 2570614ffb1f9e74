"""How long GitHub wants to be left alone, by what it answers."""

from __future__ import annotations

import pytest

from libs.forge.github.limits import FIRST_WAIT_S, MAX_WAIT_S, Limits

NOW = 1_000_000.0
SECONDARY = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."


@pytest.mark.parametrize(
    ("status", "headers", "message", "wait"),
    [
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1000600"}, "API rate limit exceeded", 600),
        (429, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1000600"}, "", 600),
        (403, {"retry-after": "17"}, SECONDARY, 17),
        (429, {"retry-after": "17"}, "", 17),
        (429, {"retry-after": "Mon, 12 Jan 1970 13:48:20 GMT"}, "", 100),
        (403, {}, SECONDARY, FIRST_WAIT_S),
        (429, {}, "", FIRST_WAIT_S),
        (429, {"retry-after": "soon"}, "", FIRST_WAIT_S),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1000300"}, SECONDARY, 300),
        (403, {"x-ratelimit-remaining": "0"}, "", FIRST_WAIT_S),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "999000"}, "", 1),
        (403, {"retry-after": "0"}, "", 1),
        (429, {"retry-after": "9" * 12}, "", MAX_WAIT_S),
    ],
)
def test_a_limit_is_obeyed_for_as_long_as_the_answer_says(
    status: int, headers: dict[str, str], message: str, wait: float
) -> None:
    limits = Limits()
    assert limits.heed(status, headers, message, NOW) == pytest.approx(wait)
    assert limits.wait_s(NOW + wait - 0.5) == pytest.approx(0.5)
    assert limits.wait_s(NOW + wait) == 0


@pytest.mark.parametrize(
    ("status", "headers", "message"),
    [
        (403, {"x-ratelimit-remaining": "4999"}, "Resource not accessible by personal access token"),
        (404, {"x-ratelimit-remaining": "4999"}, "Not Found"),
        (500, {}, ""),
        (200, {"x-ratelimit-remaining": "1"}, ""),
    ],
)
def test_what_is_no_limit_holds_nobody_up(status: int, headers: dict[str, str], message: str) -> None:
    limits = Limits()
    assert limits.heed(status, headers, message, NOW) is None
    assert limits.wait_s(NOW) == 0


def test_the_last_request_of_an_hour_is_the_last_that_is_sent() -> None:
    limits = Limits()
    headers = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1000900", "x-ratelimit-resource": "core"}
    assert limits.heed(200, headers, "", NOW) is None
    assert limits.wait_s(NOW) == 900


def test_the_limit_of_another_resource_holds_nobody_up() -> None:
    limits = Limits()
    headers = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1000900", "x-ratelimit-resource": "search"}
    limits.heed(200, headers, "", NOW)
    assert limits.wait_s(NOW) == 0


def test_a_secondary_limit_that_comes_again_doubles_the_wait_until_something_succeeds() -> None:
    limits, now, waits = Limits(), NOW, []
    for _ in range(8):
        wait = limits.heed(403, {}, SECONDARY, now)
        assert wait is not None
        waits.append(wait)
        now += wait
    assert waits == [60, 120, 240, 480, 960, 1_920, MAX_WAIT_S, MAX_WAIT_S]
    limits.heed(502, {}, "", now)
    assert limits.heed(403, {}, SECONDARY, now) == MAX_WAIT_S
    limits.heed(200, {}, "", now + MAX_WAIT_S)
    assert limits.heed(403, {}, SECONDARY, now + MAX_WAIT_S) == FIRST_WAIT_S


def test_a_shorter_wait_does_not_undo_a_longer_one() -> None:
    limits = Limits()
    limits.heed(403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1000600"}, "", NOW)
    assert limits.heed(429, {"retry-after": "2"}, "", NOW) == 600
