"""A task that took every turn: two attempts with a loop between them, parked for a day, done at last."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from contracts.receipt import EvidenceRef, Problem
from contracts.resolution import LoopClosed, LoopOpened, PlanDeltaRecorded
from contracts.stage import StageOutput
from contracts.task import PlanDelta, Stage, TaskParked, TaskUnparked
from libs.evidence.store import EvidenceStore
from tests.integration.dashboard.history import Life
from tests.integration.dashboard.world import Pen

TASK = "t-winding"
#: Marks that a terminal or an editor would obey: right-to-left override, colours, an escape that names a window.
BIDI, ANSI = "access = 'user\u202e \u2066// admin'", "\x1b[31mred\x1b[0m \x1b]0;title\x07"
REMARK = "The rule is applied to refunds only; charges are left as they are."
DIFF = f"""\
diff --git a/ledgerline/money.py b/ledgerline/money.py
index 3f1c2aa..9b0d1ce 100644
--- a/ledgerline/money.py
+++ b/ledgerline/money.py
@@ -10,4 +10,5 @@ class Money:
 def split(self, parts):
-    whole = self.units // parts
+    whole, left = divmod(self.units, parts)
+    {BIDI}
     return [whole] * parts
--- not a header but a removed line
+++ nor is this one
diff --git a/docs/money.md b/docs/money.md
new file mode 100644
index 0000000..9b0d1ce
--- /dev/null
+++ b/docs/money.md
@@ -0,0 +1,2 @@
+<script>document.title = 'owned'</script>
+{"x" * 200_000}
\\ No newline at end of file
"""
PROBLEM = Problem(code="test_not_passing", detail="tests/test_money.py::test_refund fails on the change")


class Winding(Life):
    """A life whose change is a real diff, with a remark."""

    def _output(
        self, stage: Stage, problems: tuple[Problem, ...] = ()
    ) -> tuple[StageOutput, tuple[EvidenceRef, ...]]:
        output, evidence = super()._output(stage, problems)
        if stage != "implement":
            return output, evidence
        diff = self.stored("implement/ledgerline/change.diff", DIFF, "text/x-diff")
        log = self.stored("implement/noise.log", "\n".join([f"line {n} {ANSI}" for n in range(1, 20_001)]))
        changes = tuple(
            msgspec.structs.replace(change, diff=diff, remarks=(REMARK,)) for change in output.changes
        )
        return msgspec.structs.replace(output, changes=changes), (diff, log)


async def record_winding(pen: Pen, data: Path) -> None:
    """Record it: ten attempts of stages, ten answers of gates, one loop."""
    life = Winding(pen, EvidenceStore(data / "evidence"), TASK, "refunds are split fairly", priority="urgent")
    await life.until("verify")
    await life.passed("verify", 3.5, (PROBLEM,))
    loop: dict[str, Any] = {"task_id": TASK, "loop": 1, "stage": "verify"}
    await life.write(
        LoopOpened(
            **loop,
            kind="persistent",
            label="test_not_passing",
            fingerprint="f" * 12,
            signature="s" * 12,
            findings=(PROBLEM,),
        )
    )
    delta = PlanDelta(
        loop=1, different="negative amounts are split as well", answers=(PROBLEM.code,), signature="s" * 12
    )
    await life.write(PlanDeltaRecorded(task_id=TASK, delta=delta))
    for stage in ("plan", "implement", "verify"):
        await life.passed(stage)
    await life.write(LoopClosed(**loop))
    await life.write(
        TaskParked(
            task_id=TASK,
            code="no_quorum",
            reason="gate 4 reached no quorum",
            owner="operator",
            wake_up="autopilot retry",
        )
    )
    await life.write(TaskUnparked(task_id=TASK, reason="the reviewers are back"), after=86_400)
    for stage in ("review", "pr", "monitor"):
        await life.passed(stage)
    await life.done()
