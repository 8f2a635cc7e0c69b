from __future__ import annotations

import pytest

from training.pairs import judged

OK = "ok"
LATE = "Connection timed out"


@pytest.mark.parametrize(
    ("failed", "expected"),
    [
        ((), {}),
        # Nobody reaches 2: it is the bad one, not those who called it.
        (((0, 2), (1, 2), (3, 2)), {2: "not reached from ranks 0, 1, 3"}),
        # 2 reaches nobody: its own way out is shut.
        (((2, 0), (2, 1), (2, 3)), {2: "does not reach ranks 0, 1, 3: Connection timed out"}),
        # One way between two alone: whoever called says whom.
        (((1, 3),), {1: "does not reach rank 3: Connection timed out"}),
    ],
)
def test_the_node_that_is_shut_is_named_and_not_its_callers(
    failed: tuple[tuple[int, int], ...], expected: dict[int, str]
) -> None:
    calls = {a: {b: LATE if (a, b) in failed else OK for b in range(4) if a != b} for a in range(4)}
    assert {rank: one.found for rank, one in judged(calls).items() if not one.ok} == expected


def test_of_two_nodes_the_one_that_is_not_reached_is_named() -> None:
    found = judged({0: {1: LATE}, 1: {0: OK}})
    assert found[0].ok and found[1].found == "not reached from rank 0"
