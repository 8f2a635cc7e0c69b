"""A few of the kills of `scripts/soak`, always the same ones: it makes hundreds when it is asked to."""

from __future__ import annotations

import random
import signal

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


@pytest.mark.full
def test_an_up_goes_on_though_a_sweep_has_ended_what_it_had_made_when_it_was_killed(project: Project) -> None:
    project.nodes_set_up(False)
    project.stack("beside")
    file = project.stack()
    going = project.going("up", "-s", "sandbox", "--yes", "--json")
    going.until(lambda event: event.get("detail", "").startswith("14 created"))
    going.signal(signal.SIGKILL)
    text = file.read_text()
    file.unlink()
    project.fleet("sweep", "-s", "sandbox", "--yes").ok()
    file.write_text(text)
    assert project.left() == []
    project.fleet("up", "-s", "sandbox", "--yes").ok()
    project.fleet("down", "-s", "sandbox").ok()
    assert project.left() == []
