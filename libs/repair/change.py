"""What is tried: one edit, or one on top of another; and what became of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from libs.repair.candidate import Candidate


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One edit, or two where the second was made on top of the first."""

    edits: tuple[Candidate, ...]

    @property
    def files(self) -> dict[str, str]:
        """Whole new texts by path; a later edit of a file holds the earlier one."""
        return {edit.path: edit.source for edit in self.edits}

    @property
    def cost(self) -> float:
        """What the order of trying goes by."""
        return sum(edit.cost for edit in self.edits)

    @property
    def special_case(self) -> str:
        """Why it looks like an answer to the tested inputs alone; empty otherwise."""
        return next((edit.special_case for edit in self.edits if edit.special_case), "")

    @property
    def description(self) -> str:
        """Say for people what it does."""
        return ", then ".join(f"{edit.path}: {edit.description}" for edit in self.edits)


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a change."""

    #: Tests that must come to pass, and how many of them did.
    wanted: int
    mended: int
    #: Whether every command says what it has to say.
    survives: bool = False
    #: Whether a test ran out of time: with more patience it might have passed.
    late: bool = False
    #: Whether the first failing test came further in its own code than before.
    advanced: bool = False
    #: What a survivor of the failing tests broke, or what was not looked at.
    note: str = ""
    seconds: float = 0.0
    #: Processor seconds, where the tests are seen one by one.
    cpu_s: float = 0.0

    @property
    def partial(self) -> bool:
        """Tell whether it is a step worth building on."""
        return not self.survives and (self.mended > 0 or self.advanced)


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """A change with its number in the order of trying, from 0."""

    number: int
    change: Change
    verdict: Verdict


def steps(tried: Mapping[int, Tried], most: int) -> list[Tried]:
    """Choose what a second edit is tried on top of, the most promising first."""
    partial = [one for one in tried.values() if one.verdict.partial and len(one.change.edits) == 1]
    partial.sort(
        key=lambda one: (
            bool(one.change.special_case),
            -one.verdict.mended,
            not one.verdict.advanced,
            one.change.cost,
            one.number,
        )
    )
    return partial[:most]


def best_first(survivors: list[Tried]) -> list[Tried]:
    """Order survivors: least like an answer to the tested inputs, fewest edits, least cost, first tried."""
    return sorted(
        survivors,
        key=lambda one: (
            bool(one.change.special_case),
            len(one.change.edits),
            one.change.cost,
            one.number,
        ),
    )
