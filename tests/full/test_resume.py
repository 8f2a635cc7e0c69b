"""Two ranks that fail go on from their checkpoint by themselves, with real ms-swift: their steps follow the saved."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from project import Local

pytestmark = pytest.mark.full

#: Fails in the middle of the first attempt, and of no later one.
FAILS = """
from swift.callbacks import TrainerCallback, callbacks_map


class FailsOnce(TrainerCallback):
    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == 5 and not args.resume_from_checkpoint:
            raise RuntimeError("the node had a bad moment")


callbacks_map["fails_once"] = FailsOnce
"""


def test_a_run_that_failed_goes_on_from_what_it_had_saved(local: Local, tiny: Path) -> None:
    local.done.ok()
    project = local.project
    rows = {"dataset": f"{tiny}/docstrings.jsonl#64", "per_device_train_batch_size": 4}
    job = project.job(tiny, **rows, save_steps=2, callbacks=["fails_once"])
    (job.parent / "fails.py").write_text(FAILS)
    more = {"plugins": ["fails.py"], "retries": 1, "nproc_per_node": 2}
    job.write_text(yaml.safe_dump({**yaml.safe_load(job.read_text()), **more}))
    said = project.fleet("run", job, "--local", "--yes", "--json", within=580).ok()
    (retry,) = [event for event in said.events if event["event"] == "Retry"]
    assert "the node had a bad moment" in retry["why"] and retry["attempt"] == 1
    number = said.events.index(retry)
    first, second = (
        [e["step"] for e in events if e["event"] == "Step"] for events in (said.events[:number], said.events[number:])
    )
    assert max(first) == 4 and (min(second), max(second)) == (6, 8)
    receipt = said.events[-1]
    assert (receipt["outcome"]["state"], receipt["outcome"]["step"]) == ("succeeded", 8)
    saved = json.loads((project.root / "runs" / retry["resume"] / "receipt.json").read_text())
    assert saved["outcome"]["state"] == "failed"
