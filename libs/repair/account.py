"""Gives account of a search: the log that is kept as evidence, and what people are told. Pure."""

from __future__ import annotations

from typing import Any

from libs.repair.change import Tried
from libs.repair.repair import Found
from libs.repair.suspicion import Ranked

#: Of each list in a log.
_MOST_TRIED, _MOST_PLACES = 2_000, 300
#: What an incident lists.
_PLACES, _PARTIALS = 10, 5
#: Characters of one line of source that are quoted.
_QUOTED = 160


def log(found: Found) -> dict[str, Any]:
    """Build the log: what was suspected, what was tried in which order, what came of it."""
    searching_s = max(found.seconds - found.learning_s, 0.001)
    return {
        "seed": found.seed,
        "seconds": round(found.seconds, 2),
        "learning_seconds": round(found.learning_s, 2),
        "tried": len(found.tried),
        "tried_per_second": round(len(found.tried) / searching_s, 2),
        "out_of_time": sum(one.verdict.late for one in found.tried),
        "whole_suite_run": found.guarded,
        "survivors": [_row(one) for one in found.survivors],
        "suspicious": [
            {"path": one.path, "line": one.line, "score": one.score, "text": text_of(found, one)}
            for one in found.places[:_MOST_PLACES]
        ],
        "candidates": [_row(one) for one in found.tried[:_MOST_TRIED]],
        "candidates_left_out": max(0, len(found.tried) - _MOST_TRIED),
    }


def _row(one: Tried) -> dict[str, Any]:
    verdict, change = one.verdict, one.change
    if verdict.survives:
        outcome = "survives"
    elif verdict.note:
        outcome = f"breaks something else: {verdict.note}"
    elif verdict.late:
        outcome = "out of time"
    else:
        outcome = f"mends {verdict.mended} of {verdict.wanted}"
    return {
        "number": one.number,
        "edits": [edit.edit for edit in change.edits],
        "change": change.description,
        "cost": round(change.cost, 3),
        "outcome": outcome,
        "seconds": round(verdict.seconds, 3),
    } | ({"special_case": change.special_case} if change.special_case else {})


def text_of(found: Found, place: Ranked) -> str:
    """Quote a suspicious line of the base."""
    lines = found.sources.get(place.path, "").splitlines()
    return lines[place.line - 1].strip()[:_QUOTED] if place.line <= len(lines) else ""


def remarks(found: Found, chosen: Tried) -> tuple[str, ...]:
    """Say to a reviewer what was changed and why it is believed, and what speaks against it."""
    first = chosen.change.edits[0]
    ranks = [one for one in found.places if one.path == first.path and one.line == first.line]
    rank = f"; rank of its line {found.places.index(ranks[0]) + 1} of {len(found.places)}" if ranks else ""
    said = [
        f"{chosen.change.description}: found by search; tried {len(found.tried)} candidates in {found.seconds:.1f} s, "
        f"seed {found.seed}{rank}"
    ]
    if chosen.change.special_case:
        said.append(
            "it may answer to the tested inputs alone: "
            f"{chosen.change.special_case}; look whether it holds for others"
        )
    others = [one for one in found.survivors if one.number != chosen.number]
    if others:
        named = "; ".join(one.change.description for one in others[:3])
        said.append(
            f"the tests do not tell it from {len(others)} other {'edit' if len(others) == 1 else 'edits'}, "
            f"for example {named}"
        )
    if not found.guarded:
        said.append(
            "the search did not run the whole test suite, which takes too long for it; the verifier does"
        )
    return tuple(said)


def suspicious(found: Found) -> list[str]:
    """List the most suspicious lines."""
    return [f"{one.path}:{one.line} {one.score:.2f} {text_of(found, one)}" for one in found.places[:_PLACES]]


def partial(found: Found) -> list[str]:
    """List the best changes that were not enough."""
    near = [one for one in found.tried if one.verdict.note or one.verdict.mended]
    near.sort(key=lambda one: (-one.verdict.mended, one.change.cost, one.number))
    return [
        f"{one.change.description}: mends {one.verdict.mended} of {one.verdict.wanted} failing tests"
        + (f", but {one.verdict.note}" if one.verdict.note else "")
        for one in near[:_PARTIALS]
    ]
