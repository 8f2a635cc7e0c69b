"""Facts about a run's ranks -> what is to be done, and how it ended. Pure: no clock, no node, no log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from training.run import State

#: A node counts as lost after this many failed probes in a row over at least this time. One is never enough.
LOST_PROBES = 5
LOST_S = 30.0


@dataclass(frozen=True)
class RankFacts:
    """What is known of one rank. Times are seconds on the operator's clock (node's time, skew taken out).

    exit_code: None while it runs, or where it ended and left none (`alive` is then False).
    ended_at: when exit_code was written, or when it was first seen dead.
    vanished: its node answers, and has nothing any more of what the run had written there.
    drained: its log has been read to the end.
    marked: its log holds the line that a success ends with.
    aborted: its process died of itself after that line, its work done.
    echo: its log only tells of another rank's end.
    stopped_at: when the person asked it to stop.
    failed_probes, first_failed_at: in a row, up to now.
    """

    rank: int
    alive: bool = True
    exit_code: int | None = None
    ended_at: float | None = None
    vanished: bool = False
    drained: bool = False
    marked: bool = False
    aborted: bool = False
    echo: bool = False
    stopped_at: float | None = None
    failed_probes: int = 0
    first_failed_at: float = 0.0

    @property
    def ended(self) -> bool:
        return self.exit_code is not None or not self.alive

    @property
    def missing_since(self) -> float:
        return self.ended_at or 0.0 if self.vanished else self.first_failed_at

    def lost(self, now: float) -> bool:
        """Whether its machine or its files are gone."""
        silent = self.failed_probes >= LOST_PROBES and now - self.first_failed_at >= LOST_S
        return self.vanished or (silent and not self.ended)

    def failed(self, needs_mark: bool) -> bool:
        if not self.ended or self.aborted or self.vanished:
            return False
        return self.exit_code != 0 or (needs_mark and self.drained and not self.marked)


@dataclass(frozen=True)
class Verdict:
    """done: nothing more will come. first_rank and why: of the rank that failed or was lost first."""

    done: bool
    state: State | None = None
    first_rank: int | None = None
    why: str = ""


def decide(ranks: Sequence[RankFacts], now: float, *, needs_mark: bool) -> Verdict:
    """Going on (state None), ending (a state, not done: stop the rest), or over.

    The first to fail is the first by time among those whose log names a cause of its own: a rank that only felt
    another's end may leave its exit code before that other one does. Where one has aborted with its work done, torchrun
    has the others wait for it (five minutes): all is over as soon as their logs say that theirs is done too.
    """
    over = all((one.ended and one.drained) or one.lost(now) for one in ranks)
    asked = [one.stopped_at for one in ranks if one.stopped_at is not None]
    if not asked and all(one.marked for one in ranks) and any(one.aborted for one in ranks):
        return Verdict(over, "succeeded")
    failed = [one for one in ranks if one.failed(needs_mark)]
    if asked:
        failed = [one for one in failed if (one.ended_at or now) < min(asked)]
    lost = [one for one in ranks if one.lost(now)]
    if failed:
        first = min(failed, key=lambda one: (one.echo and not lost, one.ended_at or now, one.rank))
        before = [one for one in lost if first.echo or one.missing_since < (first.ended_at or now)]
        if not before:
            return Verdict(over, "failed", first.rank, _why(first))
        lost = before
    if lost:
        gone = min(lost, key=lambda one: (one.missing_since, one.rank))
        return Verdict(over, "lost", gone.rank, _why_lost(gone, now))
    if asked:
        return Verdict(over, "stopped", None, "stopped on request")
    return Verdict(over, "succeeded" if over else None)


def _why(one: RankFacts) -> str:
    if one.exit_code is None:
        return f"rank {one.rank} is gone and left no exit code: killed, or the node was restarted"
    if one.exit_code == 0:
        return f"rank {one.rank} ended with exit code 0 and never said that training ended"
    return f"rank {one.rank} ended with exit code {one.exit_code}"


def _why_lost(one: RankFacts, now: float) -> str:
    if one.vanished:
        return f"rank {one.rank} is gone with all that its run had written: its machine lost its disk"
    return f"rank {one.rank} answered none of {one.failed_probes} probes in {now - one.first_failed_at:.0f} s"
