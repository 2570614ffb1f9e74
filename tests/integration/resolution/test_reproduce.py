"""The script of an incident, run by a real shell on a real repository, and what it gave in the sandbox before."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest

from contracts.receipt import EvidenceRef, Problem
from contracts.task import Budget
from libs.evidence.redaction import Redactor
from libs.evidence.store import EvidenceStore
from libs.git.broker import Broker
from libs.verification.environment import surround
from services.resolution.adapters.expectation import expect
from services.resolution.adapters.reporter import Reporter
from services.resolution.adapters.script import Repository, script
from tests.integration.resolution.case import ENV, PYTEST, RIGHT, WRONG, Case, require_sandbox, run

#: Texts that would do something if they were taken for shell.
HOSTILE = [
    *(
        "'; touch OWNED; '",
        '"; touch OWNED; "',
        "$(touch OWNED)",
        "`touch OWNED`",
        "a\ntouch OWNED\n#",
        "-n; touch OWNED",
    ),
    *("exit 0 ) ; touch OWNED ; (", "if", "'", '"', "( (", "cat <<END", "exit 0\n)\nexit 0\n("),
]


@pytest.fixture
def case(tmp_path: Path) -> Case:
    require_sandbox()
    return Case(tmp_path)


async def test_a_change_that_fails_is_shown_to_fail_by_the_same_tests(case: Case, tmp_path: Path) -> None:
    made = await case.written(case.incident(await case.change({"wide.py": WRONG})))
    done = run(made.path, tmp_path / "work")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "as recorded: exit code 1, and the same tests fail: 1" in done.stdout
    assert "The failure shows, as recorded." in done.stdout
    assert made.reproduction.gave == "as_recorded"
    assert made.reproduction.exit_code == 1
    assert "it showed the failure as recorded" in (made.path / "README.md").read_text()
    assert "The failure shows, as recorded." in (made.path / "reproduction.log").read_text()


async def test_a_change_that_is_right_does_not_show_it_and_the_incident_says_so(
    case: Case, tmp_path: Path
) -> None:
    made = await case.written(case.incident(await case.change({"wide.py": RIGHT})))
    done = run(made.path, tmp_path / "work")
    assert done.returncode == 0, done.stdout + done.stderr
    assert made.reproduction.gave == "does_not_show"
    assert "did **not** show the failure" in (made.path / "README.md").read_text()


@pytest.mark.parametrize(
    ("tests", "code"), [(("test_wide.py::test_other",), 1), (("test_wide.py::test_pad",), 2)]
)
async def test_what_fails_otherwise_is_not_taken_for_the_recorded_failure(
    case: Case, tmp_path: Path, tests: tuple[str, ...], code: int
) -> None:
    receipts = (case.receipt(tests=tests, exit_code=code),)
    made = await case.written(case.incident(await case.change({"wide.py": WRONG}), receipts=receipts))
    done = run(made.path, tmp_path / "work")
    assert done.returncode == 3, done.stdout + done.stderr
    assert "It fails, but not as recorded." in done.stdout
    assert made.reproduction.gave == "otherwise"


async def test_a_test_that_fails_besides_the_recorded_ones_is_named_and_another_change_is_refused(
    case: Case, tmp_path: Path
) -> None:
    more = {"wide.py": WRONG, "test_more.py": "def test_more():\n    raise SystemError\n"}
    made = await case.written(case.incident(await case.change(more)))
    done = run(made.path, tmp_path / "work")
    assert done.returncode == 3, done.stdout + done.stderr
    assert "fails now, not recorded: test_more.py::test_more" in done.stdout
    patch = made.path / "repos" / "r" / "change.patch"
    patch.write_text(patch.read_text().replace("'?'", "'!'"))
    done = run(made.path, tmp_path / "again")
    assert done.returncode == 2, done.stdout
    assert "gives another tree" in done.stderr


async def test_what_judges_the_change_is_restored_before_it_is_judged(case: Case, tmp_path: Path) -> None:
    weak = "def test_pad():\n    pass\n"
    change = await case.change(
        {"wide.py": WRONG, "test_wide.py": weak, "conftest.py": "collect_ignore = ['test_wide.py']\n"}
    )
    touched = ("test_wide.py", "conftest.py")
    findings = tuple(Problem(code="test_integrity", detail=f"{path} judges the change") for path in touched)
    incident = case.incident(change, restored={"r": touched}, findings=findings)
    done = run((await case.written(incident)).path, tmp_path / "work")
    assert done.returncode == 1, done.stdout + done.stderr
    for path in touched:
        assert f"as recorded: the change touches {path}" in done.stdout
    assert "not checked here: test_integrity" in done.stdout
    assert "the same tests fail: 1" in done.stdout


async def test_a_finding_that_only_a_judge_sees_is_not_claimed(case: Case, tmp_path: Path) -> None:
    found = (Problem(code="evasion", detail="wide.py uses os._exit."),)
    incident = case.incident(await case.change({"wide.py": RIGHT}), receipts=(), findings=found)
    made = await case.written(incident)
    done = run(made.path, tmp_path / "work")
    assert done.returncode == 1
    assert "as recorded: the change touches wide.py" in done.stdout
    assert "not checked here: evasion: wide.py uses os._exit." in done.stdout
    assert "What a script can check of the failure shows" in done.stdout
    assert "The failure shows, as recorded." not in done.stdout
    assert "not checked by it" in (made.path / "README.md").read_text()


@pytest.mark.parametrize(
    ("patch", "label", "words"),
    [
        ("this is no patch\n", "patch_malformed", "git cannot read the patch"),
        ("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n", "patch_does_not_apply", "The patch does not apply."),
    ],
)
async def test_a_patch_that_never_became_a_commit_is_tried_as_it_was_submitted(
    case: Case, tmp_path: Path, patch: str, label: str, words: str
) -> None:
    made = await case.written(case.incident(patch=patch, label=label, receipts=(), findings=()))
    done = run(made.path, tmp_path / "work")
    assert done.returncode == 1, done.stderr
    assert words in done.stdout
    (made.path / "repos" / "r" / "change.patch").write_text(
        "--- a/wide.py\n+++ b/wide.py\n@@ -1,2 +1,3 @@\n+# more\n def pad(text):\n     return text\n"
    )
    assert run(made.path, tmp_path / "again").returncode == 0


async def test_an_engine_that_made_nothing_leaves_the_tests_failing_on_the_base(
    case: Case, tmp_path: Path
) -> None:
    found = (Problem(code="suspicious_place", detail="wide.py:2"),)
    incident = case.incident(engine="repair", label="no_repair_found", receipts=(), findings=found)
    made = await case.written(incident)
    done = run(made.path, tmp_path / "work")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "as recorded: exit code 1" in done.stdout
    assert "not checked here: no_repair_found" in done.stdout
    assert "not checked here: suspicious_place" in done.stdout
    assert "The failure shows, as recorded." not in done.stdout
    assert not (made.path / "repos" / "r" / "change.patch").exists()


async def test_what_hangs_is_waited_for_as_long_as_it_was(case: Case, tmp_path: Path) -> None:
    receipts = (case.receipt("setsid sleep 600 & sleep 600", exit_code=None, ended="wall"),)
    incident = case.incident(
        await case.change({"wide.py": WRONG}), receipts=receipts, budget=Budget(memory_mb=512, wall_s=2)
    )
    made = await case.written(incident)
    assert made.reproduction.gave == "as_recorded"
    impatient = run(made.path, tmp_path / "impatient", REPRODUCE_WALL_S="1")
    assert impatient.returncode == 2, impatient.stdout
    assert "not waited for to its end" in impatient.stdout
    receipts = (case.receipt("sleep 0", exit_code=None, ended="wall"),)
    incident = msgspec.structs.replace(incident, receipts=(("r", receipts[0]),))
    assert (await case.written(incident)).reproduction.gave == "does_not_show"


async def test_what_takes_too_much_memory_is_seen_to_take_it(case: Case, tmp_path: Path) -> None:
    hog = 'python -c "held = bytearray(200 * 2**20); import time; time.sleep(30)"'
    receipts = (case.receipt(hog, exit_code=None, ended="memory"),)
    change = await case.change({"wide.py": WRONG})
    incident = case.incident(change, receipts=receipts, budget=Budget(memory_mb=100, wall_s=20))
    made = await case.written(incident)
    assert made.reproduction.gave == "as_recorded", (made.path / "reproduction.log").read_text()
    done = run(made.path, tmp_path / "work")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "more than 100 MiB of memory" in done.stdout


async def test_without_the_repository_it_cannot_be_tried(case: Case, tmp_path: Path) -> None:
    made = await Reporter(tmp_path / "elsewhere").write(case.incident())
    assert made.reproduction.gave == "not_tried"
    done = run(made.path, tmp_path / "work")
    assert done.returncode == 2
    assert "could not be read when this was filed" in done.stderr


async def test_directories_of_the_environment_that_are_not_here_are_named_and_can_be_replaced(
    case: Case, tmp_path: Path
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    env = {**ENV, "PATH": f"{tools}:{ENV['PATH']}"}
    made = await case.written(case.incident(await case.change({"wide.py": WRONG}), repo={"env": env}))
    tools.rmdir()
    done = run(made.path, tmp_path / "work")
    assert done.returncode == 2
    assert f"names what is not here: {tools}\n" in done.stderr
    assert "REPRODUCE_PATH=" in done.stderr
    own = str(Path(sys.executable).parent)
    assert run(made.path, tmp_path / "own", REPRODUCE_PATH=own).returncode == 1


async def test_a_missing_plug_in_of_pytest_is_no_failure_of_the_change(case: Case, tmp_path: Path) -> None:
    incident = case.incident(
        engine="repair",
        label="no_repair_found",
        receipts=(),
        repo={"fail_to_pass": [f"{PYTEST} --no-such-option=1"]},
    )
    done = run((await case.written(incident)).path, tmp_path / "work")
    assert done.returncode == 2, done.stdout
    assert "pytest or one of its plug-ins is missing" in done.stderr


async def test_a_missing_program_is_no_failure_of_the_change(case: Case, tmp_path: Path) -> None:
    receipts = (case.receipt("no-such-program --flag"),)
    made = await case.written(case.incident(await case.change({"wide.py": WRONG}), receipts=receipts))
    done = run(made.path, tmp_path / "work")
    assert done.returncode == 2
    assert "a program is missing" in done.stderr


async def test_environment_and_set_up_are_those_of_the_task_and_nothing_of_the_caller(
    case: Case, tmp_path: Path
) -> None:
    word = 'a "b" `c` $(d)'
    looks = (
        'test "$(cat seen)" = \'a "b" `c` $(d)\' && case $PATH in */usr/bin:/bin) ;; *) exit 8;; esac'
        ' && test -z "$SECRET" && test "$HOME" != /home/somebody && test ! -e .git; exit $((9 - $?))'
    )
    repo = {"env": {**ENV, "WORD": word}, "setup": 'printf %s "$WORD" > seen'}
    receipts = (case.receipt(looks, exit_code=9), case.receipt("touch left; exit 9", exit_code=9))
    receipts += (case.receipt("test -e left && exit 1; exit 9", exit_code=9),)
    made = await case.written(
        case.incident(await case.change({"wide.py": RIGHT}), repo=repo, receipts=receipts)
    )
    done = run(made.path, tmp_path / "work", SECRET="x", HOME="/home/somebody")
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout.count("as recorded: exit code 9") == 3


async def test_no_text_of_a_task_is_taken_for_shell(case: Case, tmp_path: Path) -> None:
    change = await case.change({"wide.py": RIGHT})
    made = await case.written(case.incident(change))
    for number, hostile in enumerate(HOSTILE):
        findings = tuple(Problem(code=code, detail=f"{hostile} wide.py") for code in ("x", "command_failed"))
        incident = case.incident(
            change,
            title=hostile,
            reason=hostile,
            findings=findings,
            restored={"r": (hostile,)},
            receipts=(case.receipt("exit 1"),),
            repo={"env": {**ENV, "WORD": hostile}, "known_failures": [hostile]},
        )
        spec = incident.repos[0]
        repository = Repository(
            spec=spec,
            base=case.base,
            tree=case.git("rev-parse", f"{case.base}^{{tree}}"),
            ref=hostile,
            env=surround(spec.env).env,
            change_tree=change.tree,
        )
        (made.path / "reproduce").write_text(script(incident, expect(incident), (repository,)))
        done = run(made.path, tmp_path / f"work {number}")
        assert done.returncode == 1, (hostile, done.stdout + done.stderr)
    assert not list(tmp_path.rglob("OWNED"))


async def test_a_command_that_is_none_fails_by_itself_and_stops_nothing(case: Case, tmp_path: Path) -> None:
    broken = [text for text in HOSTILE if "touch" not in text and not text.startswith("exit 0")]
    receipts = (*(case.receipt(text, exit_code=2) for text in broken), case.receipt("echo reached; exit 1"))
    made = await case.written(
        case.incident(await case.change({"wide.py": RIGHT}), receipts=receipts, findings=())
    )
    printed = (made.path / "reproduction.log").read_text()
    assert "  | reached" in printed
    assert made.reproduction.exit_code in (1, 3), printed


async def test_no_secret_that_is_known_gets_into_the_directory(case: Case, tmp_path: Path) -> None:
    known, shaped = "s3cr3t-of-the-house", "ghp_" + "a" * 36
    change = await case.change({"wide.py": WRONG + f"TOKEN = '{shaped}'\n# {known}\n"})
    log = EvidenceStore(case.data / "evidence").put_bytes(f"leaked {known} {shaped}".encode())
    receipt = case.receipt(f"echo {known} {shaped}; exit 1")
    receipt = msgspec.structs.replace(receipt, output=EvidenceRef(digest=log, name="x.log"))
    incident = case.incident(
        change,
        title=f"about {known}",
        reason=shaped,
        receipts=(receipt,),
        evidence=(receipt.output,),
        findings=(Problem(code="test_not_passing", detail=known),),
        repo={"env": {**ENV, "TOKEN": known}},
    )
    await Broker(case.data).mirror(str(case.source))
    made = await Reporter(case.data, Redactor([known])).write(incident)
    for path in made.path.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert known.encode() not in content, path
            assert shaped.encode() not in content, path
    assert made.reproduction.gave == "as_recorded", (made.path / "reproduction.log").read_text()
    assert "was taken out of the change of r" in (made.path / "README.md").read_text()


async def test_the_directory_holds_all_that_a_person_needs(case: Case) -> None:
    made = await case.written(case.incident(await case.change({"wide.py": WRONG})))
    environment = msgspec.json.decode((made.path / "environment.json").read_bytes())
    seen = environment["repositories"]["r"]
    assert seen["python"].startswith("Python 3.")
    assert seen["git"].startswith("git version")
    assert any(package.startswith("pytest==") for package in seen["packages"])
    assert environment["platform"]
    assert environment["autopilot"]
    assert (made.path / "repos" / "r" / "failing-1.txt").read_text() == "test_wide.py::test_pad\n"
    story = msgspec.json.decode((made.path / "incident.json").read_bytes())
    assert story["incident"]["bases"] == {"r": case.base}
    assert story["reproduction"]["gave"] == "as_recorded"
    assert "repos/r/base.bundle" not in made.files
    assert {"README.md", "reproduce", "incident.json", "repos/r/change.patch"} <= set(made.files)


async def test_writing_it_again_gives_the_same_directory_and_nothing_beside_it(case: Case) -> None:
    incident = case.incident(await case.change({"wide.py": WRONG}))

    async def content() -> dict[str, bytes]:
        made = await case.written(incident)
        kept = ("reproduce", "environment.json", "repos/r/change.patch", "repos/r/failing-1.txt")
        return {name: (made.path / name).read_bytes() for name in kept}

    assert await content() == await content()
    assert [path.name for path in (case.data / "incidents").iterdir()] == ["t1-1"]
