"""ms-swift is the judge of the recipes: its parsers take each, its argument classes those that need no GPU to be made.

Which environment: that of the `local` run, or the python that SWIFT_PYTHON names, made from scripts/locks/base.txt.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from training.recipe import Recipe, recipes

JUDGE = Path(__file__).parent / "judged.py"
#: Need a package or GPUs that are not here before anything is said of what goes together.
UNJUDGED = {"app", "eval", "rollout", "grpo-server", "grpo-two-nodes", "infer-lora", "merge"}
#: Packages that are not here.
WITHOUT = ("deepspeed", "use_liger_kernel")
CPU = {"check_model": False, "use_cpu": True, "torch_dtype": "float32", "bf16": False, "fp16": False}


def whole(recipe: Recipe, tiny: Path) -> dict[str, Any]:
    """The recipe's arguments with the tests' model and data."""
    args = {name: value for name, value in recipe.job.args.items() if name not in WITHOUT}
    models = dict.fromkeys(("model", "teacher_model", "reward_model"), str(tiny / "model"))
    data = dict.fromkeys(("dataset", "val_dataset"), str(tiny / "docstrings.jsonl"))
    args |= {name: value for name, value in (models | data).items() if name in args}
    args |= {"model_type": "qwen2", "template": "qwen2_5"} if "model" in args else {}
    return args | (CPU if recipe.job.command in ("sft", "pt", "rlhf") else {})


def test_ms_swift_takes_every_recipe(request: pytest.FixtureRequest, tiny: Path) -> None:
    python = os.environ.get("SWIFT_PYTHON") or request.getfixturevalue("local").python
    cases = [{"command": one.command, "args": dict(one.job.args), "whole": False} for one in recipes()]
    judged = [one for one in recipes() if one.job.trainer == "swift" and one.name not in UNJUDGED]
    cases += [{"command": one.command, "args": whole(one, tiny), "whole": True, "world": [1, 1, 0]} for one in judged]
    done = subprocess.run(
        [python, JUDGE],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        env={**os.environ, "USE_HF": "1", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""},
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    names = [one.name for one in recipes()] + [f"{one.name}, whole" for one in judged]
    said = dict(zip(names, json.loads(done.stdout)["verdicts"], strict=True))
    assert {name: verdict for name, verdict in said.items() if verdict} == {}
