"""Servers that go on beside a later step: told when one of them ends, for what asks it may fail much later, or wait."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from training.following import Ask, Rank, resumed, took, utc
from training.remote import Machines, settled
from training.run import Note, Run
from training.watch import cause_of

EVERY_S = 5.0


class Beside:
    """A call gives what is new of the servers, each with this machine's folder of it, and waits for no node."""

    def __init__(self, machines: Machines, servers: Iterable[tuple[Run, Path]]) -> None:
        self._machines = machines
        self._going = [(run, resumed(rank, folder / "logs", None)) for run, folder in servers for rank in run.ranks]

    def __call__(self) -> Iterator[Note]:
        for run, one in list(self._going):
            if why := self._ended(run, one):
                self._going.remove((run, one))
                yield Note(
                    utc(time.time()), f"rank {one.facts.rank}: the server of step {run.step} {why}", one.facts.rank
                )

    def _ended(self, run: Run, one: Rank) -> str:
        """Why it serves no more; "" while it does, as far as its node has answered by now."""
        if one.pending is None and one.due <= time.monotonic():
            one.pending = self._machines.submit(one.facts.rank, Ask(run.id, one.facts.rank, one.size), idempotent=True)
        if one.pending is None or not one.pending.done():
            return ""
        answer, one.pending, one.due = settled(one.pending), None, time.monotonic() + EVERY_S
        for _ in took(one, answer):  # its log is kept here; what it says is no news of the step that is followed
            pass
        if one.facts.lost(time.time()):
            return "is lost: its machine does not answer, or has lost its disk"
        if not (one.facts.ended and one.facts.drained):
            return ""
        cause = cause_of([one], one)
        code = "no exit code" if one.facts.exit_code is None else f"exit code {one.facts.exit_code}"
        return f"ended, {code}{f': {cause.text}' if cause else ''}"
