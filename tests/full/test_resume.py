"""A run that goes on from another's checkpoint, with real ms-swift: the next step follows the last."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from project import Local

pytestmark = pytest.mark.full


def receipt(run: Path) -> dict:
    return dict(json.loads((run / "receipt.json").read_text()))


def test_a_second_run_begins_where_the_first_had_saved(local: Local, tiny: Path) -> None:
    local.done.ok()
    runs = local.project.root / "runs"
    (first,) = runs.iterdir()
    done_steps = receipt(first)["outcome"]["max_steps"]
    job = local.project.job(tiny, dataset=f"{tiny}/docstrings.jsonl#64", num_train_epochs=2)
    said = local.project.fleet("run", job, "--local", "--yes", "--resume", first.name, "--json", within=500).ok()
    steps = [event["step"] for event in said.events if event["event"] == "Step"]
    assert done_steps < min(steps) and max(steps) <= 2 * done_steps
    (second,) = [one for one in runs.iterdir() if one != first]
    assert receipt(second)["outcome"]["state"] == "succeeded"
    assert receipt(second)["outcome"]["step"] == 2 * done_steps
    assert "resume_from_checkpoint" in (local.home / f"fleet/runs/{second.name}/rank-0/args.yaml").read_text()
