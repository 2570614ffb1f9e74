"""The record of a running stack is sealed, verified, exported and verified elsewhere."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from tests.e2e.stack import Stack, until

NOOP = {
    "title": "Nothing",
    "body": "Simulated.",
    "repos": [{"name": "r", "url": "/nowhere/r.git", "base": "main", "fail_to_pass": ["true"]}],
    "engine": "noop",
    "synthetic": True,
}


def test_the_record_is_sealed_and_an_export_verifies_without_the_stack(stack: Stack, tmp_path: Path) -> None:
    task_file = tmp_path / "noop.json"
    task_file.write_text(json.dumps(NOOP))
    task_id = stack.submit(task_file)[0]
    assert stack.ended(task_id)["phase"] == "done"

    def sealed() -> dict[str, object] | None:
        verdict: dict[str, object] = stack.json("journal", "verify")
        return verdict if verdict["unsealed"] == 0 else None

    verdict = until(sealed, "the last event to be sealed")
    assert verdict["ok"]
    assert stack.state["journal"]["ok"]
    assert (stack.data_dir / "secrets" / "journal-key").stat().st_mode & 0o777 == 0o600
    key = stack.secret("journal-public-key")
    assert verdict["key"] == key

    file, nowhere = tmp_path / "record.gz", Stack(tmp_path / "nowhere")
    assert stack.json("journal", "export", file)["rows"]["events"] >= verdict["events"]
    assert nowhere.json("journal", "verify", "--file", file, "--public-key", key)["ok"]
    text = gzip.decompress(file.read_bytes()).decode()
    file.write_bytes(gzip.compress(text.replace("Simulated.", "Stimulated", 1).encode()))
    broken = nowhere.run("journal", "verify", "--file", file)
    assert broken.returncode == 1
    assert "BROKEN at position" in broken.stdout
    assert nowhere.run("journal", "verify").returncode == 3
