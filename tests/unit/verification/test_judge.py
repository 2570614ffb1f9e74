"""What is accepted needs evidence for every word of the contract; each test takes one piece away."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from libs.verification.execution import Ran
from libs.verification.judge import Judgement, Sides, condense, judge
from libs.verification.report import Report, Seen
from libs.verification.types import Code, Problem, Request, Status

SUITE, FIX = "pytest tests", "pytest tests/test_a.py::test_new"
OLD, NEW, OTHER = "tests/test_a.py::test_old", "tests/test_a.py::test_new", "tests/test_b.py::test_other"
REQUEST = Request(repo="r", repo_key="r", base_commit="b", commit="c", test=SUITE, fail_to_pass=(FIX,))


def seen(test: str, status: Status = "passed", **more: Any) -> Seen:
    return Seen(
        id=test, status=status, file=test.partition("::")[0], line=1, digest="d", kind="function", **more
    )


def ran(command: str, code: int | None, *tests: Seen, ended: str = "exited", **more: Any) -> Ran:
    report = Report(observed=True, tests=tests, exit_codes=() if code is None else (code,), canaries=2)
    return Ran(
        command=command,
        exit_code=code,
        ended=ended,
        duration_s=1,
        peak_memory_mb=30,
        report=msgspec.structs.replace(report, **more),
    )


def sides(**changed: Ran) -> Sides:
    """Give what an honest change shows, with some runs replaced: base_suite, base_fix, suite, fix."""
    runs = {
        "base_suite": ran(SUITE, 1, seen(OLD), seen(NEW, "failed"), seen(OTHER)),
        "base_fix": ran(FIX, 1, seen(NEW, "failed")),
        "suite": ran(SUITE, 0, seen(OLD), seen(NEW), seen(OTHER)),
        "fix": ran(FIX, 0, seen(NEW)),
        **changed,
    }
    return Sides(
        base={SUITE: runs["base_suite"], FIX: runs["base_fix"]},
        change={SUITE: runs["suite"], FIX: runs["fix"]},
    )


def codes(judgement: Judgement) -> set[str]:
    return {str(problem.code) for problem in judgement.problems}


def with_report(run: Ran, **more: Any) -> Ran:
    return msgspec.structs.replace(run, report=msgspec.structs.replace(run.report, **more))


HONEST = sides()


def test_all_evidence_accepts() -> None:
    judgement = judge(REQUEST, HONEST)

    assert judgement.problems == ()
    assert (judgement.fail_to_pass_passed, judgement.fail_to_pass_selected) == (1, 1)
    assert (judgement.base_tests, judgement.base_tests_held) == (3, 3)


@pytest.mark.parametrize("omitted", ["skipped", "xfailed"])
def test_a_test_that_both_sides_leave_out_is_not_counted_as_holding(omitted: str) -> None:
    base = ran(SUITE, 0, seen(OLD), seen(NEW, "failed"), seen(OTHER, omitted))
    for status, held in ((omitted, (2, 2)), ("passed", (3, 3)), ("failed", (3, 2))):
        change = ran(SUITE, 0, seen(OLD), seen(NEW), seen(OTHER, status))
        judgement = judge(REQUEST, sides(base_suite=base, suite=change))
        assert (judgement.base_tests, judgement.base_tests_held) == held, status


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"suite": ran(SUITE, 0, seen(NEW), seen(OTHER))}, "test_missing"),
        ({"suite": ran(SUITE, 0)}, "test_missing"),
        ({"suite": ran(SUITE, 0, seen(OLD, "skipped"), seen(NEW), seen(OTHER))}, "test_skipped"),
        ({"suite": ran(SUITE, 0, seen(OLD, "xfailed"), seen(NEW), seen(OTHER))}, "test_skipped"),
        ({"suite": ran(SUITE, 0, seen(OLD, "xpassed"), seen(NEW), seen(OTHER))}, "test_skipped"),
        ({"suite": ran(SUITE, 0, seen(OLD, "unknown"), seen(NEW), seen(OTHER))}, "test_not_passing"),
        ({"suite": ran(SUITE, 1, seen(OLD, "failed"), seen(NEW), seen(OTHER))}, "test_not_passing"),
        ({"suite": ran(SUITE, 1, seen(OLD, "error"), seen(NEW), seen(OTHER))}, "test_not_passing"),
        ({"suite": ran(SUITE, 0, seen(OLD, "hidden"), seen(NEW), seen(OTHER))}, "runner_tampered"),
        ({"suite": ran(SUITE, 2, seen(OLD), seen(NEW), seen(OTHER))}, "command_failed"),
        ({"suite": ran(SUITE, 1, seen(OLD), seen(NEW), seen(OTHER))}, "command_failed"),
        ({"suite": ran(SUITE, 0, seen(OLD), seen(NEW), seen(OTHER), exit_codes=(1,))}, "exit_disagrees"),
        ({"suite": ran(SUITE, None, seen(OLD), seen(NEW), seen(OTHER), ended="wall")}, "limit_reached"),
        ({"suite": with_report(HONEST.change[SUITE], observed=False, tests=())}, "not_observable"),
        ({"suite": with_report(HONEST.change[SUITE], unfinished=("it ended",))}, "run_incomplete"),
        ({"suite": with_report(HONEST.change[SUITE], violations=("garbage",))}, "report_forged"),
        ({"suite": with_report(HONEST.change[SUITE], altered=("builtins:len",))}, "runner_tampered"),
        ({"suite": with_report(HONEST.change[SUITE], passed_canaries=("one",))}, "runner_tampered"),
        ({"suite": with_report(HONEST.change[SUITE], canaries=0)}, "runner_tampered"),
        (
            {"suite": with_report(HONEST.change[SUITE], collect_errors=("tests/test_c.py",))},
            "collection_failed",
        ),
        (
            {"suite": msgspec.structs.replace(HONEST.change[SUITE], touched=("conftest.py",))},
            "runner_tampered",
        ),
        ({"fix": ran(FIX, 0)}, "no_tests_selected"),
        ({"fix": ran(FIX, 0, seen(NEW, "skipped"))}, "test_skipped"),
        ({"fix": ran(FIX, 1, seen(NEW, "failed"))}, "test_not_passing"),
        ({"fix": ran(FIX, None, seen(NEW), ended="memory")}, "limit_reached"),
        ({"fix": ran(FIX, 0, seen(OLD))}, "test_missing"),
        ({"base_fix": ran(FIX, 0, seen(NEW))}, "not_failing_on_base"),
        ({"base_fix": ran(FIX, 1, seen(NEW))}, "no_tests_selected"),
    ],
)
def test_one_missing_piece_rejects(changed: dict[str, Ran], expected: str) -> None:
    assert expected in codes(judge(REQUEST, sides(**changed)))


def test_a_base_that_hangs_counts_as_failing() -> None:
    assert judge(REQUEST, sides(base_fix=ran(FIX, None, ended="wall"))).problems == ()


def test_a_base_that_cannot_collect_the_new_test_counts_as_failing() -> None:
    base = with_report(ran(FIX, 2), collect_errors=("tests/test_a.py",))

    assert judge(REQUEST, sides(base_fix=base)).problems == ()


def test_what_is_skipped_on_both_sides_is_no_problem_and_no_evidence() -> None:
    both = (seen(OLD, "skipped"), seen(OTHER, "xfailed"))
    changed = sides(
        base_suite=ran(SUITE, 1, *both, seen(NEW, "failed")),
        suite=ran(SUITE, 0, *both, seen(NEW)),
        base_fix=ran(FIX, 1, seen(OLD, "skipped"), seen(NEW, "failed")),
        fix=ran(FIX, 0, seen(OLD, "skipped"), seen(NEW)),
    )

    judgement = judge(REQUEST, changed)

    assert judgement.problems == ()
    assert (judgement.fail_to_pass_passed, judgement.fail_to_pass_selected) == (1, 1)


def test_an_expected_failure_that_passes_now_is_welcome() -> None:
    base = ran(SUITE, 1, seen(OLD), seen(NEW, "failed"), seen(OTHER, "xfailed"))
    change = ran(SUITE, 0, seen(OLD), seen(NEW), seen(OTHER, "xpassed"))

    assert judge(REQUEST, sides(base_suite=base, suite=change)).problems == ()


def test_known_failures_may_fail_and_nothing_else() -> None:
    failing = ran(SUITE, 1, seen(OLD), seen(NEW), seen(OTHER, "failed"))
    base = ran(SUITE, 1, seen(OLD), seen(NEW, "failed"), seen(OTHER, "failed"))
    request = msgspec.structs.replace(REQUEST, known_failures=(OTHER,))

    assert judge(request, sides(base_suite=base, suite=failing)).problems == ()
    worse = ran(SUITE, 1, seen(OLD, "failed"), seen(NEW), seen(OTHER, "failed"))
    assert "test_not_passing" in codes(judge(request, sides(base_suite=base, suite=worse)))
    crash = ran(SUITE, 3, seen(OLD), seen(NEW), seen(OTHER, "failed"))
    assert "command_failed" in codes(judge(request, sides(base_suite=base, suite=crash)))


def test_failing_as_on_the_base_is_still_failing() -> None:
    both = ran(SUITE, 1, seen(OLD), seen(NEW), seen(OTHER, "failed"))

    (problem, *_) = [
        p for p in judge(REQUEST, sides(base_suite=both, suite=both)).problems if "other" in p.detail
    ]

    assert "known_failures" in problem.detail


def test_a_test_made_of_other_code_is_no_test() -> None:
    replaced = msgspec.structs.replace(seen(OLD), digest="e")
    while_running = msgspec.structs.replace(seen(OLD), digest="d+e")

    for one in (replaced, while_running):
        changed = sides(suite=ran(SUITE, 0, one, seen(NEW), seen(OTHER)))
        assert "test_code_replaced" in codes(judge(REQUEST, changed))


def test_a_doctest_may_gain_examples_and_lose_none() -> None:
    def example(digest: str) -> Seen:
        return Seen(id="a.py::a.f", status="passed", kind="doctest", digest=digest)

    def judged(before: str, after: str) -> set[str]:
        new = (seen(OLD), seen(NEW), seen(OTHER))
        return codes(
            judge(
                REQUEST,
                sides(
                    base_suite=ran(SUITE, 1, *new, example(before)), suite=ran(SUITE, 0, *new, example(after))
                ),
            )
        )

    assert judged("1,2", "1,3,2") == set()
    assert judged("1,2", "1,3") == {"test_code_replaced"}


def test_one_id_used_twice_must_be_seen_twice() -> None:
    base = ran(SUITE, 1, seen(OLD), seen(OLD), seen(NEW, "failed"), seen(OTHER))

    assert "test_missing" in codes(judge(REQUEST, sides(base_suite=base)))


def test_modules_come_from_where_they_came_from() -> None:
    before = {"json": "", "a": "src/a.py", "moved": "old.py"}
    honest = {"json": "", "a": "src/a.py", "moved": "new.py", "fresh": "src/fresh.py"}

    def judged(after: dict[str, str]) -> set[str]:
        changed = sides(
            base_suite=with_report(HONEST.base[SUITE], modules=before),
            suite=with_report(HONEST.change[SUITE], modules=after),
        )
        return codes(judge(REQUEST, msgspec.structs.replace(changed, change_files=frozenset(["src/a.py"]))))

    assert judged(honest) == set()
    assert judged(honest | {"json": "json.py"}) == {"module_shadowed"}
    assert judged(honest | {"a": "tests/a.py"}) == {"module_shadowed"}


def test_hooks_are_those_of_the_base() -> None:
    def judged(before: tuple[str, ...], after: tuple[str, ...], modules: dict[str, str]) -> set[str]:
        return codes(
            judge(
                REQUEST,
                sides(
                    base_suite=with_report(HONEST.base[SUITE], hooks=before, modules=modules),
                    suite=with_report(HONEST.change[SUITE], hooks=after, modules=modules),
                ),
            )
        )

    base = ("pytest_runtest_call _pytest.x:f",)
    assert judged(base, (*base, "pytest_runtest_call cheat:f"), {}) == {"runner_tampered"}
    assert judged(base, ("pytest_runtest_setup _pytest.y:g",), {}) == {"runner_tampered"}
    plugin = ("pytest_runtest_call product.plugin:f",)
    more = (*plugin, "pytest_runtest_setup product.plugin:g")
    assert judged(plugin, more, {"product.plugin": "product/plugin.py"}) == set()


def test_build_and_audit_are_judged_by_their_exit() -> None:
    request = msgspec.structs.replace(REQUEST, build="make", audit="check")

    def judged(build: Ran, audit: Ran) -> set[str]:
        return codes(
            judge(
                request,
                msgspec.structs.replace(
                    HONEST,
                    base={**HONEST.base, "make": ran("make", 0), "check": ran("check", 1)},
                    change={**HONEST.change, "make": build, "check": audit},
                ),
            )
        )

    assert judged(ran("make", 0), ran("check", 0)) == set()
    assert judged(ran("make", 1), ran("check", 0)) == {"command_failed"}
    assert judged(ran("make", 0), ran("check", 1)) == {"command_failed"}
    assert judged(ran("make", 0), ran("check", None, ended="wall")) == {"limit_reached"}


def test_a_task_without_tests_proves_nothing() -> None:
    request = msgspec.structs.replace(REQUEST, test=None, fail_to_pass=())

    assert codes(judge(request, HONEST)) == {"nothing_to_verify"}


def test_a_suite_alone_is_enough_if_it_holds() -> None:
    assert judge(msgspec.structs.replace(REQUEST, fail_to_pass=()), HONEST).problems == ()


def test_a_change_cannot_bring_the_tests_that_it_must_pass() -> None:
    files = frozenset(["tests/test_a.py"])
    brought = msgspec.structs.replace(sides(base_fix=ran(FIX, 4)), change_files=files)

    assert codes(judge(REQUEST, brought)) == {"no_tests_selected"}
    assert judge(REQUEST, msgspec.structs.replace(brought, base_files=files)).problems == ()
    assert judge(REQUEST, msgspec.structs.replace(brought, free=lambda _: True)).problems == ()


def test_many_problems_of_a_kind_are_counted_not_listed() -> None:
    problems = [Problem(code=Code.TEST_MISSING, detail=f"{number}.") for number in range(100)]

    kept = condense([*problems, *problems])

    assert len(kept) == 26
    assert kept[-1].detail == "75 more of this kind."


def test_a_program_that_is_missing_is_called_missing() -> None:
    absent = with_report(ran(SUITE, 127), observed=False, tests=())
    judgement = judge(REQUEST, sides(suite=absent))
    [problem] = [one for one in judgement.problems if one.code == "not_observable"]
    assert "a program is missing in the sandbox" in problem.detail


def test_what_fails_on_the_base_already_is_named() -> None:
    before = ran(SUITE, 1, seen(OLD, "failed"), seen(NEW, "failed"), seen(OTHER))
    after = ran(SUITE, 1, seen(OLD, "failed"), seen(NEW), seen(OTHER))
    [problem] = [
        one
        for one in judge(REQUEST, sides(base_suite=before, suite=after)).problems
        if one.code == "command_failed"
    ]
    assert f"{OLD} failed on the base already" in problem.detail
    assert "known_failures" in problem.detail
