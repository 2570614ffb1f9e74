"""Where ids come from: the same Idempotency-Key always gives the same tasks, so that sending twice makes nothing twice."""

from __future__ import annotations

import hashlib
import re

#: Characters of an id after its letter: 60 bits.
_LENGTH = 12
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
#: What every task id that this service gives looks like.
TASK_ID = re.compile(rf"^t[{_ALPHABET}]{{{_LENGTH}}}$")


def task_id_of(seed: str) -> str:
    """Derive the id of a task that is submitted by itself."""
    return "t" + _token(f"task:{seed}")


def batch_id_of(seed: str) -> str:
    """Derive the id of a batch."""
    return "b" + _token(f"batch:{seed}")


def member_id_of(batch: str, place: int) -> str:
    """Derive the id of a batch's task from its place in the body, counted from 0."""
    return "t" + _token(f"member:{batch}:{place}")


def _token(seed: str) -> str:
    number = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "big")
    return "".join(_ALPHABET[(number >> (5 * place)) & 31] for place in range(_LENGTH))
