"""What a run's events say of each of its stages and steps: how long, how it ended, what it left. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from training.record import STAGES, Stage
from training.run import Endpoint, Outcome, Step

TRAIN = STAGES.index("train")


@dataclass(frozen=True)
class StepDone:
    """One step of a job. state: as an outcome's, or `serves` of an endpoint that stays, `served` of one that was ended.

    left: the name of its best checkpoint, or the addresses of its endpoints.
    """

    name: str
    state: str
    seconds: float
    left: str = ""


@dataclass
class Told:
    """What was told while one step was the stage."""

    outcome: Outcome | None = None
    steps: list[Step] = field(default_factory=list)
    urls: dict[str, None] = field(default_factory=dict)


def by_step(events: Iterable[Any]) -> dict[str, Told]:
    """What was told, by the name of the step, in the order in which they began."""
    told: dict[str, Told] = {}
    name = "train"
    for event in events:
        match event:
            case Stage(stage=stage, state="started") if stage == "train" or stage not in STAGES:
                name = stage
                told.setdefault(name, Told())
            case Outcome():
                told.setdefault(name, Told()).outcome = event
            case Step():
                told.setdefault(name, Told()).steps.append(event)
            case Endpoint():
                told.setdefault(name, Told()).urls[event.url] = None
    return told


def steps_done(told: Mapping[str, Told], stages: Mapping[str, float]) -> tuple[StepDone, ...]:
    """A line a step, where there are several or one serves; of a single one that trains the receipt itself tells."""
    if len(told) < 2 and not any(one.urls for one in told.values()):
        return ()
    last = next(reversed([*told]), "")
    out = []
    for name, one in told.items():
        state: str = one.outcome.state if one.outcome else "not begun"
        if state == "running":
            state = "serves" if name == last else "served"
        best = one.outcome.best_checkpoint or one.outcome.last_checkpoint if one.outcome else ""
        out.append(StepDone(name, state, stages.get(name, 0.0), ", ".join(one.urls) or best.rpartition("/")[2]))
    return tuple(out)


def seconds_by_stage(events: Iterable[Any]) -> dict[str, float]:
    """How long each stage took, over all tries of it; a stage that was cut off counts up to the next event."""
    spent: dict[str, float] = {}
    open_at: dict[str, datetime] = {}
    last: datetime | None = None
    for event in events:
        if isinstance(event, Stage):
            if event.state == "started":
                if event.stage in open_at and last:
                    spent[event.stage] = spent.get(event.stage, 0) + (last - open_at[event.stage]).total_seconds()
                open_at[event.stage] = event.at
            elif event.state in ("done", "failed", "interrupted") and event.stage in open_at:
                began = open_at.pop(event.stage)
                spent[event.stage] = spent.get(event.stage, 0) + (event.at - began).total_seconds()
        last = event.at
    return in_order(spent)


def walked(events: Iterable[Any]) -> tuple[str, ...]:
    """The places that had no room for the fleet, and why: what its `up` noted."""
    noted = (event for event in events if isinstance(event, Stage) and (event.stage, event.state) == ("up", "note"))
    return tuple(event.detail for event in noted)


def in_order(spent: Mapping[str, float]) -> dict[str, float]:
    """By stage: the steps of a job, in the order in which they were done, stand where `train` does."""
    steps = [stage for stage in spent if stage not in STAGES or stage == "train"]
    return {stage: spent[stage] for stage in (*STAGES[:TRAIN], *steps, *STAGES[TRAIN + 1 :]) if stage in spent}
