"""What a watcher knows of one rank, and how one answer of its node changes that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from time import time

from infra.errors import FleetError
from training.connection import Connection
from training.onnode import OURS, PROBE
from training.run import Checkpoint, Event, LogLines, Note, RankEnded, RankLost, RankStarted, Step, World
from training.swift.logs import CheckpointLine, Lines, LogState, Saying, StepLine, WorldLine
from training.verdict import RankFacts

PROBE_S = 10.0
LOG_BYTES = 1 << 18
STALE_HEARTBEAT_S = 30.0


@dataclass(frozen=True)
class Probe:
    """One answer of a node. skew_s: its clock minus ours, as well as the round trip of `trip_s` tells."""

    facts: Mapping[str, str]
    data: bytes
    skew_s: float
    trip_s: float


@dataclass
class Rank:
    """What the watcher knows of one rank."""

    facts: RankFacts
    log: Path
    since: int
    size: int = 0
    skew_s: float = 0.0
    best_trip_s: float = float("inf")
    lines: Lines = field(default_factory=Lines)
    said: LogState = field(default_factory=LogState)
    pending: Future[Probe] | None = None
    due: float = 0.0
    caught_up: bool = False
    shown: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Ask:
    run_id: str
    rank: int
    offset: int

    def __call__(self, connection: Connection) -> Probe:
        script = "\n".join([
            f'dir="$HOME/fleet/runs/{self.run_id}/rank-{self.rank}"; offset={self.offset}; most={LOG_BYTES}',
            OURS,
            PROBE,
        ])  # fmt: skip
        before = time()
        result = connection.run(script, PROBE_S)
        after = time()
        head, _, data = result.raw.partition(b"log\n")
        facts = dict(line.split(" ", 1) for line in head.decode().splitlines() if " " in line)
        skew = float(facts.get("now", after)) - (before + after) / 2
        return Probe(facts, data, skew, after - before)


def resumed(rank: int, logs: Path, since: Mapping[int, int] | None) -> Rank:
    """A rank as an earlier watcher left it: what its log holds here is read again, and told only beyond `since`."""
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"rank-{rank}.log"
    log.touch()
    held = log.stat().st_size
    one = Rank(RankFacts(rank), log, since=held if since is None else since.get(rank, 0))
    one.shown.update(["started"] if one.since else [])
    if one.since < held:
        # What is to be told again is fetched again, in one way.
        with log.open("rb+") as file:
            file.truncate(one.since)
    with log.open("rb") as file:
        while piece := file.read(LOG_BYTES):
            one.size += len(piece)
            for number, text in one.lines.feed(piece):
                one.said.take(number, text)
    return one


def took(one: Rank, probe: Probe | FleetError) -> Iterator[Event]:
    """Notes a probe's answer; yields what is new in it."""
    at, rank = time(), one.facts.rank
    if isinstance(probe, FleetError):
        first = one.facts.first_failed_at if one.facts.failed_probes else at
        one.caught_up = True
        one.facts = replace(one.facts, failed_probes=one.facts.failed_probes + 1, first_failed_at=first)
        if one.facts.failed_probes == 1:
            yield Note(utc(at), f"no answer: {probe}", rank)
        if one.facts.lost(at) and "lost" not in one.shown:
            one.shown.add("lost")
            yield RankLost(utc(at), rank, utc(first), str(probe))
        return
    if one.facts.failed_probes:
        one.shown.discard("lost")
        yield Note(utc(at), "answers again", rank)
    if probe.trip_s < one.best_trip_s:
        one.skew_s, one.best_trip_s = probe.skew_s, probe.trip_s
    if "pid" in probe.facts and "started" not in one.shown:
        one.shown.add("started")
        yield RankStarted(utc(at), rank)
    yield from _read(one, probe.data, at)
    was = one.facts
    one.facts = _facts(one, probe, at)
    one.caught_up = len(probe.data) < LOG_BYTES
    if not one.caught_up:
        one.due = 0.0
    beat = at + one.skew_s - float(probe.facts.get("beat", 0))
    if probe.facts.get("alive") == "1" and beat > STALE_HEARTBEAT_S and "stale" not in one.shown:
        one.shown.add("stale")
        yield Note(utc(at), "the trainer runs without its supervisor: its exit code will be unknown", rank)
    if one.facts.ended and one.facts.drained and not was.drained:
        yield from _told(one, list(one.lines.flush()), at)
        why = one.said.why()
        echo = why is not None and one.said.cause is None
        one.facts = replace(one.facts, marked=one.said.ended_well, aborted=one.said.aborted, echo=echo)
        if one.facts.exit_code is not None:
            yield RankEnded(utc(one.facts.ended_at or at), rank, one.facts.exit_code)
        if one.facts.aborted:
            yield Note(utc(at), "its work was done: torch's Gloo threads can abort a process that is ending", rank)


def _facts(one: Rank, probe: Probe, at: float) -> RankFacts:
    told = probe.facts
    code = int(told["exit_code"]) if "exit_code" in told else None
    alive = "gone" not in told and told.get("alive") != "0"
    ended_at = one.facts.ended_at
    if code is not None and "ended" in told:
        ended_at = float(told["ended"]) - one.skew_s
    elif not alive and ended_at is None:
        ended_at = at
    return replace(
        one.facts,
        alive=alive,
        exit_code=code,
        ended_at=ended_at,
        vanished="gone" in told,
        drained=(code is not None or not alive) and one.size >= int(told.get("size", 0)),
        marked=one.said.ended_well,
        stopped_at=float(told["stopped"]) - one.skew_s if "stopped" in told else None,
        failed_probes=0,
    )


def _read(one: Rank, data: bytes, at: float) -> Iterator[Event]:
    if not data:
        return
    with one.log.open("ab") as file:
        file.write(data)
    begins = one.size
    one.size += len(data)
    quiet = max(0, min(len(data), one.since - begins))
    for number, text in one.lines.feed(data[:quiet]):
        one.said.take(number, text)
    yield from _told(one, list(one.lines.feed(data[quiet:])), at)


def _told(one: Rank, pieces: list[tuple[int, str]], at: float) -> Iterator[Event]:
    if not pieces:
        return
    when, rank = utc(at), one.facts.rank
    yield LogLines(when, rank, pieces[0][0], tuple(text for _, text in pieces))
    for number, text in pieces:
        for saying in one.said.take(number, text):
            yield from _event(saying, when, rank)


def _event(saying: Saying, at: datetime, rank: int) -> Iterator[Event]:
    match saying:
        case StepLine():
            yield Step(at=at, rank=rank, **vars(saying))
        case WorldLine(size):
            yield World(at, size)
        case CheckpointLine(path):
            yield Checkpoint(at, path)


def utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
