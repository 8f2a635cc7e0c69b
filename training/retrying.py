"""After a run that failed: whether it is tried again by itself, and from what."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from infra.errors import BadInput
from training.plan import Plan
from training.record import Request
from training.resume import newest
from training.run import new_run_id


def next_attempt(request: Request, plan: Plan | None, folder: Path) -> Request | None:
    """The request that goes on from what a failed run saved. folder: this machine's, of the failed run.

    None where the job's retries are used up, or where this attempt saved nothing that one could go on from: what fails
    twice at one step would fail a third time. The fleet is the same, and ends as it would have after the first.
    """
    if plan is None or request.attempt >= plan.job.retries:
        return None
    try:
        newest(plan.job.trainer, request.run_id, folder)
    except BadInput:
        return None
    return replace(request, run_id=new_run_id(), resume=request.run_id, attempt=request.attempt + 1)
