"""Follows a run on all its nodes until it ends: events first, an `Outcome` last.

Each node is asked about once a second over its kept connection, in one round trip. Every rank's log is written
here to `<folder>/logs/rank-<k>.log`, so a watcher that takes over from a killed one reads on from its end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import replace
from pathlib import Path, PurePosixPath

from training.following import Ask, Rank, resumed, took, utc
from training.launch import stop
from training.remote import Machines, settled
from training.run import Cause, Checkpoint, Event, Note, Outcome, Run, World
from training.swift.diagnose import OTHER, diagnose
from training.verdict import Verdict, decide

#: After the first rank has failed: long enough for the others to fail by themselves and say how.
SETTLE_S = 5.0
STOP_AGAIN_S = 30.0


def watch(
    machines: Machines,
    run: Run,
    folder: Path,
    since: Mapping[int, int] | None = None,
    *,
    every_s: float = 1.0,
    stop_grace_s: int = 30,
    once: bool = False,
    ends_ranks: bool = True,
    until_serving: bool = False,
    beside: Callable[[], Iterable[Event]] = tuple,
) -> Iterator[Event]:
    """Events of `run` until its `Outcome`.

    folder: this machine's folder of the run. since: of each rank, the byte of its log from which on events are
    wanted; by default what the folder's logs already hold is taken as seen. once: tells what there is and ends with
    how the run stands. ends_ranks: whether a failure ends the other ranks; one who only reads leaves them.
    until_serving: also ends, the outcome `running`, when all ranks have said where they listen. beside: asked each
    second what else there is to tell.
    """
    ranks = [resumed(rank, folder / "logs", since) for rank in run.ranks]
    ending_at: float | None = None
    told: Verdict | None = None
    seen: set[object] = set()
    while True:
        for one in ranks:
            if one.pending is None and one.due <= time.monotonic() and not one.facts.drained:
                one.pending = machines.submit(one.facts.rank, Ask(run.id, one.facts.rank, one.size), idempotent=True)
        pending = {one.pending: one for one in ranks if one.pending is not None}
        idle = [one.due - time.monotonic() for one in ranks if one.pending is None and not one.facts.drained]
        pause_s = max(0.0, min([every_s, *idle]))
        if not pending:
            time.sleep(pause_s)
        for future in wait(pending, timeout=pause_s, return_when=FIRST_COMPLETED).done:
            one = pending[future]
            one.pending = None
            one.due = time.monotonic() + every_s
            answer = settled(future)
            for event in took(one, answer):
                if _is_new(event, seen):
                    yield replace(event, together=run.together) if isinstance(event, World) else event
        yield from beside()
        verdict = decide([one.facts for one in ranks], time.time(), needs_mark=run.marked)
        if verdict.done:
            yield outcome(run, ranks, verdict)
            return
        serving = until_serving and not verdict.state and all(one.said.serves for one in ranks)
        if serving or (once and all(one.caught_up for one in ranks)):
            yield outcome(run, ranks, verdict)
            return
        if verdict.state in ("failed", "lost", "succeeded") and ends_ranks:
            if told is None:
                told = verdict
                ending_at = time.monotonic() + SETTLE_S
                if verdict.why:
                    yield Note(utc(time.time()), verdict.why, verdict.first_rank)
            elif ending_at is not None and time.monotonic() >= ending_at:
                left = yield from _end_the_rest(machines, run, ranks, stop_grace_s)
                ending_at = time.monotonic() + STOP_AGAIN_S if left else None


def _is_new(event: Event, seen: set[object]) -> bool:
    """Whether it is the first to say so: every node tells of each checkpoint (in its own folder) and of the world."""
    match event:
        case Checkpoint():
            key: object = PurePosixPath(event.path).parts[-2:]
        case World():
            key = event.size
        case _:
            return True
    if key in seen:
        return False
    seen.add(key)
    return True


def watch_once(machines: Machines, run: Run, folder: Path) -> Outcome:
    """How the run stands, its logs read up to now; nothing is ended."""
    *_, last = watch(machines, run, folder, once=True, ends_ranks=False)
    assert isinstance(last, Outcome)
    return last


def offsets(run: Run, folder: Path) -> dict[int, int]:
    """How far each rank's log has been read here."""
    logs = {rank: folder / "logs" / f"rank-{rank}.log" for rank in run.ranks}
    return {rank: log.stat().st_size if log.exists() else 0 for rank, log in logs.items()}


def outcome(run: Run, ranks: list[Rank], verdict: Verdict) -> Outcome:
    """The end of a run in one value. The rank that reports the loss is 0, or megatron's last."""
    main = max(ranks, key=lambda one: (one.said.step, -one.facts.rank)).said
    first = next((one for one in ranks if one.facts.rank == verdict.first_rank), None)
    ended = [one.facts.ended_at for one in ranks if one.facts.ended_at]
    checkpoints = next((one.said.checkpoints for one in ranks if one.said.checkpoints), [])
    at = utc(time.time())
    return Outcome(
        at=at,
        state=verdict.state or "running",
        started_at=run.started_at,
        ended_at=utc(max(ended)) if ended else at,
        exit_codes={one.facts.rank: one.facts.exit_code for one in ranks},
        first_failed_rank=verdict.first_rank,
        cause=cause_of(ranks, first) if first and verdict.state == "failed" else None,
        why=verdict.why,
        world_size=next((one.said.world_size for one in ranks if one.said.world_size), None),
        together=run.together,
        step=main.step,
        max_steps=main.max_steps,
        first_loss=main.first_loss,
        last_loss=main.last_loss,
        checkpoints=tuple(checkpoints),
        last_checkpoint=next((o.said.last_checkpoint for o in ranks if o.said.last_checkpoint), ""),
        best_checkpoint=next((o.said.best_checkpoint for o in ranks if o.said.best_checkpoint), ""),
        run_dir=next((o.said.run_dir for o in ranks if o.said.run_dir), ""),
        serves={one.facts.rank: one.said.serves for one in ranks if one.said.serves},
    )


def cause_of(ranks: Sequence[Rank], first: Rank) -> Cause | None:
    """What the logs say of it: the first failed rank's own cause, or that of another that is no mere consequence."""
    found = [one for one in diagnose([one.log for one in ranks]) if one.kind != "symptom"]
    own = [one for one in found if one.rank == first.facts.rank]
    known = next(iter(own or [one for one in found if one.kind != "echo"]), None)
    if known and known.rank is not None:
        rule = (known.rule, known.cause, known.fix) if known.rule != OTHER else ()
        return Cause(known.rank, known.line, known.text, *rule)
    why = first.said.why()
    return Cause(first.facts.rank, *why) if why else None


def _end_the_rest(machines: Machines, run: Run, ranks: list[Rank], grace_s: int) -> Generator[Event, None, bool]:
    """Stops what a failure left; whether some of it could not be stopped."""
    now = time.time()
    rest = [one.facts.rank for one in ranks if not one.facts.lost(now)]
    if rest:
        going = [str(one.facts.rank) for one in ranks if one.facts.rank in rest and not one.facts.ended]
        if going:
            yield Note(utc(now), f"stopping what is left: rank {', '.join(going)}")
    errors = stop(machines, run, grace_s, rest, asked=False)
    for rank, error in errors.items():
        yield Note(utc(time.time()), f"could not be stopped: {error}", rank)
    return bool(errors)
