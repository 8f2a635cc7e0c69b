"""What a person sees while a run goes on: one line a stage, the training's own figures, nothing that need not move.

On a terminal the last line moves; elsewhere each event is a line; with json each event is an object a line.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from infra.errors import Interrupted
from training.onnode import whole_run
from training.receipt import span
from training.record import Stage
from training.run import (
    Checkpoint,
    Endpoint,
    Event,
    Note,
    RankEnded,
    RankLost,
    SetupStep,
    Step,
    World,
    now,
    to_json,
)

if TYPE_CHECKING:
    from rich.status import Status

MARKS = {"done": "✓", "failed": "✗", "interrupted": "‖"}


class Screen:
    """usd_per_hour, most_usd: of the fleet, for the dollars so far; None where no price is known."""

    def __init__(self, *, as_json: bool, usd_per_hour: float | None = None, most_usd: float | None = None) -> None:
        self.as_json, self.usd_per_hour, self.most_usd = as_json, usd_per_hour, most_usd
        self.moves = sys.stdout.isatty() and not as_json
        self._began: dict[str, datetime] = {}
        self._billed_from: datetime | None = None
        self._status: Status | None = None
        self._said = ""
        self._now = "train"

    def show(self, event: Event | Stage) -> None:
        if self.as_json:
            # With its end in one piece: the engine's events come by a thread of their own.
            print(json.dumps(_plain(event)) + "\n", end="", flush=True)
        elif isinstance(event, Stage):
            self._stage(event)
        elif (line := self._line(event)) is not None:
            self._moving(line) if isinstance(event, Step | SetupStep) else self._still(line)

    def priced(self, usd_per_hour: float | None, most_usd: float | None) -> None:
        """What the fleet costs where it came to be: not always its first choice."""
        self.usd_per_hour, self.most_usd = usd_per_hour, most_usd

    def close(self) -> None:
        if self._status:
            self._status.stop()
            self._status = None

    def _stage(self, event: Stage) -> None:
        if event.state == "started":
            self._began[event.stage] = event.at
            self._now = event.stage
            if event.stage == "up" and self._billed_from is None:
                self._billed_from = event.at
            self._moving(f"● {event.stage}")
            return
        if event.state == "note":
            self._moving(f"● {event.stage:11} {event.detail}")
            return
        took = (event.at - self._began.get(event.stage, event.at)).total_seconds()
        self.close()
        # Why it failed is said once, at the end; of what was cut off, that it was by Ctrl-C or by `fleet stop`.
        cut = "stopped" if event.detail == "stopped" else "interrupted"
        detail = {"done": event.detail, "interrupted": cut}.get(event.state, "")
        print(f"{MARKS[event.state]} {event.stage:11} {detail:60} {span(took):>12}".rstrip(), flush=True)

    def _line(self, event: Event) -> str | None:
        if isinstance(event, Step):
            figures = [f"step {event.step}/{event.max_steps}", f"loss {event.loss:.4g}"]
            if event.seconds_per_step:
                figures.append(f"{event.seconds_per_step:.2g} s/it")
            if event.remaining_seconds is not None:
                figures.append(f"{span(event.remaining_seconds)} left")
            return f"● {self._now:11} {'  '.join(figures + self._dollars(event.at))}"
        if isinstance(event, SetupStep):
            return f"● bootstrap   rank {event.rank}: {event.step} {event.state} {event.detail}".rstrip()
        if isinstance(event, World):
            return f"  world size {event.size}: the ranks train together" if event.together else None
        if isinstance(event, Checkpoint):
            return f"  checkpoint {event.path}"
        if isinstance(event, Endpoint):
            reach = f"fleet tunnel {whole_run(event.run)}"
            return f"  rank {event.rank} serves {event.url} ({event.health} answers): {reach}"
        if isinstance(event, RankEnded):
            return f"  rank {event.rank} ended, exit code {event.exit_code}" if event.exit_code else None
        if isinstance(event, RankLost):
            return f"  rank {event.rank} can't be reached since {event.since:%H:%M:%S}: {event.why}"
        return f"  {_whose(event)}{event.text}" if isinstance(event, Note) else None

    def _dollars(self, at: datetime) -> list[str]:
        if self.usd_per_hour is None or self._billed_from is None:
            return []
        spent = self.usd_per_hour * (at - self._billed_from).total_seconds() / 3600
        most = f", ${self.most_usd:.2f} at most" if self.most_usd is not None else ""
        return [f"${spent:.2f} spent{most}"]

    def _moving(self, line: str) -> None:
        """The line that replaces itself on a terminal; elsewhere a line of its own, said once."""
        if not self.moves:
            if line != self._said and not line.rstrip().endswith(tuple(f"● {s}" for s in ("plan", "receipt"))):
                print(line, flush=True)
            self._said = line
            return
        if self._status is None:
            from rich.console import Console

            self._status = Console(highlight=False).status("", spinner="dots")
            self._status.start()
        self._status.update(line.removeprefix("● ").replace("[", r"\["))

    def _still(self, line: str) -> None:
        if self._status:
            self._status.console.print(line, markup=False, highlight=False)
        else:
            print(line, flush=True)


@contextmanager
def one_stage(stage: str, *, as_json: bool) -> Iterator[Callable[[str], None]]:
    """A stage by itself: `fleet up` and `fleet down` tell it as `fleet run` does. Gives what to say progress with."""
    screen = Screen(as_json=as_json)
    screen.show(Stage(now(), stage, "started"))
    try:
        yield lambda text: screen.show(Stage(now(), stage, "note", text))
    except BaseException as error:
        cut = isinstance(error, KeyboardInterrupt | Interrupted)
        screen.show(Stage(now(), stage, "interrupted" if cut else "failed"))
        raise
    else:
        screen.show(Stage(now(), stage, "done"))
    finally:
        screen.close()


def _whose(note: Note) -> str:
    return "" if note.rank is None or note.text.startswith("rank ") else f"rank {note.rank}: "


def _plain(event: Event | Stage) -> dict[str, Any]:
    if isinstance(event, Stage):
        return {"event": "Stage", **asdict(event), "at": event.at.isoformat()}
    return to_json(event)
