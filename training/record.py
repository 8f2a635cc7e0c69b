"""What happened, as it happened: every event of every run, in SQLite under `.fleet/`, written before it is acted on.

Killed at any point, the next `fleet attach` reads here how far the run had come.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from infra.errors import BadInput
from training.inventory import Source
from training.run import Event, LogLines, from_json, to_json

SCHEMA = """
create table if not exists runs (
    id text primary key, began text not null, request text not null, state text not null);
create table if not exists events (
    number integer primary key autoincrement, run text not null, at text not null, body text not null);
create index if not exists events_of_run on events (run, number);
"""
#: The stages of a run; where `train` stands, each step of its job is a stage by its own name.
STAGES = ("plan", "up", "bootstrap", "preflight", "launch", "train", "collect", "down", "receipt")


@dataclass(frozen=True)
class Request:
    """What was asked for: enough to ask again.

    source, fleet: where it runs ("stack", "dev"); job_file: absolute, as text.
    fleet_was_up: then the run leaves it up. keep: leave it up though the run made it.
    skip: checks of preflight that are not looked at. resume: the run whose newest checkpoint it goes on from.
    attempt: how many runs of the same command came before it.
    """

    run_id: str
    job_file: str
    source: Source
    fleet: str
    fleet_was_up: bool = False
    keep: bool = False
    skip: tuple[str, ...] = ()
    resume: str = ""
    replace_bad: bool = False
    attempt: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "skip", tuple(self.skip))  # a list, where it comes from JSON

    @property
    def leaves_up(self) -> bool:
        return self.keep or self.fleet_was_up or self.source != "stack"


@dataclass(frozen=True)
class Stage:
    """A stage of the line begins or ends: state is started, done, failed, interrupted, or note
    (something to say meanwhile)."""

    at: datetime
    stage: str
    state: str
    detail: str = ""


class Record:
    """Opened a clone; safe for several processes (SQLite's own locks)."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(folder / "record.db", timeout=30, check_same_thread=False, isolation_level=None)
        self._db.execute("pragma journal_mode=wal")
        self._db.executescript(SCHEMA)

    def begin(self, request: Request, at: datetime) -> None:
        self._db.execute(
            "insert or ignore into runs values (?, ?, ?, 'plan')",
            (request.run_id, at.isoformat(), json.dumps(asdict(request))),
        )

    def request(self, run_id: str) -> Request | None:
        row = self._db.execute("select request from runs where id = ?", (run_id,)).fetchone()
        return Request(**json.loads(row[0])) if row else None

    def runs(self) -> list[tuple[Request, datetime, str]]:
        """Each run with when it began and its state: the stage it is in, or how it ended. Newest first."""
        rows = self._db.execute("select request, began, state from runs order by began desc")
        return [(Request(**json.loads(r)), datetime.fromisoformat(began), state) for r, began, state in rows]

    def latest(self) -> str:
        """The id of the newest run that wasn't refused before it began, or BadInput where there is none."""
        newest = "select id from runs where state != 'refused' order by began desc limit 1"
        row = self._db.execute(newest).fetchone()
        if row is None:
            raise BadInput("no run is recorded here", do="Start one: fleet run JOB -s STACK.")
        return str(row[0])

    def state_of(self, run_id: str) -> str:
        """The stage that it is in, or how it ended; "" for a run that is not recorded here."""
        row = self._db.execute("select state from runs where id = ?", (run_id,)).fetchone()
        return str(row[0]) if row else ""

    def state(self, run_id: str, state: str) -> None:
        self._db.execute("update runs set state = ? where id = ?", (state, run_id))

    def add(self, run_id: str, event: Event | Stage) -> None:
        """A rank's log lines are not kept here: they are in the run's folder, line for line."""
        if isinstance(event, LogLines):
            return
        body = (
            {"event": "Stage", **asdict(event), "at": event.at.isoformat()}
            if isinstance(event, Stage)
            else (to_json(event))
        )
        self._db.execute(
            "insert into events (run, at, body) values (?, ?, ?)",
            (run_id, event.at.isoformat(), json.dumps(body)),
        )

    def events(self, run_id: str) -> Iterator[Event | Stage]:
        for (body,) in self._db.execute("select body from events where run = ? order by number", (run_id,)):
            yield _event(json.loads(body))

    def close(self) -> None:
        self._db.close()


def _event(data: dict[str, Any]) -> Event | Stage:
    if data["event"] != "Stage":
        return from_json(data)
    return Stage(datetime.fromisoformat(data["at"]), data["stage"], data["state"], data["detail"])
