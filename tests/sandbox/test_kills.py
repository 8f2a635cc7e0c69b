"""A few of the kills of `scripts/soak`, always the same ones: it makes hundreds when it is asked to."""

from __future__ import annotations

import random

import pytest
from kills import Soak, summed
from project import Project


@pytest.mark.full
def test_nothing_is_left_of_fleets_whose_commands_were_killed_at_random_points(project: Project) -> None:
    soak = Soak(project, random.Random(5))
    rounds = [soak.round() for _ in range(3)]
    assert [one.left for one in rounds] == [(), (), ()], rounds
    assert summed(rounds)["twice"] == 0, rounds
    assert summed(rounds)["kills"] >= 3
