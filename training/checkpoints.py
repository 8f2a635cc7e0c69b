"""Which checkpoint a step left, by its own word and by what lies on the node's disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from infra.errors import TrainingFailed
from training.connection import quoted
from training.remote import Machines
from training.run import Outcome, Run
from training.swift.resume import step_of

LOOK_S = 60.0

#: The run's folder: the one that the log named, or the newest `v<N>-<time>` of the output; then what is said in it.
#: `best_model_checkpoint` is in the last line of logging.jsonl, and in trainer_state.json of each checkpoint.
LOOK = r"""
cd -- "$folder" 2>/dev/null || exit 0
if ! ls -d checkpoint-* > /dev/null 2>&1; then
  newest=$(ls -d v*-*/ 2>/dev/null | sort -V | tail -n 1)
  [ -z "$newest" ] || cd -- "$newest"
fi
echo "dir $PWD"
for one in checkpoint-*/; do [ ! -d "$one" ] || echo "checkpoint ${one%/}"; done
best='"best_model_checkpoint": *"[^"]*"'
tail -n 1 logging.jsonl 2>/dev/null | grep -o "$best" | sed 's/^/said /'
newest=$(ls -d checkpoint-*/ 2>/dev/null | sort -V | tail -n 1)
[ -z "$newest" ] || grep -o "$best" "$newest/trainer_state.json" 2>/dev/null | head -n 1 | sed 's/^/said /'
"""


@dataclass(frozen=True)
class Checkpoints:
    """Absolute paths on the rank that writes them. best: the last where none was measured; "" for none at all."""

    folder: str
    best: str
    last: str


def find(machines: Machines, run: Run, outcome: Outcome) -> Checkpoints:
    """Of a run that ended well; TrainingFailed where it left none."""
    script = f"folder={quoted(outcome.run_dir or run.output_dir)}\n{LOOK}"
    answer = machines.on(run.master, lambda c: c.run(script, LOOK_S).must(c.node, "looking for checkpoints"))
    found = choose(answer.out, outcome.best_checkpoint)
    if not found.last:
        raise TrainingFailed(
            f"{run.step} left no checkpoint", where=found.folder or run.output_dir, do="save_steps says when it saves."
        )
    return found


def choose(said: str, best: str = "") -> Checkpoints:
    """LOOK's answer as checkpoints. Pure. best: what the log named. What is named and not there is not taken."""
    told: Mapping[str, list[str]] = {"dir": [], "checkpoint": [], "said": []}
    for line in said.splitlines():
        key, _, value = line.partition(" ")
        told.get(key, []).append(value)
    folder = told["dir"][0] if told["dir"] else ""
    steps = {step: name for name in told["checkpoint"] if (step := step_of(name)) is not None}
    last = steps[max(steps)] if steps else ""
    named = [best, *(_text(one) for one in told["said"])]
    chosen = next((name for one in named if (name := PurePosixPath(one).name) in steps.values()), last)
    return Checkpoints(folder, *(f"{folder}/{one}" if one else "" for one in (chosen, last)))


def _text(pair: str) -> str:
    """The value of `"best_model_checkpoint": "..."`."""
    return str(json.loads("{" + pair + "}")["best_model_checkpoint"])
