"""How a run is told while it goes on: every event recorded, then shown; a stage from its start to its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.errors import FleetError, Interrupted
from training.record import Record, Request, Stage
from training.run import Event, now

Show = Callable[[Event | Stage], None]


@dataclass
class Line:
    """The straight line of one run, as it is told: every event is recorded, then shown."""

    request: Request
    record: Record
    show: Show
    folder: Path

    def tell(self, event: Event | Stage) -> None:
        self.record.add(self.request.run_id, event)
        self.show(event)

    @contextmanager
    def stage(self, name: str) -> Iterator[Telling]:
        """A stage from its start to its end, told; what the caller puts into `detail` is its closing line."""
        self.record.state(self.request.run_id, name)
        self.tell(Stage(now(), name, "started"))
        telling = Telling(name, self)
        try:
            yield telling
        except BaseException as error:
            cut = isinstance(error, KeyboardInterrupt | Interrupted)
            said = error.what if isinstance(error, FleetError) else "interrupted"
            self.tell(Stage(now(), name, "interrupted" if cut else "failed", said))
            raise
        state = "interrupted" if telling.stopped else "failed" if telling.failed else "done"
        self.tell(Stage(now(), name, state, telling.detail))


@dataclass
class Telling:
    name: str
    line: Line
    detail: str = ""
    failed: bool = False
    stopped: bool = False

    def say(self, text: str) -> None:
        """Progress: shown, not recorded; it would be a thousand lines that nobody asks for again."""
        self.line.show(Stage(now(), self.name, "note", text))

    def note(self, text: str) -> None:
        """What is asked for again: recorded, then shown."""
        self.line.tell(Stage(now(), self.name, "note", text))
