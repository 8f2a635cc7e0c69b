"""All events -> `Receipt`: what it was to cost and did, where the time went, what is on disk, and that nothing is left.

Pure. Every number comes from an event or a price with a date; what nobody measured is None and shown as unknown.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from training.record import Request
from training.run import Checkpoint, Outcome, Step, from_json
from training.told import StepDone, Told, by_step, seconds_by_stage, steps_done, walked


@dataclass(frozen=True)
class Money:
    """USD. planned_most: to the last of its ends; actual: billed time x the fleet's hourly price.

    billed_hours: from the first node's launch to the last one's end (or to now where the fleet is left up), or only the
    most that it can be (at_most), where the nodes ended by themselves and nobody tells any more when;
    planned_hours: to that end; not_counted: what bills by use, so that no hour has a price.
    """

    usd_per_hour: float | None
    price_source: str
    planned_most: float | None
    billed_hours: float | None
    parts_per_hour: Mapping[str, float]
    planned_hours: float | None = None
    budget: float | None = None
    not_counted: tuple[str, ...] = ()
    at_most: bool = False

    @property
    def parts(self) -> dict[str, tuple[float | None, float | None]]:
        """Of each part of the fleet what it was to cost at most, and what it did."""
        return {
            name: (_product(usd, self.planned_hours), _product(usd, self.billed_hours))
            for name, usd in self.parts_per_hour.items()
        }

    @property
    def within_budget(self) -> bool | None:
        """None without a budget, or where what was spent is unknown."""
        if self.budget is None or self.actual is None:
            return None
        return True if self.actual <= self.budget else None if self.at_most else False

    @property
    def most(self) -> str:
        """What stands behind each amount and time that was billed."""
        return " at most" if self.at_most else ""

    @property
    def actual(self) -> float | None:
        return _product(self.usd_per_hour, self.billed_hours)


def _product(usd_per_hour: float | None, hours: float | None) -> float | None:
    return None if usd_per_hour is None or hours is None else usd_per_hour * hours


@dataclass(frozen=True)
class Asked:
    """One question of the teardown's proof, and what the cloud answered. kept: what stays on purpose, and bills."""

    asked: str
    found: tuple[str, ...]
    kept: tuple[str, ...] = ()

    @property
    def answer(self) -> str:
        """none; volume vol-1; none but file system fs-1, kept (retain: true), bills by the GB"""
        found = ", ".join(self.found) or "none"
        return f"{found} but {', '.join(self.kept)}, kept (retain: true), bills by the GB" if self.kept else found


@dataclass(frozen=True)
class Receipt:
    """chain: the job's steps as far as they came, where it has several or serves. outcome: of the one that failed,
    or else of the one that trained. walk: the places that had no room, in the order in which they were asked for, and
    AWS's answer: "g6e.12xlarge in us-east-1a: InsufficientInstanceCapacity: ..."."""

    request: Request
    outcome: Outcome | None
    money: Money
    stages: Mapping[str, float]
    steps: tuple[Step, ...]
    checkpoints: tuple[str, ...]
    kept: str = ""
    files: int = 0
    bytes: int = 0
    left_up: bool = False
    nodes_gone: bool = False
    resources_removed: int | None = None
    proof: tuple[Asked, ...] = ()
    chain: tuple[StepDone, ...] = ()
    walk: tuple[str, ...] = ()

    @property
    def serves(self) -> str:
        """Where it still serves, "" where nothing does."""
        return self.chain[-1].left if self.chain and self.chain[-1].state == "serves" else ""

    @property
    def nothing_left(self) -> bool:
        """But what was to be kept."""
        return bool(self.proof) and not any(one.found for one in self.proof)

    def as_json(self) -> dict[str, Any]:
        data = asdict(self)
        data["money"]["actual"] = self.money.actual
        data["money"]["within_budget"] = self.money.within_budget
        data["nothing_left"] = self.nothing_left
        data["request"]["leaves_up"] = self.request.leaves_up
        data.pop("steps")
        data["losses"] = [[step.step, step.loss] for step in self.steps]
        if self.outcome:
            data["outcome"] |= {key: getattr(self.outcome, key).isoformat() for key in ("at", "started_at", "ended_at")}
        return data


def read_receipt(file: Path) -> Receipt:
    """A receipt from its JSON. Its steps come back with step and loss alone."""
    data = json.loads(file.read_text(encoding="utf-8"))
    outcome = data["outcome"]
    request = {key: value for key, value in data["request"].items() if key != "leaves_up"}
    money = {key: value for key, value in data["money"].items() if key not in ("actual", "within_budget")}
    when = datetime.min
    return Receipt(
        request=Request(**request),
        outcome=cast(Outcome, from_json({"event": "Outcome", **outcome})) if outcome else None,
        money=Money(**{**money, "not_counted": tuple(money.get("not_counted", ()))}),
        stages=data["stages"],
        steps=tuple(Step(when, 0, step, 0, loss, None, None, None, None, None) for step, loss in data["losses"]),
        checkpoints=tuple(data["checkpoints"]),
        kept=data["kept"],
        files=data["files"],
        bytes=data["bytes"],
        left_up=data["left_up"],
        nodes_gone=data.get("nodes_gone", False),
        resources_removed=data["resources_removed"],
        chain=tuple(StepDone(**one) for one in data.get("chain", ())),
        walk=tuple(data.get("walk", ())),
        proof=tuple(Asked(one["asked"], tuple(one["found"]), tuple(one.get("kept", ()))) for one in data["proof"]),
    )


