"""After training, on the same fleet: what is written of it in one job is checked, planned and handed on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from training.checked import check_file, checked_plan
from training.plan import Offer

#: Row -> the step that does it.
STEPS: dict[str, dict[str, Any]] = {
    "POST-1": {"command": "merge-lora", "args": {"adapters": "{train.best_checkpoint}"}},
    "POST-2": {"command": "eval", "args": {"model": "{merge.output}", "eval_dataset": ["gsm8k"]}},
    "POST-3": {
        "command": "export",
        "args": {"model": "{merge.output}", "quant_method": "awq", "quant_bits": 4, "dataset": "swift/self-cognition"},
    },
    "POST-4": {"command": "deploy", "args": {"model": "{quantize.output}", "infer_backend": "vllm"}},
}
TRAIN = {
    "command": "sft",
    "args": {
        "model": "Qwen/Qwen2.5-7B-Instruct", "dataset": "swift/self-cognition#500", "max_length": 512,
        "tuner_type": "lora",
    },
}  # fmt: skip


def test_lora_is_merged_then_quantised_and_deployed_in_one_job(tmp_path: Path) -> None:
    """NOTE-8: for production LoRA, merge, then AWQ, and no QLoRA. POST-1 to POST-4 in their order."""
    file = tmp_path / "job.yaml"
    file.write_text(yaml.safe_dump({**TRAIN, "then": list(STEPS.values())}))
    offer = Offer("g6e.12xlarge", 1, 4, shared=True)
    assert [one for one in check_file(file, offer).findings if one.severity == "error"] == []
    plan, _ = checked_plan(file, offer)
    assert [one.name for one in plan.steps] == ["train", "merge", "eval", "quantize", "deploy"]
    assert [one.world_size for one in plan.steps] == [4, 1, 1, 1, 1]
    assert plan.stays


@pytest.mark.parametrize("row", STEPS)
def test_a_step_takes_only_what_an_earlier_one_leaves(tmp_path: Path, row: str) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(yaml.safe_dump({**TRAIN, "then": [STEPS[row]]}))
    errors = [one.where for one in check_file(file).findings if one.severity == "error"]
    assert errors == ([] if row == "POST-1" else ["then.0.args.model"])
