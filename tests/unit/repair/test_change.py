"""Which survivor is chosen, and what second edits are tried on top of."""

from __future__ import annotations

from libs.repair.candidate import Candidate
from libs.repair.change import Change, Tried, Verdict, best_first, steps


def edit(cost: float = 1.0, path: str = "a.py", source: str = "x", special_case: str = "") -> Candidate:
    return Candidate(
        path=path,
        source=source,
        line=1,
        edit="operator",
        description="d",
        cost=cost,
        special_case=special_case,
    )


def tried(number: int, *edits: Candidate, mended: int = 0, survives: bool = False, note: str = "") -> Tried:
    verdict = Verdict(wanted=3, mended=mended, survives=survives, note=note)
    return Tried(number=number, change=Change(edits=edits or (edit(),)), verdict=verdict)


def test_an_answer_to_the_tested_inputs_is_the_last_survivor_whatever_it_costs() -> None:
    special = tried(0, edit(0.1, special_case="compares with a tested input"), survives=True)
    plain = tried(1, edit(9.0), survives=True)
    assert best_first([special, plain]) == [plain, special]


def test_one_edit_is_before_two_and_then_the_cheaper_and_then_the_earlier() -> None:
    two = tried(0, edit(0.1), edit(0.1), survives=True)
    dear = tried(1, edit(3.0), survives=True)
    late, early = tried(5, edit(2.0), survives=True), tried(4, edit(2.0), survives=True)
    assert best_first([two, dear, late, early]) == [early, late, dear, two]


def test_second_edits_go_on_top_of_what_mends_most() -> None:
    some = {n: tried(n, mended=mended) for n, mended in enumerate((0, 1, 2))}
    assert [one.number for one in steps(some, 8)] == [2, 1]


def test_no_third_edit_is_tried_and_no_survivor_is_built_on() -> None:
    made = {0: tried(0, edit(), edit(), mended=2), 1: tried(1, mended=3, survives=True)}
    assert not steps(made, 8)


def test_a_second_edit_of_a_file_holds_the_first() -> None:
    change = Change(edits=(edit(source="one"), edit(source="both"), edit(path="b.py", source="other")))
    assert change.files == {"a.py": "both", "b.py": "other"}
    assert change.cost == 3.0
