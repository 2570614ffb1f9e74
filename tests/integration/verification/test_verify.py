from __future__ import annotations

from tests.integration.verification.conftest import FAIL_TO_PASS, Court
from tests.integration.verification.shop import RIGHT


async def test_a_right_change_is_accepted_with_receipts_for_both_sides(court: Court) -> None:
    verification = await court.judge({"pricing/money.py": RIGHT}, fail_to_pass=(FAIL_TO_PASS,))

    assert verification.problems == ()
    assert verification.accepted
    assert (verification.fail_to_pass_passed, verification.fail_to_pass_selected) == (1, 1)
    assert verification.base_tests == verification.base_tests_held == 9
    assert {(r.side, r.purpose) for r in verification.commands} == {
        ("base", "test"), ("base", "fail_to_pass"), ("change", "test"), ("change", "fail_to_pass"),
    }  # fmt: skip
