"""The memory estimate beside published figures: `memory-cases.yaml`, scored for the bench and for a test."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from training.swift.memory import Estimate, estimate
from training.swift.shapes import shape_of

CASES = Path(__file__).with_name("memory-cases.yaml")
OTHERS = ("ref_model", "teacher_model", "reward_model")


@dataclass(frozen=True)
class Scored:
    """case: as in the file. error: (estimate - figure) / figure."""

    case: dict[str, Any]
    estimate: Estimate

    @property
    def gib(self) -> float:
        """What the estimate is held against the figure: on a card of that size, where an engine takes a part of it."""
        return self.estimate.on(self.case["gib"]) if self.estimate.vllm_share else self.estimate.gib

    @property
    def error(self) -> float:
        return self.gib / float(self.case["gib"]) - 1

    @property
    def group(self) -> str:
        """measured, stated, older; doubtful; assumed: several rows at once of a data set whose lengths nobody
        published, so that the estimate can only be a bound.
        """
        if "doubt" in self.case:
            return "doubtful"
        setting = self.estimate.setting
        if self.case["kind"] != "older" and setting.assumed and setting.sequences > 1:
            return "assumed"
        return str(self.case["kind"])


@dataclass(frozen=True)
class Score:
    """Errors as parts of the figure, without their sign."""

    number: int
    median: float
    worst: float
    within_35_percent: int


def scored() -> list[Scored]:
    cases = yaml.safe_load(CASES.read_text(encoding="utf-8"))
    return [Scored(case, _estimate(case)) for case in cases]


def score(rows: Iterable[Scored]) -> Score:
    errors: Sequence[float] = [abs(one.error) for one in rows]
    return Score(len(errors), median(errors), max(errors), sum(one < 0.35 for one in errors))


def summary() -> dict[str, dict[str, Any]]:
    """What the bench says of each group of figures."""
    rows = scored()
    groups: dict[str, dict[str, Any]] = {}
    for name in SAID:
        group = [one for one in rows if one.group == name or name == EVERYTHING and one.case["kind"] == "measured"]
        found = score(group)
        over = max(one.error for one in group)
        groups[name] = {
            "runs": found.number,
            "median_error": round(found.median, 3),
            "worst_error": round(found.worst, 3),
            "within_35_percent": found.within_35_percent,
            "most_over": round(over, 3),
            "said": SAID[name].format(found=found, over=over),
        }
    return groups


EVERYTHING = "everything"
SAID = {
    "measured": "median error {found.median:.1%} (< 10 %), worst {found.worst:.1%} (< 35 %)",
    "older": "median error {found.median:.1%}, {found.within_35_percent} within 35 %: ms-swift 2.6, the blind test",
    "stated": "at most {over:+.1%} (< +15 %): the figure is a card's size",
    "assumed": "median error {found.median:.1%}: not scored, nobody published how long their rows are",
    "doubtful": "not scored, contradicted by other figures of the same authors: see each",
    EVERYTHING: "median error {found.median:.1%}, {found.within_35_percent} within 35 %: nothing left out",
}


def _estimate(case: dict[str, Any]) -> Estimate:
    args = case["args"]
    others = {name: shape_of(args[name]) for name in OTHERS if name in args}
    return estimate(
        case["command"],
        args,
        shape_of(args["model"]),
        case["gpus"],
        ranks=case.get("ranks"),
        env=case.get("env"),
        others=others,
    )


GUIDE = Path(__file__).with_name("hardware-guide.yaml")
#: What a claim may be short of: the guide rounds, and so do the figures that it was taken from.
ROUNDED = 1.15


@dataclass(frozen=True)
class Guided:
    """A row of the hardware guide with the estimate of its job."""

    row: dict[str, Any]
    estimate: Estimate

    @property
    def gib(self) -> float:
        return self.estimate.on(self.row["card"])

    @property
    def verdict(self) -> str:
        """agreed where the job fits the guide's GPUs and needs no more than it says."""
        fits = self.estimate.fits(self.row["card"]) and self.gib <= ROUNDED * self.row["claim"]
        return "agreed" if fits else "contradicted"


def guide() -> list[Guided]:
    rows = yaml.safe_load(GUIDE.read_text(encoding="utf-8"))
    return [Guided(row, _estimate({"command": "swift sft", **row})) for row in rows]
