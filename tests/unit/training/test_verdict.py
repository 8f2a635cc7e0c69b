from __future__ import annotations

import pytest

from training.verdict import RankFacts, Verdict, decide

NOW = 1000.0
runs = RankFacts(0)


def ended(rank: int, code: int | None = 0, at: float = 990.0, **more: object) -> RankFacts:
    facts = {"marked": code == 0, "drained": True, **more}
    return RankFacts(rank, alive=code is not None, exit_code=code, ended_at=at, **facts)  # type: ignore[arg-type]


def aborted(rank: int) -> RankFacts:
    return ended(rank, 1, marked=True, aborted=True)


def silent(rank: int, probes: int, since: float, **more: object) -> RankFacts:
    return RankFacts(rank, failed_probes=probes, first_failed_at=since, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ranks", "expected"),
    [
        ([runs, RankFacts(1)], (False, None, None)),
        ([ended(0), RankFacts(1)], (False, None, None)),
        # died of itself when its work was done: the others are waited for until theirs is, then ended
        ([ended(0), aborted(1)], (True, "succeeded", None)),
        ([runs, aborted(1)], (False, None, None)),
        ([RankFacts(0, marked=True), aborted(1)], (False, "succeeded", None)),
        ([ended(0, 143, marked=True), aborted(1)], (True, "succeeded", None)),
        ([ended(0, 1), aborted(1)], (True, "failed", 0)),
        ([ended(0, 143, marked=True, stopped_at=980.0), aborted(1)], (True, "stopped", None)),
        ([ended(0), ended(1)], (True, "succeeded", None)),
        # the log is not read to its end yet: the success line may still come
        ([ended(0, marked=False, drained=False)], (False, None, None)),
        ([ended(0, marked=False)], (True, "failed", 0)),
        ([runs, ended(1, 1)], (False, "failed", 1)),
        # the first by time
        ([ended(0, 1, 991.0), ended(1, 1, 990.0)], (True, "failed", 1)),
        # a rank that only felt another's end may be earlier
        ([ended(0, 1, 990.0, echo=True), ended(1, 1, 991.0)], (True, "failed", 1)),
        ([ended(0, 1, 990.0, echo=True), ended(1, 1, 991.0, echo=True)], (True, "failed", 0)),
        # dead without an exit code
        ([runs, ended(1, None)], (False, "failed", 1)),
        # one failed probe is nothing; many in a moment neither; many over a time are
        ([runs, silent(1, 1, 900.0)], (False, None, None)),
        ([runs, silent(1, 9, 999.0)], (False, None, None)),
        ([runs, silent(1, 5, 960.0)], (False, "lost", 1)),
        ([ended(0, 1, 990.0, echo=True), silent(1, 5, 960.0)], (True, "lost", 1)),
        ([ended(0, 1, 950.0), silent(1, 5, 960.0)], (True, "failed", 0)),
        # a node that went away after its rank had ended is not lost
        ([ended(0), ended(1, failed_probes=9, first_failed_at=960.0)], (True, "succeeded", None)),
        # its files are gone: the others fail by it, or go on until they are stopped
        ([runs, ended(1, None, vanished=True)], (False, "lost", 1)),
        ([ended(0, 143, 995.0, echo=True), ended(1, None, vanished=True)], (True, "lost", 1)),
        ([ended(0, 1, 985.0), ended(1, None, vanished=True)], (True, "failed", 0)),
        # asked for: what fails after it is its consequence, what failed before is not
        ([ended(0, 143, 990.0, stopped_at=980.0), ended(1, 1, 991.0)], (True, "stopped", None)),
        ([RankFacts(0, stopped_at=980.0)], (False, "stopped", None)),
        ([ended(0, 1, 970.0), ended(1, 143, 990.0, stopped_at=980.0)], (True, "failed", 0)),
    ],
)
def test_facts_decide(ranks: list[RankFacts], expected: tuple[bool, str | None, int | None]) -> None:
    verdict = decide(ranks, NOW, needs_mark=True)
    assert (verdict.done, verdict.state, verdict.first_rank) == expected


def test_a_server_needs_no_mark() -> None:
    assert decide([ended(0, marked=False)], NOW, needs_mark=False) == Verdict(True, "succeeded")


def test_why_says_what_was_seen() -> None:
    assert "exit code 7" in decide([ended(0, 7)], NOW, needs_mark=True).why
    assert "left no exit code" in decide([ended(0, None)], NOW, needs_mark=True).why
    assert "never said" in decide([ended(0, marked=False)], NOW, needs_mark=True).why
    assert "lost its disk" in decide([ended(0, None, vanished=True)], NOW, needs_mark=True).why
    assert "answered none of 6 probes in 40 s" in decide([silent(0, 6, 960.0)], NOW, needs_mark=True).why
