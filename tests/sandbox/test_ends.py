"""How a fleet ends though nobody ends it: each of its ends alone, and the sweep where the state is lost."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from project import Project, eventually, project_in

from infra import sweep

HOUR = 3600
STACKS = ("idle", "leased", "scheduled")


def state_of(project: Project, stack: str) -> set[str]:
    return {one["state"] for one in project.control("status")["instances"] if one["stack"] == stack}


def network(project: Project, third: int) -> dict[str, str]:
    """A /24 of the project's own addresses: several stacks of one sandbox, none in another's way."""
    return {"swift-fleet:vpcCidr": project.network.replace(".0.0/16", f".{third}.0/24")}


def ends(project: Project, stack: str) -> dict[str, str]:
    status = project.fleet("status", "-s", stack, "--json").ok().json
    return {end["name"]: end["state"] for end in status["ends"]}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Three stacks with all their ends."""
    with project_in(tmp_path_factory.mktemp("ends") / "clone") as project:
        for third, stack in enumerate(STACKS, 1):
            change = network(project, third) | {"swift-fleet:sharedFiles": "false"}
            change |= {"swift-fleet:idleMinutes": "30" if stack == "idle" else "0"}
            project.stack(stack, change=change | {"swift-fleet:nodes": "1" if stack == "scheduled" else "2"})
        first, *rest = STACKS
        project.fleet("up", "-s", first, "--yes").ok()
        for going in [project.going("up", "-s", stack, "--yes") for stack in rest]:
            going.ended().ok()
        yield project


@pytest.fixture(scope="module")
def cut(whole: Project) -> Project:
    """Of each stack only the end is left after which it is named; the others are off or taken away."""
    for stack in ("idle", "leased"):
        whole.cloud(stack).client("scheduler").delete_schedule(Name=f"swift-fleet-{stack}-end")
    for stack, rank in (("idle", "0"), ("idle", "1"), ("scheduled", "0")):
        on_node(whole, stack, rank, "systemctl stop $(systemctl list-timers | grep -o 'fleet-lease-[0-9]*.timer')")
    return whole


def times(project: Project, stack: str) -> dict[str, str]:
    """When each end comes, and what the nodes' tags say."""
    status = project.fleet("status", "-s", stack, "--json").ok().json
    lived = {str(node.lifetime) for node in sweep.live(project.cloud(stack), stack).values()}
    return {end["name"]: end["at"] for end in status["ends"] if end["at"]} | {"tags": ", ".join(lived)}


def test_what_cannot_be_extended_moves_nothing(whole: Project) -> None:
    before = times(whole, "leased")
    for words, code, said in (
        (("15d",), 2, "14 days after its launch"),
        (("2 hours",), 2, "is no duration"),
    ):
        refused = whole.fleet("extend", "-s", "leased", *words)
        assert (refused.code, said in refused.err) == (code, True), refused.all
    whole.control("faults", [{"action": "UpdateSchedule", "code": "AccessDeniedException"}])
    refused = whole.fleet("extend", "-s", "leased", "30m")
    whole.control("faults", [])
    assert refused.code == 4
    assert "AWS schedule could not be moved" in refused.err and "all ends are where they were" in refused.err
    assert times(whole, "leased") == before


def test_extend_moves_every_end_and_no_later_up_moves_one_back(whole: Project) -> None:
    before = times(whole, "leased")
    done = whole.fleet("extend", "-s", "leased", "30m", "--json").ok().events[-1]
    after = times(whole, "leased")
    assert after["tags"] == "2:30:00" and before["tags"] == "2:00:00"
    for name in ("lease", "AWS schedule"):
        assert datetime.fromisoformat(after[name]) - datetime.fromisoformat(before[name]) == timedelta(minutes=30)
    assert (done["old"], done["new"]) == (before["lease"], after["lease"])
    assert done["usd_at_most"] > 0
    # the schedule is written anew for one node less, with the time that it has
    change = network(whole, 2) | {"swift-fleet:sharedFiles": "false", "swift-fleet:idleMinutes": "0"}
    whole.stack("leased", change=change | {"swift-fleet:nodes": "1"})
    whole.pulumi("up", "--yes", "--skip-preview", "-s", "leased")
    schedule = whole.cloud("leased").client("scheduler").get_schedule(Name="swift-fleet-leased-end")
    assert schedule["Target"]["Input"].count("i-") == 1
    assert times(whole, "leased") == after


