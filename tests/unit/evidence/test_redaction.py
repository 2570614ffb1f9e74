"""What a redactor lets through, and that chunk borders make no difference."""

from __future__ import annotations

import base64
import itertools
import json
import re
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.evidence.redaction import MARK, Redactor

SECRET = "p4ss/w+rd=\"ünïcode' %"
#: Letters that the mark does not have, so that nothing of a secret can come from a mark.
secrets = st.text(st.sampled_from("KLMNOPQ0123456789+/=%"), min_size=6, max_size=40)
noise = st.binary(max_size=60)


def cut(data: bytes, places: list[int]) -> Iterator[bytes]:
    borders = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    for first, last in itertools.pairwise(borders):
        yield data[first:last]


@pytest.mark.parametrize(
    "spelled",
    [
        SECRET,
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET, ensure_ascii=False)[1:-1],
        quote(SECRET),
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        re.sub("%[0-9A-F]{2}", lambda escape: escape[0].lower(), quote(SECRET, safe="")),
        SECRET.encode().hex(),
        SECRET.encode().hex().upper(),
    ],
)
def test_every_spelling_of_a_known_secret_goes(spelled: str) -> None:
    assert Redactor([SECRET]).redact(f"before {spelled} behind".encode()) == b"before [redacted] behind"


@settings(max_examples=50)
@given(secret=secrets, before=st.binary(max_size=8), behind=st.binary(max_size=8), url_safe=st.booleans())
def test_a_secret_inside_base64_cannot_be_decoded_from_what_is_left(
    secret: str, before: bytes, behind: bytes, url_safe: bool
) -> None:
    encode = base64.urlsafe_b64encode if url_safe else base64.b64encode
    encoded = encode(before + secret.encode() + behind)
    left = Redactor([secret], patterns=()).redact(encoded)
    assert MARK in left
    # At most the characters that neighbours share with the secret remain: three at either end.
    assert len(left) - len(MARK) <= len(encoded) - (len(secret) * 8 // 6 - 1)


@settings(max_examples=50)
@given(
    values=st.lists(secrets, min_size=1, max_size=4),
    pieces=st.lists(st.one_of(noise, st.integers(0, 3)), max_size=12),
    places=st.lists(st.integers(0, 10_000), max_size=8),
    block=st.integers(1, 64),
)
def test_chunk_borders_make_no_difference(
    values: list[str], pieces: list[bytes | int], places: list[int], block: int
) -> None:
    text = b"".join(
        piece if isinstance(piece, bytes) else values[piece % len(values)].encode() for piece in pieces
    )
    redactor = Redactor(values, patterns=())
    whole = redactor.redact(text)
    assert b"".join(redactor.stream(cut(text, places), block=block)) == whole
    for value in values:
        assert value.encode() not in whole.replace(MARK, b"\0")


@settings(max_examples=50)
@given(
    token=st.sampled_from(
        [b"ghp_" + b"a1B2" * 9, b"Authorization: Bearer " + b"x" * 30, b"://u:p@h", b"plain"]
    ),
    places=st.lists(st.integers(0, 100_000), max_size=6),
    padding=st.integers(0, 50),
)
def test_chunk_borders_make_no_difference_to_patterns(token: bytes, places: list[int], padding: int) -> None:
    filling = b"x" * padding + b" some words of a log\n" * 1_200
    text = filling + token + filling + token
    redactor = Redactor()
    assert b"".join(redactor.stream(cut(text, places), block=1)) == redactor.redact(text)


@settings(max_examples=50)
@given(text=noise, values=st.lists(secrets, max_size=3))
def test_redacting_twice_is_redacting_once(text: bytes, values: list[str]) -> None:
    redactor = Redactor(values)
    once = redactor.redact(text + b"".join(value.encode() for value in values))
    assert redactor.redact(once) == once


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (b"token ghp_" + b"a" * 36 + b".", b"token [redacted]."),
        (b"authorization: Bearer abcdef.ghi\r\n", b"authorization: Bearer [redacted]\r\n"),
        (b'{"Authorization": "Basic dXNlcjpwYXNz"}', b'{"Authorization": "Basic [redacted]"}'),
        (b"cloning https://user:hunter2@example.org/x.git", b"cloning https://[redacted]@example.org/x.git"),
        (b"key=AKIAABCDEFGHIJKLMNOP", b"key=[redacted]"),
        (b"\\nsk-" + b"a" * 40, b"\\n[redacted]"),
        (
            b"-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nDEK-Info: AES\n-----END RSA PRIVATE KEY-----",
            b"-----BEGIN RSA PRIVATE KEY-----[redacted]-----END RSA PRIVATE KEY-----",
        ),
        (b"jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.abcdefghijkl", b"jwt [redacted]"),
    ],
)
def test_tokens_are_known_by_their_shape(text: bytes, left: bytes) -> None:
    assert Redactor().redact(text) == left


@pytest.mark.parametrize(
    "text",
    [
        b"the login token of the user expires; see the secret handshake of the password store",
        b"task-0123456789abcdef0123456789abcdef0123 on disk-0123456789abcdef0123456789abcdef",
        b"https://example.org/path?mail=a@b.example and https://example.org/@scope/package",
        b"sk-estimator-doc-link fitted sk-container-id-1",
        bytes(range(256)),
    ],
)
def test_harmless_text_stays(text: bytes) -> None:
    assert Redactor(["another secret"]).redact(text) == text


def test_overlapping_secrets_leave_no_end_visible() -> None:
    assert Redactor(["KLMNOPQ1", "OPQ1RSTU"]).redact(b"_KLMNOPQ1RSTU_") == b"_[redacted]_"


def test_values_that_are_too_short_would_shred_the_text_and_are_left_alone() -> None:
    assert Redactor(["", "a", "12345"], patterns=()).redact(b"a 12345 b") == b"a 12345 b"
