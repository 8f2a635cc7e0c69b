"""How a fleet ends though nobody ends it: each of its ends alone, and the sweep where the state is lost."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from project import Project, eventually, project_in

from infra import sweep
from infra.alarms import alarm_name
from infra.extend import reserved_until
from infra.schedules import read_schedules

KEYS = {
    "idle": {"nodes": "2", "idleMinutes": "30", "sharedFiles": "false"},
    "leased": {"nodes": "2", "idleMinutes": "0", "sharedFiles": "false", "instanceRole": "false"},
    "scheduled": {"nodes": "2", "idleMinutes": "0", "instanceRole": "false"},
    "swept": {"nodes": "2", "idleMinutes": "30", "sharedFiles": "false"},
}
STOP_LEASE = "systemctl stop $(systemctl list-timers | grep -o 'fleet-lease-[0-9]*.timer')"
STOP_IDLE = "systemctl stop fleet-idle.timer"


ALL_ARMED = {"lease": "armed", "idle end": "off", "AWS schedule": "armed", "idle alarm": "off", "sweep": "by hand"}


def state_of(project: Project, stack: str) -> set[str]:
    return {one["state"] for one in project.control("status")["instances"] if one["stack"] == stack}


def network(project: Project, third: int) -> dict[str, str]:
    """A /24 of the project's own addresses: several stacks of one sandbox, none in another's way."""
    return {"vpcCidr": project.network.replace(".0.0/16", f".{third}.0/24")}


def ends(project: Project, stack: str) -> dict[str, str]:
    status = project.fleet("status", "-s", stack, "--json").ok().json
    return {end["name"]: end["state"] for end in status["ends"]}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Four stacks with all their ends."""
    with project_in(tmp_path_factory.mktemp("ends") / "clone") as project:
        for third, stack in enumerate(KEYS, 1):
            change = network(project, third) | KEYS[stack]
            project.stack(stack, change={f"swift-fleet:{key}": value for key, value in change.items()})
        first, *rest = KEYS
        project.fleet("up", "-s", first, "--yes").ok()
        for going in [project.going("up", "-s", stack, "--yes") for stack in rest]:
            going.ended().ok()
        yield project


@pytest.fixture(scope="module")
def cut(whole: Project) -> Project:
    """Of each stack only the end is left after which it is named; the others are off or taken away."""
    for stack in ("idle", "leased", "swept"):
        sweep.end_schedules(whole.cloud(stack), stack)
    for rank in ("0", "1"):
        on_node(whole, "idle", rank, STOP_LEASE)
        on_node(whole, "swept", rank, f"{STOP_LEASE}; {STOP_IDLE}")
    for stack in ("idle", "swept"):
        alarms(whole, stack, "disable")
    # one of its nodes ends long before the others
    sweep.fence(whole.cloud("scheduled"), [node_id(whole, "scheduled", 1)])
    return whole


def alarms(project: Project, stack: str, verb: str) -> None:
    """Whether the nodes' alarms do what they are there for."""
    names = [alarm_name(stack, number) for number in range(2)]
    getattr(project.cloud(stack).client("cloudwatch"), f"{verb}_alarm_actions")(AlarmNames=names)


