"""What a person is told of a run that did not end well: why, what is left of its fleet, its price, what goes on."""

from __future__ import annotations

from infra.errors import FleetError, Interrupted, TrainingFailed
from training.fleets import Fleet
from training.record import Request
from training.replacing import why_ended
from training.stack_fleet import StackFleet
from training.steps import Chain, folder_of
from training.telling import Line


def failed(chain: Chain, line: Line, fleet: Fleet) -> FleetError:
    if chain.failed is None:
        assert chain.error, "it has a step that failed, or an error"
        do = f"{chain.error.do} {_after_the_end(line, fleet)}"
        return TrainingFailed(chain.error.what, where=chain.error.where, do=do)
    outcome, run = chain.failed.outcome, chain.failed.run
    lost = outcome.first_failed_rank if outcome.state == "lost" else None
    ended = why_ended(fleet, lost) if lost is not None and isinstance(fleet, StackFleet) else ""
    # Of one that has ended the next `up` makes another.
    do = _after_the_end(line, fleet, None if ended else lost)
    step = f"{run.step}: " if run.then or run.id != line.request.run_id else ""
    rank = "" if outcome.first_failed_rank is None else f"rank {outcome.first_failed_rank} failed first: "
    if outcome.state == "stopped":
        return Interrupted(f"{line.request.run_id} was stopped at {step}step {outcome.step}", do=do)
    cause = outcome.cause
    said = f"{cause.text} (logs/rank-{cause.rank}.log:{cause.line})" if cause else outcome.why
    said = f"its machine was ended: {ended}" if ended else said
    said = "\n  ".join([said, *(cause.advice() if cause else ())])
    return TrainingFailed(f"{step}{rank}{said}", where=str(folder_of(line.folder, run)), do=do)


def _after_the_end(line: Line, fleet: Fleet, lost: int | None = None) -> str:
    """A run that is over can't be gone on with: what is left of its fleet, and how to try again. lost: the rank whose
    machine does not answer."""
    if not isinstance(fleet, StackFleet):
        return f"fleet logs {line.request.run_id} tells more."
    saved = any((line.folder / "output").glob("checkpoint-*"))
    goes_on = f" (--resume {line.request.run_id}: from its newest checkpoint)" if saved else ""
    other = f"fleet replace {lost} -s {fleet.name} gives the lost rank another machine, " if lost is not None else ""
    tries = f"fleet run JOB -s {fleet.name} tries again{goes_on}"
    return f"{fleet.what_is_left()}: {other}{tries}, fleet down -s {fleet.name} ends it."


def what_next(request: Request, fleet: Fleet) -> str:
    """What is left, what it costs an hour, and the two commands that go on from here."""
    attach = f"fleet attach {request.run_id} goes on"
    if not isinstance(fleet, StackFleet):
        return f"{attach}; fleet stop {request.run_id} ends it."
    return f"{fleet.what_is_left()}: {attach}; fleet down -s {request.fleet} leaves nothing."
