"""A plan that goes on from what an earlier run left in this machine's folder of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from infra.errors import BadInput
from training.place import shipped
from training.plan import Plan
from training.swift.resume import lacks, resuming, step_of


def resumed(plan: Plan, run: str, folder: Path) -> Plan:
    """The plan from the newest whole checkpoint of `run`, which is sent to the nodes. folder: the run's, here.

    Raises BadInput where it left none, or none with an optimizer.
    """
    job = plan.job
    if job.trainer == "torchrun" or job.command not in ("sft", "pt", "rlhf"):
        raise BadInput(f"{job.trainer} {job.command} can't be resumed", do="Only training goes on from a checkpoint.")
    checkpoint = newest(job.trainer, run, folder)
    shipment = shipped("resume_from_checkpoint", checkpoint)
    args = resuming(job.trainer, plan.args, f"{{base}}/{shipment.there}")
    return replace(plan, args=args, shipments=(*plan.shipments, shipment))


def newest(trainer: str, run: str, folder: Path) -> Path:
    """The newest checkpoint in a run's output that its trainer can go on from."""
    found = {
        step: path for path in (folder / "output").glob("checkpoint-*") if (step := step_of(path.name)) is not None
    }
    why = ""
    for step in sorted(found, reverse=True):
        files = [one.relative_to(found[step]).as_posix() for one in found[step].rglob("*") if one.is_file()]
        reason = lacks(trainer, files, _written(found[step]))
        if not reason:
            return found[step]
        why = why or f"{found[step].name}: {reason}"
    if why:
        do = f"Start anew from its weights instead (model: {folder / 'output'}/...), and save the optimizer next time."
        raise BadInput(f"{run} left no checkpoint to go on from; {why}", where=str(folder / "output"), do=do)
    do = f"fleet collect {run} fetches what it saved; save_steps says how often it does."
    raise BadInput(f"{run} left no checkpoint here", where=str(folder / "output"), do=do)


def _written(checkpoint: Path) -> Mapping[str, Any]:
    try:
        found = json.loads((checkpoint / "args.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