def node_id(project: Project, stack: str, number: int) -> str:
    of = {"stack": stack, "state": "running"}
    found = [one for one in project.control("status")["instances"] if of.items() <= one.items()]
    return next(one["id"] for one in found if one["tags"]["swift-fleet:node"] == str(number))


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
    before, reserved = times(whole, "leased"), reserved_until(whole.cloud("leased"), "leased")
    done = whole.fleet("extend", "-s", "leased", "30m", "--json").ok().events[-1]
    after = times(whole, "leased")
    assert after["tags"] == "2:30:00" and before["tags"] == "2:00:00"
    for name in ("lease", "AWS schedule"):
        assert datetime.fromisoformat(after[name]) - datetime.fromisoformat(before[name]) == timedelta(minutes=30)
    assert (done["old"], done["new"]) == (before["lease"], after["lease"])
    said = whole.fleet("status", "-s", "leased").ok().out
    assert next(end["detail"] for end in done["ends"] if end["name"] == "sweep") in said
    assert done["usd_at_most"] > 0
    later = reserved_until(whole.cloud("leased"), "leased")
    assert later == {one: end + timedelta(minutes=30) for one, end in reserved.items()} and len(later) == 1
    # the schedule of the node that is left keeps the time that it has
    change = network(whole, 2) | KEYS["leased"] | {"nodes": "1"}
    whole.stack("leased", change={f"swift-fleet:{key}": value for key, value in change.items()})
    whole.pulumi("up", "--yes", "--skip-preview", "-s", "leased")
    (schedule,) = read_schedules(whole.cloud("leased"), "leased")
    assert schedule.terminates == {node_id(whole, "leased", 0)}
    assert times(whole, "leased") == after
    # a node that joins late has the others' end, in each of its own
    whole.fleet("resize", "2", "-s", "leased", "--yes").ok()
    joined = times(whole, "leased")
    assert joined["AWS schedule"] == after["AWS schedule"] and joined["lease"] <= after["lease"]
    lifetimes = {node.id: node.ends_at for node in sweep.live(whole.cloud("leased"), "leased").values()}
    assert lifetimes.pop(node_id(whole, "leased", 1)) <= lifetimes.pop(node_id(whole, "leased", 0))


def on_node(project: Project, stack: str, rank: str, script: str) -> str:
    return project.fleet("ssh", "-s", stack, rank, "--", "bash", "-c", script).ok().out


