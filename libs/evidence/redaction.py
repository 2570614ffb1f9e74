"""Takes secrets out of a stream of bytes: known values in every usual spelling, and tokens by their shape.

What is redacted does not depend on how the stream was cut into chunks: a byte goes if any occurrence anywhere
covers it, and bytes that touch become one mark. So overlapping secrets leave no end visible, unlike a
replacement of one after the other.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

MARK = b"[redacted]"
#: Characters; shorter values would shred ordinary text. Whoever makes secrets makes longer ones.
SHORTEST = 6
#: Bytes looked through in one go: the worst input of our tests held the interpreter lock 0.2 s for one.
BLOCK = 128 * 1024

#: Tokens known by their shape, never by a word near them. Every repetition is bounded (`LONGEST` rests on
#: that) and possessive: hostile output must not make the search take quadratic time. A group named `secret`
#: goes where there is one, else the whole match.
PATTERNS: tuple[re.Pattern[bytes], ...] = tuple(
    re.compile(pattern)
    for pattern in (
        rb"gh[pousr]_[A-Za-z0-9]{30,255}+",
        rb"github_pat_[A-Za-z0-9_]{40,255}+",
        rb"glpat-[A-Za-z0-9_-]{20,255}+",
        rb"xox[abeoprs]-[A-Za-z0-9-]{10,255}+",
        rb"https://hooks\.slack\.com/(?P<secret>[A-Za-z0-9/_-]{8,255}+)",
        # Not inside a word (`task-…`, `disk-…`); what a line break is escaped to is no word.
        rb"sk-(?:(?<![A-Za-z0-9]sk-)|(?<=\\[nrt]sk-))"
        rb"(?:(?:ant|or|proj|svcacct)-[A-Za-z0-9_-]{30,255}+|[A-Za-z0-9]{32,255}+)",
        rb"A(?:KIA|SIA)[A-Z0-9]{16}",
        rb"AIza[A-Za-z0-9_-]{35}",
        rb"pypi-AgE[A-Za-z0-9_-]{40,512}+",
        rb"npm_[A-Za-z0-9]{36}",
        rb"eyJ[A-Za-z0-9_-]{10,255}+\.eyJ[A-Za-z0-9_-]{10,4096}+\.[A-Za-z0-9_-]{10,1024}+",
        rb"uthorization['\"]?\s{0,8}[:=]\s{0,8}['\"]?(?:[Bb]earer|[Bb]asic|[Tt]oken)\s{1,8}"
        rb"(?P<secret>[A-Za-z0-9._~+/=-]{6,4096}+)",
        rb"://(?P<secret>[^/?#@\s'\"<>]{1,512}+)@",
        rb"-----BEGIN [A-Z ]{0,32}PRIVATE KEY-----(?P<secret>(?:[A-Za-z0-9+/=\s\\:,]|-(?!-)){1,16384}+)",
    )
)
#: Bytes before its match that a pattern may look at.
LOOK_BACK = 2
#: Bytes; no pattern matches more, its surroundings included.
LONGEST = 20_000


def spellings(value: str) -> frozenset[bytes]:
    """List how a secret may be written: plain, escaped for JSON or URLs, in hexadecimal, in base64.

    Base64 shifts with what stands before it (`user:secret`), so the part that no neighbour changes is listed
    for each of the three shifts.
    """
    raw = value.encode("utf-8", "surrogateescape")
    url = {quote(raw, safe=""), quote(raw), quote_plus(raw)}
    escaped = json.dumps(value)[1:-1]
    texts = {
        *url,
        *(_lower_escapes(text) for text in url),
        escaped,
        json.dumps(value, ensure_ascii=False)[1:-1],
    }
    found = {raw, raw.hex().encode(), raw.hex().upper().encode()}
    found |= {text.encode("utf-8", "surrogateescape") for text in texts}
    for shift in range(3):
        encoded = base64.b64encode(bytes(shift) + raw)
        core = encoded[-(-shift * 8 // 6) : (shift + len(raw)) * 8 // 6]
        found |= {core, core.translate(bytes.maketrans(b"+/", b"-_"))}
    return frozenset(form for form in found if len(form) >= SHORTEST)


def _lower_escapes(text: str) -> str:
    return re.sub(r"%[0-9A-F]{2}", lambda escape: escape[0].lower(), text)


class Redactor:
    """Knows the secrets of a process; one serves any number of streams."""

    def __init__(self, values: Iterable[str] = (), patterns: Iterable[re.Pattern[bytes]] = PATTERNS) -> None:
        forms = {form for value in values if len(value) >= SHORTEST for form in spellings(value)}
        self._forms = tuple(sorted(forms))
        self._patterns = tuple(patterns)
        longest = max((len(form) for form in self._forms), default=0)
        #: How far an occurrence can reach from its first byte; what is decided lies this far behind the last
        #: byte.
        self.reach = max(longest, LONGEST if self._patterns else 1)

    def redact(self, data: bytes) -> bytes:
        """Return the bytes without the secrets."""
        return b"".join(self.stream((data,)))

    def stream(self, chunks: Iterable[bytes], *, block: int = BLOCK) -> Iterator[bytes]:
        """Pass chunks on without the secrets, in constant memory: some `block` bytes and twice the reach."""
        text = b""  # what was passed on but may begin an occurrence, then what was not
        passed, marked = 0, False
        pending = 0
        parts: list[bytes] = []
        for chunk in chunks:
            parts.append(chunk)
            pending += len(chunk)
            if pending < block:
                continue
            text = b"".join((text, *parts))
            parts, pending = [], 0
            upto = len(text) - self.reach
            if upto > passed:
                cleaned, marked = self._clean(text, passed, upto, marked)
                yield cleaned
                keep = max(0, upto - self.reach - LOOK_BACK)
                text, passed = text[keep:], upto - keep
        text = b"".join((text, *parts))
        yield self._clean(text, passed, len(text), marked)[0]

    def _clean(self, text: bytes, start: int, end: int, marked: bool) -> tuple[bytes, bool]:
        """Clean `text[start:end]`; `marked` tells whether the byte before it was covered."""
        out: list[bytes] = []
        at = start
        for first, last in _merged(self._spans(text)):
            first, last = max(first, start), min(last, end)
            if first >= last:
                continue
            if first > at:
                out.append(text[at:first])
                marked = False
            if not marked:
                out.append(MARK)
            at, marked = last, True
        if at < end:
            out.append(text[at:end])
            marked = False
        return b"".join(out), marked

    def _spans(self, text: bytes) -> Iterator[tuple[int, int]]:
        for form in self._forms:
            at = text.find(form)
            while at >= 0:
                yield at, at + len(form)
                at = text.find(form, at + 1)
        for pattern in self._patterns:
            group = "secret" if "secret" in pattern.groupindex else 0
            match = pattern.search(text)
            while match:
                yield match.span(group)
                # From every place, not only behind the last match: else it would matter where the search
                # began.
                match = pattern.search(text, match.start() + 1)


def _merged(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    current: tuple[int, int] | None = None
    for first, last in sorted(spans):
        if current is None:
            current = first, last
        elif first <= current[1]:
            current = current[0], max(current[1], last)
        else:
            yield current
            current = first, last
    if current is not None:
        yield current