def no_longer_serves(file: Path) -> None:
    """In a receipt as JSON: the endpoint that its last step left up has been ended."""
    data = json.loads(file.read_text(encoding="utf-8"))
    if data.get("chain") and data["chain"][-1]["state"] == "serves":
        data["chain"][-1]["state"] = "served"
        file.write_text(json.dumps(data, indent=1))


def make_receipt(request: Request, events: Sequence[Any], money: Money, **facts: Any) -> Receipt:
    """facts: what collect and destroy gave (kept, files, bytes, left_up, resources_removed, proof)."""
    told = by_step(events)
    outcomes = {name: one.outcome for name, one in told.items() if one.outcome}
    bad = [name for name, one in outcomes.items() if one.state not in ("succeeded", "running")]
    chosen = next(iter(bad), "") or next((name for name, one in outcomes.items() if one.max_steps), "")
    main = told.get(chosen or next(reversed(outcomes), ""), Told())
    steps = {event.step: event for event in main.steps}
    stages = seconds_by_stage(events)
    return Receipt(
        request=request,
        outcome=main.outcome,
        money=money,
        stages=stages,
        steps=tuple(steps[number] for number in sorted(steps)),
        checkpoints=tuple(dict.fromkeys(event.path for event in events if isinstance(event, Checkpoint))),
        chain=steps_done(told, stages),
        walk=walked(events),
        **facts,
    )


def lines(receipt: Receipt) -> list[str]:
    """The receipt as a person reads it on the terminal."""
    out = [_headline(receipt)]
    money = receipt.money
    actual = f"${money.actual:.2f}{money.most}" if money.actual is not None else "unknown"
    planned = f"${money.planned_most:.2f} at most" if money.planned_most is not None else "unknown"
    if money.usd_per_hour is not None:
        out.append(f"{'':17}{'planned':22}actual")
        billed = span((money.billed_hours or 0) * 3600)
        rate = f"${money.usd_per_hour:.4f} an hour x {billed}{money.most}, {money.price_source}"
        for name, (most, spent) in money.parts.items():
            out.append(f"{name:17}{_usd(most):22}{_usd(spent)}{money.most}")
        out.append(f"{'fleet':17}{planned:22}{actual}   {rate}")
        if money.budget is not None:
            kept = {True: "kept", False: "overrun", None: "UNKNOWN whether kept"}[money.within_budget]
            out.append(f"{'budget':17}{_usd(money.budget):22}{kept}")
        if money.not_counted:
            out.append(f"{'not counted':17}{', '.join(money.not_counted)}")
    else:
        out.append(
            f"{'cost':17}{'unknown' if receipt.request.source == 'stack' else 'none of ours: your own machines'}"
        )
    out += [f"{'' if number else 'no room':17}{missed}" for number, missed in enumerate(receipt.walk)]
    whole = sum(receipt.stages.values()) or 1
    shares = [f"{name} {span(spent)} ({spent / whole:.0%})" for name, spent in receipt.stages.items() if spent >= 0.5]
    out.append(f"{'time':17}{' · '.join(shares)}")
    for number, step in enumerate(receipt.chain):
        label = "" if number else "steps"
        out.append(f"{label:17}{step.name:12}{step.state:12}{span(step.seconds):>12}  {step.left}".rstrip())
    cause = receipt.outcome.cause if receipt.outcome else None
    if cause:
        out.append(f"{'failed':17}rank {cause.rank}: {cause.text} (logs/rank-{cause.rank}.log:{cause.line})")
        out += [f"{name:17}{said}" for name, said in (one.split(": ", 1) for one in cause.advice())]
    if receipt.kept:
        out.append(f"{'kept':17}{receipt.kept}   {receipt.files} files, {size(receipt.bytes)}, sums ok")
    if receipt.serves:
        run = receipt.request.run_id
        out.append(f"{'serves':17}{receipt.serves}   fleet tunnel {run} reaches it, fleet stop {run} ends it")
    if receipt.nodes_gone:
        out.append(f"{'fleet':17}its nodes are gone, its shared files stay until fleet down -s {receipt.request.fleet}")
    elif receipt.left_up:
        out.append(f"{'fleet':17}left up, as it was before the run or as asked: {_hourly(money)}")
    elif receipt.proof:
        telling = [one for one in receipt.proof if one.found or one.kept]
        asked = f"then AWS was asked {len(receipt.proof)} times what is left:{'' if telling else ' none'}"
        out.append(f"{'teardown':17}{receipt.resources_removed} resources removed, {asked}")
        for one in telling:
            out.append(f"{'':17}{one.asked:66}{one.answer}")
    return out


def _headline(receipt: Receipt) -> str:
    outcome = receipt.outcome
    if outcome is None:
        return f"{receipt.request.run_id}  ended before it trained"
    failed = next((one.name for one in receipt.chain if one.state not in ("succeeded", "serves", "served")), "")
    serves = "serves" if receipt.serves else "served"
    said = f"{receipt.request.run_id}  {serves if outcome.state == 'running' else outcome.state}"
    said += f" at {failed}" if failed else ""
    if outcome.world_size:
        size_of = f"world size {outcome.world_size}" if outcome.together else f"{outcome.world_size} processes"
        said += f"  {size_of}"
    if outcome.max_steps:
        said += f"  step {outcome.step}/{outcome.max_steps}"
    if outcome.first_loss is not None and outcome.last_loss is not None:
        said += f"  loss {outcome.first_loss:.4g} -> {outcome.last_loss:.4g}"
    return said


def _usd(value: float | None) -> str:
    return "unknown" if value is None else f"${value:.2f}"


def _hourly(money: Money) -> str:
    return "no price known" if money.usd_per_hour is None else f"${money.usd_per_hour:.2f} an hour"


def span(seconds: float) -> str:
    """14 s, 1 min 52 s, 4 h 09 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def size(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
