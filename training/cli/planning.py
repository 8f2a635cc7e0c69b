"""A job file on a fleet, planned as each command that needs the plan has it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from infra.errors import CloudRefused
from training.cli import options

if TYPE_CHECKING:
    from training.fleets import Fleet
    from training.plan import Plan


def made_plan(job: Path, fleet: Fleet, *, makes_it: bool | None = None, resume: str = "") -> Plan:
    """The plan of a job file on a fleet; BadInput with a line for each thing that is wrong.

    makes_it: whether the run makes the fleet, so that the job's budget is the fleet's too; by default if it isn't up.
    resume: the run whose newest checkpoint it goes on from.
    """
    from training.checked import check_file, checked_plan
    from training.estimated import of_plan
    from training.findings import ok, refuse
    from training.resume import resumed
    from training.stack_fleet import StackFleet, machines

    first = check_file(job)
    if first.job and first.job.budget is not None and isinstance(fleet, StackFleet) and ok(first.findings):
        makes_it = is_down(fleet) if makes_it is None else makes_it
        fleet.budget = first.job.budget if makes_it else None
    made, lines = checked_plan(job, fleet.offer())
    if resume:
        made = resumed(made, resume, options.project_root() / "runs" / resume)
    if isinstance(fleet, StackFleet):
        fleet.profile = made.job.needs[0].profile
    refuse(of_plan(made, machines()).findings, job, lines)
    return made


def is_down(fleet: Fleet) -> bool:
    """Also where it can't be told: then it is planned as one that is still to be made."""
    try:
        return not fleet.is_up()
    except CloudRefused:
        return True
