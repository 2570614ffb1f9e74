"""What people see: tables and colours on a terminal, plain lines elsewhere, JSON when asked for."""

from __future__ import annotations

import json
import re
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

#: Control characters but for tab and line break, marks that turn the direction of writing, invisible separators, tags.
_UNSEEN = re.compile(
    "[\0-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff"
    "\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_COLOURS = {"done": "green", "incident": "red", "cancelled": "yellow", "parked": "yellow", "running": "cyan"}


def visible(text: str) -> str:
    """Show what steers a terminal, or changes how the rest is read: texts of tasks are made by anybody."""
    return _UNSEEN.sub(_sign, text.replace("\r\n", "\n"))


def _sign(found: re.Match[str]) -> str:
    code = ord(found[0])
    return chr(0x2400 + code) if code < 0x20 else f"⟨U+{code:04X}⟩"


def as_json(value: Any) -> None:
    """Print JSON for programs."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def line(text: str = "") -> None:
    """Print a line as it is."""
    # A link that is broken into two lines by us can be neither clicked nor copied.
    console.print(escape(visible(text)), soft_wrap=True)


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
    errors.print(f"autopilot: {visible(text)}", markup=False)


def coloured(phase: str) -> str:
    """Give a phase its colour."""
    colour = _COLOURS.get(phase)
    return f"[{colour}]{phase}[/{colour}]" if colour else phase


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, marked: Sequence[int] = ()) -> None:
    """Print a table; without a terminal, tab-separated lines. Columns `marked` hold markup of our own."""
    if not console.is_terminal:
        for row in (columns, *rows):
            # A cell of several lines would look like several rows.
            sys.stdout.write("\t".join(" ".join(visible(str(cell)).split()) for cell in row) + "\n")
        return
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(
            *(
                coloured(str(cell)) if place in marked else escape(visible(str(cell)))
                for place, cell in enumerate(row)
            )
        )
    console.print(made)


def facts(pairs: Mapping[str, Any]) -> None:
    """Print named facts, empty ones left out."""
    width = max((len(name) for name in pairs), default=0)
    for name, value in pairs.items():
        if value not in ("", None, (), [], {}):
            line(f"{name:<{width}}  {value}")