def on_node(project: Project, stack: str, rank: str, script: str) -> str:
    return project.fleet("ssh", "-s", stack, rank, "--", "bash", "-c", script).ok().out


def test_status_tells_of_each_end_by_itself_whether_it_is_armed(cut: Project) -> None:
    assert ends(cut, "idle") == {"lease": "missing", "idle end": "armed", "AWS schedule": "missing"}
    assert ends(cut, "leased") == {"lease": "armed", "idle end": "off", "AWS schedule": "missing"}
    assert ends(cut, "scheduled") == {"lease": "missing", "idle end": "off", "AWS schedule": "armed"}
    refused = cut.fleet("extend", "-s", "scheduled", "1h")
    assert (refused.code, "its lease is missing" in refused.err) == (4, True)
    assert "on 0 of 1: not on rank 0" in cut.fleet("status", "-s", "scheduled").ok().out


def test_a_node_that_does_nothing_ends_itself_and_one_that_works_does_not(cut: Project) -> None:
    for rank in ("0", "1"):
        on_node(cut, "idle", rank, "sudo systemctl stop fleet-setup.service")
    works = "mkdir -p ~/fleet/runs/x/rank-1; cd ~/fleet/runs/x/rank-1; setsid sleep 1000 &> ~/out < ~/out & echo $!"
    pid = on_node(cut, "idle", "1", f"touch ~/out; {works}").strip()
    cut.control("clock", {"advance": 35 * 60})
    eventually(lambda: "terminated" in state_of(cut, "idle"))
    assert state_of(cut, "idle") == {"terminated", "running"}
    assert "at work" in cut.fleet("status", "-s", "idle", "--json").ok().out
    on_node(cut, "idle", "1", f"kill {pid}")
    cut.control("clock", {"advance": 30 * 60})
    eventually(lambda: state_of(cut, "idle") == {"terminated"})


def test_just_before_the_deadline_both_still_run(cut: Project) -> None:
    cut.control("clock", {"advance": HOUR - 600})
    assert "running" in state_of(cut, "leased")
    assert state_of(cut, "scheduled") == {"running"}


def test_the_schedule_alone_ends_every_node_a_little_after_the_deadline(cut: Project) -> None:
    cut.control("clock", {"advance": 600})
    eventually(lambda: state_of(cut, "scheduled") == {"terminated"})
    assert cut.control("status")["schedules"]["swift-fleet-scheduled-end"] == "ok"
    assert "running" in state_of(cut, "leased"), "it was extended"


def test_the_lease_alone_ends_every_node_at_its_deadline(cut: Project) -> None:
    cut.control("clock", {"advance": 30 * 60})
    eventually(lambda: state_of(cut, "leased") == {"terminated"})


def test_a_fleet_that_ended_itself_bills_nothing_and_can_be_made_anew_or_taken_away(cut: Project) -> None:
    for stack in ("leased", "scheduled"):
        assert "no node is up, nothing bills by the hour" in cut.fleet("status", "-s", stack).ok().out
    down = cut.fleet("down", "-s", "scheduled", "--json").ok().events[-1]
    assert down["swept"] == []
    assert cut.left("scheduled") == []
    cut.fleet("up", "-s", "leased", "--yes").ok()
    status = cut.fleet("status", "-s", "leased", "--json").ok().json
    assert len(status["nodes"]) == 1
    assert {end["name"]: end["state"] for end in status["ends"]} == {
        "lease": "armed",
        "idle end": "off",
        "AWS schedule": "armed",
    }


def test_with_the_state_lost_down_still_ends_all_of_the_stack_and_says_what_no_state_knew(cut: Project) -> None:
    assert any(one.startswith("instance i-") for one in cut.left("leased"))
    shutil.rmtree(cut.state / "pulumi")
    (cut.state / "pulumi").mkdir()
    done = cut.fleet("down", "-s", "leased").ok()
    assert "that no state file knew" in done.out
    assert cut.left("leased") == []