def test_a_guard_that_is_silently_off_is_told_of_and_up_makes_it_again_or_fails(whole: Project) -> None:
    """spawn #502: a policy without one right, and the fleet ran on for hours."""
    iam = whole.cloud("scheduled").client("iam")
    (role,) = (one["RoleName"] for one in iam.list_roles()["Roles"] if one["RoleName"].startswith("fleet-scheduled-"))
    (right,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
    iam.delete_role_policy(RoleName=role, PolicyName=right)
    assert ends(whole, "scheduled") == ALL_ARMED | {"AWS schedule": "missing"}
    scheduler = whole.cloud("scheduled").client("scheduler")
    kept = scheduler.get_schedule(Name="swift-fleet-scheduled-node-001-end")
    given = {key: kept[key] for key in ("Name", "FlexibleTimeWindow", "Target", "ScheduleExpressionTimezone")}
    scheduler.update_schedule(**given, ScheduleExpression="at(2026-01-01T00:00:00)")
    assert "its time is past" in whole.fleet("status", "-s", "scheduled").ok().out
    done = whole.fleet("up", "-s", "scheduled", "--yes").ok()
    assert "its AWS schedule is past: it gets another" in done.out
    assert iam.list_role_policies(RoleName=role)["PolicyNames"]
    whole.control("faults", [{"action": "GetSchedule", "code": "AccessDeniedException", "status": 403}])
    assert ends(whole, "scheduled") == ALL_ARMED | {"AWS schedule": "UNKNOWN"}
    whole.control("faults", [])
    on_node(whole, "scheduled", "0", STOP_LEASE)
    refused = whole.fleet("up", "-s", "scheduled", "--yes")
    assert (refused.code, "its lease is missing: on 1 of 2: not on rank 0" in refused.err) == (4, True)


def test_an_up_that_can_not_arm_an_end_or_see_it_fails_in_one_line(whole: Project) -> None:
    """Beside a lease (above) the ends that AWS holds: an alarm that does nothing, a right that is lacking, a tag."""

    def refused(*rules: str) -> str:
        whole.control("faults", [{"action": one, "code": "AccessDenied", "status": 403} for one in rules])
        done = whole.fleet("up", "-s", "swept", "--yes")
        whole.control("faults", [])
        assert done.code == 4 and len(done.err.strip().splitlines()) == 1, done.all
        return done.err

    alarms(whole, "swept", "disable")
    assert "PutMetricAlarm is not allowed" in refused("PutMetricAlarm")
    assert ends(whole, "swept")["idle alarm"] == "missing"
    assert "idle alarm" in whole.fleet("up", "-s", "swept", "--yes").ok().out.split("ends armed: ")[1]
    assert "its idle alarm is UNKNOWN: cloudwatch:DescribeAlarms: AccessDenied" in refused("DescribeAlarms")
    assert "ListSchedules is not allowed" in refused("ListSchedules")
    ec2, node = whole.cloud("swept").client("ec2"), node_id(whole, "swept", 1)
    lifetime = {"Key": "swift-fleet:lifetime", "Value": "2h"}
    ec2.delete_tags(Resources=[node], Tags=[lifetime])
    assert f"its sweep is missing: no lifetime tag on {node}" in refused()
    ec2.create_tags(Resources=[node], Tags=[lifetime])
    done = whole.fleet("up", "-s", "swept", "--yes").ok().out
    assert (
        done.splitlines()[-2]
        == "ends armed: lease, idle end, AWS schedule, idle alarm; by hand or cron: fleet sweep --yes"
    )


def test_status_tells_of_each_end_by_itself_whether_it_is_armed(cut: Project) -> None:
    gone = {"lease": "missing", "AWS schedule": "missing"}
    assert ends(cut, "idle") == ALL_ARMED | gone | {"idle end": "armed", "idle alarm": "missing"}
    assert ends(cut, "swept") == ALL_ARMED | gone | {"idle end": "missing", "idle alarm": "missing"}
    assert ends(cut, "leased") == ALL_ARMED | {"AWS schedule": "missing"}
    assert ends(cut, "scheduled") == ALL_ARMED | {"lease": "missing"}


def test_a_fleet_without_any_role_shares_its_files_all_the_same(cut: Project) -> None:
    assert not [one for one in cut.left("scheduled") if one.startswith("instance profile")]
    steps = [home / "fleet" / "bootstrap" / "steps.tsv" for home in cut.node_homes()]
    eventually(lambda: any("shared\tok" in one.read_text() for one in steps if one.exists()), within=180)


def test_a_node_that_does_nothing_ends_itself_and_one_that_works_does_not(cut: Project) -> None:
    for rank in ("0", "1"):
        on_node(cut, "idle", rank, "sudo systemctl stop fleet-setup.service")
    works = "mkdir -p ~/fleet/runs/x/rank-1; cd ~/fleet/runs/x/rank-1; setsid sleep 1000 &> ~/out < ~/out & echo $!"
    pid = on_node(cut, "idle", "1", f"touch ~/out; {works}").strip()
    cut.control("clock", {"advance": 35 * 60})
    eventually(lambda: "terminated" in state_of(cut, "idle"))
    assert state_of(cut, "idle") == {"terminated", "running"}
    assert "at work" in cut.fleet("status", "-s", "idle", "--json").ok().out
    on_node(cut, "idle", "1", f"kill {pid}; {STOP_IDLE}")
    alarms(cut, "idle", "enable")


def test_the_idle_alarm_alone_ends_a_node_that_does_nothing_for_twice_as_long(cut: Project) -> None:
    assert ends(cut, "idle") == ALL_ARMED | {
        "lease": "missing",
        "idle end": "missing",
        "AWS schedule": "missing",
        "idle alarm": "armed",
    }
    cut.control("clock", {"advance": 30 * 60})
    assert "running" in state_of(cut, "idle")
    cut.control("clock", {"advance": 35 * 60})
    eventually(lambda: state_of(cut, "idle") == {"terminated"})


def test_just_before_the_deadline_both_still_run(cut: Project) -> None:
    cut.control("clock", {"advance": 15 * 60})
    assert "running" in state_of(cut, "leased")
    assert state_of(cut, "scheduled") == {"running"}, "of the one that ended long ago AWS tells no more"


def test_the_schedule_alone_ends_a_node_a_little_after_the_deadline_though_another_is_long_gone(cut: Project) -> None:
    """TerminateInstances ends nothing where it doesn't know one of the ids: one schedule for both would fail."""
    cut.control("clock", {"advance": 15 * 60})
    eventually(lambda: state_of(cut, "scheduled") == {"terminated"})
    became = eventually(lambda: len(said := cut.control("status")["schedules"]) == 2 and said)
    assert became.pop("swift-fleet-scheduled-node-000-end") == "ok"
    assert "InvalidInstanceID.NotFound" in became.pop("swift-fleet-scheduled-node-001-end")
    assert "running" in state_of(cut, "leased"), "it was extended"


def test_the_lease_alone_ends_every_node_at_its_deadline(cut: Project) -> None:
    cut.control("clock", {"advance": 25 * 60})
    eventually(lambda: state_of(cut, "leased") == {"terminated"})


def test_a_sweep_alone_ends_everything_of_a_fleet_that_outlived_its_time_from_where_its_stack_file_is_not(
    cut: Project,
) -> None:
    """spawn #502's fleet, which ran on for hours: no lease, no idle end, no schedule, no alarm."""
    cut.control("clock", {"advance": 2 * 3600})
    assert state_of(cut, "swept") == {"running"}
    account = cut.cloud("swept")
    file = cut.root / "stacks" / "Pulumi.swept.yaml"
    file.unlink()
    listed = cut.fleet("sweep").ok().out
    assert "swept: past its time, 2 of 2 nodes should have ended at" in listed
    assert state_of(cut, "swept") == {"running"}
    cut.fleet("sweep", "--yes").ok()
    assert state_of(cut, "swept") == {"terminated"}
    assert not [thing for answer in sweep.look(account, "swept") for thing in answer.found]


def test_a_fleet_that_ended_itself_bills_nothing_and_can_be_made_anew_or_taken_away(cut: Project) -> None:
    for stack in ("leased", "scheduled"):
        assert "no node is up, nothing bills by the hour" in cut.fleet("status", "-s", stack).ok().out
    down = cut.fleet("down", "-s", "scheduled", "--json").ok().events[-1]
    assert down["swept"] == []
    assert cut.left("scheduled") == []
    cut.fleet("up", "-s", "leased", "--yes").ok()
    status = cut.fleet("status", "-s", "leased", "--json").ok().json
    assert len(status["nodes"]) == 2
    assert {end["name"]: end["state"] for end in status["ends"]} == ALL_ARMED


def test_a_sweep_ends_the_nodes_of_a_known_stack_and_leaves_the_rest_to_its_owner(cut: Project) -> None:
    """The fleet that was made anew: within its time, and then with no other end."""
    within = cut.fleet("sweep", "--yes").ok().out
    assert "leased: kept, its stack file is here" in within and "nothing to end" in within
    for rank in ("0", "1"):
        on_node(cut, "leased", rank, STOP_LEASE)
    sweep.end_schedules(cut.cloud("leased"), "leased")
    cut.control("clock", {"advance": 2 * 3600 + 14 * 60})
    assert "nothing to end" in cut.fleet("sweep", "--yes").ok().out
    cut.control("clock", {"advance": 2 * 60})
    assert "running" in state_of(cut, "leased")
    assert "ended 2 things" in cut.fleet("sweep", "--yes").ok().out
    assert state_of(cut, "leased") == {"terminated"}
    assert any(one.startswith("VPC") for one in cut.left("leased")), "the rest of a known stack is for fleet down"


def test_a_sweep_ends_what_is_left_without_a_stack_file_and_says_what_it_could_not_ask(cut: Project) -> None:
    file = cut.root / "stacks" / "Pulumi.leased.yaml"
    account = cut.cloud("leased")
    file.rename(file.with_suffix(".gone"))
    cut.control("faults", [{"action": "DescribeAlarms", "code": "AccessDenied", "status": 403}])
    refused = cut.fleet("sweep", "--json")
    cut.control("faults", [])
    assert refused.code == 4
    assert [one["asked"] for one in refused.events[-2]["unasked"]] == ["cloudwatch DescribeAlarms *"]
    assert [one["stack"] for one in refused.events[-2]["found"] if one["doomed"]] == ["leased"]
    elsewhere = cut.fleet("sweep", "--region", "eu-west-1", "--yes").ok().out
    assert "nothing to end; looked in eu-west-1" in elsewhere
    assert any(thing.found for thing in sweep.look(account, "leased"))
    cut.fleet("sweep", "--yes").ok()
    assert not any(thing.found for thing in sweep.look(account, "leased"))


def test_with_the_state_lost_down_still_ends_all_of_the_stack_and_says_what_no_state_knew(cut: Project) -> None:
    assert cut.left("idle")
    shutil.rmtree(cut.state / "pulumi")
    (cut.state / "pulumi").mkdir()
    done = cut.fleet("down", "-s", "idle").ok()
    assert "that no state file knew" in done.out
    assert cut.left("idle") == []
