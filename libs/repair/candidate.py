"""What the search tries: one edit of one file."""

from __future__ import annotations

import msgspec


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """One small edit, as the whole new text of its file."""

    #: Path below the repository.
    path: str
    #: New text of the file; it parses, and differs from the old one in its syntax tree.
    source: str
    #: First line of the old text that the edit touches, from 1.
    line: int
    #: Kind of edit, from a closed vocabulary.
    edit: str
    #: For people: "`<` becomes `<=` in line 12".
    description: str
    #: What the search goes by: lower is tried earlier. From the suspicion of the line, and how likely and small the edit is.
    cost: float
    #: Why it looks like an answer to the tested inputs alone; empty for an edit that generalises. Ranked behind all others.
    special_case: str = ""
