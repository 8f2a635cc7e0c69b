"""How a fleet ends though nobody ends it: each of its ends alone, and the sweep where the state is lost."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from project import Project, eventually, project_in

HOUR = 3600


def state_of(project: Project, stack: str) -> set[str]:
    return {one["state"] for one in project.control("status")["instances"] if one["stack"] == stack}


def network(project: Project, third: int) -> dict[str, str]:
    """A /24 of the project's own addresses: several stacks of one sandbox, none in another's way."""
    return {"swift-fleet:vpcCidr": project.network.replace(".0.0/16", f".{third}.0/24")}


def ends(project: Project, stack: str) -> dict[str, str]:
    status = project.fleet("status", "-s", stack, "--json").ok().json
    return {end["name"]: end["state"] for end in status["ends"]}


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Two stacks: `leased` without the AWS schedule, `scheduled` without the nodes' own leases."""
    with project_in(tmp_path_factory.mktemp("ends") / "clone") as project:
        for third, (stack, nodes) in enumerate((("leased", "2"), ("scheduled", "1")), 1):
            change = network(project, third) | {"swift-fleet:sharedFiles": "false", "swift-fleet:nodes": nodes}
            project.stack(stack, change=change)
            project.fleet("up", "-s", stack, "--yes").ok()
        project.cloud("leased").client("scheduler").delete_schedule(Name="swift-fleet-leased-end")
        project.fleet("ssh", "-s", "scheduled", "0", "systemctl", "stop", "fleet-lease.timer").ok()
        yield project


def test_status_tells_of_each_end_by_itself_whether_it_is_armed(two: Project) -> None:
    assert ends(two, "leased") == {"lease": "armed", "AWS schedule": "missing"}
    assert ends(two, "scheduled") == {"lease": "missing", "AWS schedule": "armed"}
    assert "on 0 of 1: not on rank 0" in two.fleet("status", "-s", "scheduled").ok().out


def test_just_before_the_deadline_both_still_run(two: Project) -> None:
    two.control("clock", {"advance": 2 * HOUR - 600})
    assert state_of(two, "leased") == {"running"}
    assert state_of(two, "scheduled") == {"running"}


def test_the_lease_alone_ends_every_node_at_its_deadline(two: Project) -> None:
    two.control("clock", {"advance": 660})
    eventually(lambda: state_of(two, "leased") == {"terminated"})
    assert state_of(two, "scheduled") == {"running"}, "the schedule comes later, and only where a lease did not"


def test_the_schedule_alone_ends_every_node_a_little_later(two: Project) -> None:
    two.control("clock", {"advance": 600})
    eventually(lambda: state_of(two, "scheduled") == {"terminated"})
    assert two.control("status")["schedules"]["swift-fleet-scheduled-end"] == "ok"


def test_a_fleet_that_ended_itself_bills_nothing_and_can_be_made_anew_or_taken_away(two: Project) -> None:
    for stack in ("leased", "scheduled"):
        assert "no node is up, nothing bills by the hour" in two.fleet("status", "-s", stack).ok().out
    down = two.fleet("down", "-s", "scheduled", "--json").ok().events[-1]
    assert down["swept"] == []
    assert two.left("scheduled") == []
    two.fleet("up", "-s", "leased", "--yes").ok()
    status = two.fleet("status", "-s", "leased", "--json").ok().json
    assert len(status["nodes"]) == 2
    assert {end["name"]: end["state"] for end in status["ends"]} == {"lease": "armed", "AWS schedule": "armed"}


def test_with_the_state_lost_down_still_ends_all_of_the_stack_and_says_what_no_state_knew(two: Project) -> None:
    assert any(one.startswith("instance i-") for one in two.left("leased"))
    shutil.rmtree(two.state / "pulumi")
    (two.state / "pulumi").mkdir()
    done = two.fleet("down", "-s", "leased").ok()
    assert "that no state file knew" in done.out
    assert two.left("leased") == []
