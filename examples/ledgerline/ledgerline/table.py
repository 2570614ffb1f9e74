"""Plain text tables for terminals and Markdown."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from ledgerline.money import Money


def width(text: str) -> int:
    """Return how many columns a text takes in a terminal."""
    columns = 0
    for character in text:
        if unicodedata.combining(character):
            continue
        columns += 2 if unicodedata.east_asian_width(character) in "WF" else 1
    return columns


def render(headers: Sequence[str], rows: Sequence[Sequence[object]], *, markdown: bool = False) -> str:
    """Return a table; columns that hold only amounts and numbers are aligned to the right."""
    cells = [[_text(value) for value in row] for row in rows]
    for row in cells:
        if len(row) != len(headers):
            raise ValueError(f"a row has {len(row)} cells under {len(headers)} headers")
    right = [bool(rows) and all(isinstance(row[i], Money | int) for row in rows) for i in range(len(headers))]
    if markdown:
        headers = [header.replace("|", "\\|") for header in headers]
        cells = [[cell.replace("|", "\\|") for cell in row] for row in cells]
    widths = [max([width(headers[i]), 3] + [width(row[i]) for row in cells]) for i in range(len(headers))]
    lines = [_line(headers, widths, right, markdown), _rule(widths, right, markdown)]
    lines += [_line(row, widths, right, markdown) for row in cells]
    return "\n".join(lines)


def _text(value: object) -> str:
    return value.format() if isinstance(value, Money) else str(value)


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool], markdown: bool) -> str:
    padded = []
    for cell, columns, to_the_right in zip(cells, widths, right, strict=True):
        gap = " " * (columns - width(cell))
        padded.append(gap + cell if to_the_right else cell + gap)
    return f"| {' | '.join(padded)} |" if markdown else "  ".join(padded).rstrip()


def _rule(widths: Sequence[int], right: Sequence[bool], markdown: bool) -> str:
    if not markdown:
        return "  ".join("-" * columns for columns in widths)
    marks = (
        "-" * (n - 1) + ":" if to_the_right else "-" * n
        for n, to_the_right in zip(widths, right, strict=True)
    )
    return f"| {' | '.join(marks)} |"
