"""Reads every Python file that a change adds or edits, in folders of tests too, and says what it reaches for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

import msgspec

from libs.verification.checkout import Edit
from libs.verification.evasions import MAX_BYTES, gained, reaches
from libs.verification.paths import Layout, is_configuration, is_permitted
from libs.verification.protection import Contents
from libs.verification.reading import surrounding
from libs.verification.types import Code, Problem, UnreadableError

_CODE = (".py", ".pyw")


async def scrutinize(
    changes: Sequence[Edit],
    layout: Layout,
    contents: Contents,
    tests: Collection[str],
    permitted: Collection[str] = (),
) -> tuple[Problem, ...]:
    """Find evasions and code that cannot be read; nothing is run. `permitted` files may reach where they like."""
    added = [change.path for change in changes if change.status == "A"]
    files = [path for path in (*layout.files, *added) if layout.is_test(path)]
    around = surrounding(tests, files, layout.test_folders)
    problems: list[Problem] = []
    found: dict[str, tuple[Counter[str], Counter[str]]] = {}
    whole: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    for change in changes:
        path = change.path
        if not path.endswith(_CODE) or is_configuration(path) or is_permitted(path, permitted):
            continue
        before, after = await contents(path)
        own = msgspec.structs.replace(around, is_test=layout.is_test(path))
        try:
            earlier = reaches(before or b"", own)
            unreadable = ""
        except UnreadableError as error:
            earlier, unreadable = Counter(), str(error)
        whole[0].update(earlier)
        try:
            now = reaches(after or b"", own)
        except UnreadableError as error:
            # A file of an older Python cannot be loaded by this one, on either side.
            same = str(error) == unreadable and len(after or b"") <= MAX_BYTES
            if not same and not (own.is_test and _is_data(path, after or b"")):
                problems.append(Problem(code=Code.UNREADABLE_CODE, detail=f"{path} {error}."))
            continue
        whole[1].update(now)
        found[path] = earlier, now
    for path, (earlier, now) in found.items():
        for reach in gained(earlier, now):
            # What has only moved from one file of the change to another is not new.
            if whole[1][reach] > whole[0][reach]:
                problems.append(Problem(code=Code.EVASION, detail=f"{path} {reach}."))
    return tuple(problems)


def _is_data(path: str, content: bytes) -> bool:
    """Tell whether a file in a folder of tests is an input of tests: one that no Python could load."""
    return not path.rpartition("/")[2].startswith("test") and len(content) <= MAX_BYTES
