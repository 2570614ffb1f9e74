"""What a judgement is made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from contracts.receipt import Problem

#: A rule reads the subject and yields what is wrong; nothing yielded means that it is content.
Findings: TypeAlias = Iterator[Problem]


def finding(code: str, detail: str) -> Problem:
    """Make a finding."""
    return Problem(code=code, detail=detail)
