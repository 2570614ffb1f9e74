"""What people see: tables and colours on a terminal, plain lines elsewhere, JSON when asked for."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
errors = Console(stderr=True, highlight=False, soft_wrap=True)

#: How help and usage errors are laid out: frames and colours are for terminals.
MARKUP: Literal["rich"] | None = "rich" if sys.stdout.isatty() else None

_COLOURS = {"done": "green", "incident": "red", "cancelled": "yellow", "parked": "yellow", "running": "cyan"}


def as_json(value: Any) -> None:
    """Print JSON for programs."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def line(text: str = "") -> None:
    """Print a line as it is."""
    # A link that is broken into two lines by us can be neither clicked nor copied.
    console.print(escape(text), soft_wrap=True)


def path(place: Path) -> str:
    """Name a file as one would type it from here."""
    here = Path.cwd()
    return str(place.relative_to(here) if place.is_relative_to(here) else place)


def program() -> str:
    """Name this program as one would type it from here: `.venv/bin` is seldom on the PATH."""
    installed = Path(sys.executable).parent / "autopilot"
    return "autopilot" if shutil.which("autopilot") == str(installed) else path(installed)


def complain(text: str) -> None:
    """Print a line on standard error, named like every tool's complaints."""
    errors.print(f"autopilot: {text}", markup=False)


def coloured(phase: str) -> str:
    """Give a phase its colour."""
    colour = _COLOURS.get(phase)
    return f"[{colour}]{phase}[/{colour}]" if colour else phase


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, marked: Sequence[int] = ()) -> None:
    """Print a table; without a terminal, tab-separated lines. Columns `marked` hold markup of our own."""
    if not console.is_terminal:
        for row in (columns, *rows):
            # A cell of several lines would look like several rows.
            sys.stdout.write("\t".join(" ".join(str(cell).split()) for cell in row) + "\n")
        return
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(
            *(coloured(str(cell)) if place in marked else escape(str(cell)) for place, cell in enumerate(row))
        )
    console.print(made)


def facts(pairs: Mapping[str, Any]) -> None:
    """Print named facts, empty ones left out."""
    width = max((len(name) for name in pairs), default=0)
    for name, value in pairs.items():
        if value not in ("", None, (), [], {}):
            line(f"{name:<{width}}  {value}")
