"""A few of the kills of `scripts/soak`, always the same ones: it makes hundreds when it is asked to."""

from __future__ import annotations

import json
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


@pytest.mark.full
def test_down_ends_what_a_provider_made_that_died_before_it_said_so(project: Project) -> None:
    project.nodes_set_up(False)
    project.stack()
    project.fleet("up", "-s", "sandbox", "--yes").ok()
    iam = project.cloud().client("iam")
    [role] = [one["RoleName"] for one in iam.list_roles()["Roles"] if "end-role" in one["RoleName"]]
    [known] = iam.list_role_policies(RoleName=role)["PolicyNames"]
    rights = iam.get_role_policy(RoleName=role, PolicyName=known)["PolicyDocument"]
    iam.put_role_policy(RoleName=role, PolicyName="unrecorded", PolicyDocument=json.dumps(rights))
    project.fleet("down", "-s", "sandbox").ok()
    assert project.left() == []


@pytest.mark.full
def test_a_refused_up_after_a_sweep_from_elsewhere_leaves_nothing_of_either_fleet(project: Project) -> None:
    project.nodes_set_up(False)
    project.stack("beside")
    file = project.stack()
    project.fleet("up", "-s", "sandbox", "--yes").ok()
    text = file.read_text()
    file.unlink()
    project.fleet("sweep", "-s", "sandbox", "--yes").ok()
    file.write_text(text)
    project.control("faults", [{"action": "RunInstances", "code": "VcpuLimitExceeded"}])
    done = project.fleet("up", "-s", "sandbox", "--yes")
    project.control("faults", [])
    assert done.code == 4 and "Nothing is left of it" in done.err, done.all
    assert project.left() == []
