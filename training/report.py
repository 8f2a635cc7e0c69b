"""A receipt as one HTML file that needs nothing else: figures, the loss curve, the proof of the teardown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from training.receipt import Receipt, size, span

WIDTH, HEIGHT, MARGIN = 720, 220, 44
#: In a run's folder: the job file as it was when the run began.
JOB = "job.yaml"


@dataclass(frozen=True)
class Curve:
    """points: for an SVG polyline; ticks: (x, step) and (y, loss) with their places."""

    points: str
    steps: tuple[tuple[float, str], ...]
    losses: tuple[tuple[float, str], ...]
    width: int = WIDTH
    height: int = HEIGHT
    margin: int = MARGIN


def write_report(receipt: Receipt, file: Path) -> None:
    import jinja2

    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"span": span, "size": size, "usd": usd}
    template = environment.get_template("report.html.j2")
    asked = arguments(file.with_name(JOB))
    curve = draw([(step.step, step.loss) for step in receipt.steps])
    whole = sum(receipt.stages.values()) or 1.0
    file.write_text(template.render(receipt=receipt, asked=asked, curve=curve, whole=whole), encoding="utf-8")


def arguments(job: Path) -> dict[str, dict[str, object]]:
    """Of each step of a job file, by its command: the arguments. {} where there is no such file; `env` is not shown."""
    import yaml

    try:
        said = yaml.safe_load(job.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    steps = [said, *(said.get("then") or [])]
    return {one.get("name") or one.get("command", ""): one.get("args") or {} for one in steps}


def usd(value: float | None) -> str:
    """With cents; below ten dollars with their hundredths, so that small parts still add up."""
    return "unknown" if value is None else f"${value:,.{2 if value == 0 or value >= 10 else 4}f}"


def draw(losses: Sequence[tuple[int, float]]) -> Curve | None:
    """The loss over the steps, scaled into the picture; None where fewer than two were logged as numbers."""
    losses = [one for one in losses if math.isfinite(one[1])]  # a run that diverged logs nan
    if len(losses) < 2:
        return None
    first, last = losses[0][0], losses[-1][0]
    low, high = min(loss for _, loss in losses), max(loss for _, loss in losses)
    pad = (high - low) * 0.05 or abs(low) * 0.05 or 1.0
    low, high = low - pad, high + pad

    def x(step: float) -> float:
        return round(MARGIN + (step - first) / max(1, last - first) * (WIDTH - 2 * MARGIN), 1)

    def y(loss: float) -> float:
        return round(HEIGHT - MARGIN / 2 - (loss - low) / (high - low) * (HEIGHT - MARGIN), 1)

    return Curve(
        points=" ".join(f"{x(step)},{y(loss)}" for step, loss in losses),
        steps=tuple((x(step), str(round(step))) for step in (first, (first + last) / 2, last)),
        losses=tuple((y(loss), f"{loss:.3g}") for loss in (low + pad, (low + high) / 2, high - pad)),
    )
