"""Keeps away from GitHub for as long as it asks to be left alone."""

from __future__ import annotations

import email.utils
from collections.abc import Mapping

#: Seconds after a secondary limit that names no time, doubled each time it comes again; GitHub's own advice.
FIRST_WAIT_S = 60.0
#: Seconds; no answer makes us wait longer before we ask again.
MAX_WAIT_S = 3_600.0


class Limits:
    """Remembers until when no request may be sent; times are seconds since the epoch.

    One instance serves all requests of a process: where an app has several installations, the limit of one
    holds the others up too.
    """

    def __init__(self) -> None:
        self._until = 0.0
        self._repeated = 0

    def wait_s(self, now: float) -> float:
        """Returns for how many seconds nothing may be sent."""
        return max(0.0, self._until - now)

    def heed(self, status: int, headers: Mapping[str, str], message: str, now: float) -> float | None:
        """Takes note of an answer; returns how long to wait if it was a limit that refused the request."""
        spent = headers.get("x-ratelimit-remaining") == "0"
        if status not in (403, 429):
            if status < 500:
                self._repeated = 0
            if spent and headers.get("x-ratelimit-resource", "core") == "core":
                self._leave_alone(_reset_s(headers, now), now)
            return None
        secondary = "secondary rate" in message.lower() or "abuse detection" in message.lower()
        if not (status == 429 or spent or secondary or "retry-after" in headers):
            return None
        wait = _retry_after_s(headers, now)
        if wait is None and spent and not secondary:
            wait = _reset_s(headers, now)
        if wait is None:
            wait = max(FIRST_WAIT_S * 2**self._repeated, (_reset_s(headers, now) or 0.0) if spent else 0.0)
            self._repeated = min(self._repeated + 1, 6)
        self._leave_alone(wait, now)
        return self.wait_s(now)

    def _leave_alone(self, wait_s: float | None, now: float) -> None:
        wait = FIRST_WAIT_S if wait_s is None else min(max(wait_s, 1.0), MAX_WAIT_S)
        self._until = max(self._until, now + wait)


def _retry_after_s(headers: Mapping[str, str], now: float) -> float | None:
    """Reads seconds or a date, as HTTP allows both; None for neither."""
    text = headers.get("retry-after", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, TypeError, IndexError):
        return None


def _reset_s(headers: Mapping[str, str], now: float) -> float | None:
    text = headers.get("x-ratelimit-reset", "").strip()
    return max(0.0, float(text) - now) if text.isdecimal() else None
