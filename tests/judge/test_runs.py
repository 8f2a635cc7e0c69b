"""What ms-swift says of a broken rule only when it runs: a command that breaks each, and one that does not, are run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from project import REPO
from rule_cases import BROKEN
from rules_asked import RUN, cases_of

sys.path.append(str(REPO / "tests" / "full"))
from small import conversations, judged, prompts, questions, rewarding, write

HERE = Path(__file__).parent
LITTLE = {
    "logging_steps": 1, "report_to": ["none"], "save_strategy": "no", "max_length": 128, "dataloader_num_workers": 0,
}  # fmt: skip


def runs(rule: str, tiny: Path, folder: Path) -> list[dict[str, Any]]:
    """Broken, then mended: the rule's own arguments over a step or two of the tests' model."""
    pairs = questions(tiny)
    _, breaking, mending, _ = BROKEN[rule]
    out = []
    for broken, case in cases_of(rule, tiny):
        rows = judged if rule.startswith("kto") else prompts if rule.startswith("ppo") else conversations
        args = json.loads(case.args) | LITTLE | {"dataset": [str(write(folder / f"{rule}.jsonl", rows(pairs)))]}
        args |= {} if rule == "streaming-needs-max-steps" else {"max_steps": 2}
        if rule.startswith("ppo"):
            del args["max_steps"]
            args |= {"response_length": 4, "per_device_train_batch_size": 12, "gradient_accumulation_steps": 1}
            args |= {"num_train_epochs": 1, "num_sample_generations": 0, "reward_model_type": "qwen2"}
        args |= breaking | ({} if broken else mending)
        if args.get("deepspeed"):  # the other mending
            args |= {"deepspeed": None, "tuner_type": "full"}
        if args.get("reward_model"):
            args["reward_model"] = [str(rewarding(tiny / "model", folder / "reward"))]
        args = {name: value for name, value in args.items() if value is not None}
        out.append({"command": case.command, "args": args})
    return out


@pytest.fixture(scope="module")
def became(request: pytest.FixtureRequest, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """rule -> what became of the broken command, and of the mended one."""
    python = os.environ.get("SWIFT_PYTHON") or request.getfixturevalue("local").python
    cases = [case for rule in RUN for case in runs(rule, tiny, tmp_path_factory.mktemp(rule))]
    env = {"USE_HF": "1", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [python, HERE / "ran.py"],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        env={**os.environ, **env},
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout)
    return {rule: (said[2 * n], said[2 * n + 1]) for n, rule in enumerate(RUN)}


@pytest.mark.full
@pytest.mark.parametrize("rule", RUN)
def test_a_run_that_breaks_a_rule_shows_it_and_its_mending_runs(rule: str, became: Any) -> None:
    broken, mended = became[rule]
    assert mended["error"] is None and mended["steps"] > 0
    if RUN[rule]:
        assert RUN[rule] in broken["error"] and broken["steps"] == 0
    else:
        assert rule == "ppo-goes-by-epochs" and broken == mended and broken["steps"] > 1
