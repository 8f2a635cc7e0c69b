"""What an edit of a stack file does to a fleet that is up, as preview says it; drift, import, and another program."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from project import REPO, Project

from training.record import Record, Request, Stage
from training.run import now

FEW = {"swift-fleet:sharedFiles": "false"}


@pytest.fixture(scope="module")
def up(project: Project) -> Iterator[Project]:
    project.stack(change=FEW)
    project.fleet("up", "-s", "sandbox", "--yes").ok()
    yield project


def changes(project: Project, **config: str) -> dict[str, set[str]]:
    """What an `up` would do after this edit: {"create": {"node-002"}}; what stays as it is left out."""
    project.stack(change=FEW | {f"swift-fleet:{key}": value for key, value in config.items()})
    try:
        planned = project.fleet("preview", "-s", "sandbox", "--json").ok().json
    finally:
        project.stack(change=FEW)
    found: dict[str, set[str]] = defaultdict(set)
    for one in planned["resources"]:
        if one["op"] not in ("same", "read"):
            found[one["op"]].add(one["name"])
    return dict(found)


BOTH = {"node-000", "node-001"}


def named(value: str | set[str]) -> str:
    """The same in every process: workers must collect alike."""
    return value if isinstance(value, str) else ",".join(sorted(value))


@pytest.mark.parametrize(
    ("edit", "does"),
    [
        ({"lifetime": "8h"}, {}),
        ({"operatorCidr": "127.64.0.0/10"}, {"update": {"ssh"}}),
        ({"idleMinutes": "30"}, {"update": {"node-000-idle", "node-001-idle"}}),
        ({"rootVolumeGib": "300"}, {"update": BOTH}),
        # "ranks" is the order that the state keeps of three or more, "default" Pulumi's own provider of it.
        (
            {"nodes": "3"},
            {"create": {"node-002", "node-002-idle", "node-002-end", "ranks", "default"}, "update": {"room"}},
        ),
        ({"nodes": "1"}, {"delete": {"node-001", "node-001-idle", "node-001-end"}, "update": {"room"}}),
    ],
    ids=lambda one: " ".join(f"{key}={named(value)}" for key, value in one.items()) if one else "nothing",
)
def test_an_edit_changes_what_it_names_and_no_node_beside(
    up: Project, edit: dict[str, str], does: dict[str, set[str]]
) -> None:
    assert changes(up, **edit) == does


def test_machines_that_are_reserved_as_one_type_are_not_stopped_for_another(up: Project) -> None:
    up.stack(change=FEW | {"swift-fleet:instanceType": "m7i.2xlarge"})
    try:
        ours, plain = up.fleet("preview", "-s", "sandbox"), up.pulumi("preview", "-s", "sandbox")
    finally:
        up.stack(change=FEW)
    said = "swift-fleet:instanceType  the fleet runs on m7i.xlarge, and its machines are reserved as that"
    assert said in ours.err and said in plain.all
    assert ours.code != 0 and plain.code != 0


def test_refresh_sees_what_somebody_took_away_and_up_brings_it_back(up: Project) -> None:
    cloud = up.cloud()
    cloud.client("scheduler").delete_schedule(Name="swift-fleet-sandbox-node-001-end")
    ec2 = cloud.client("ec2")
    [ssh] = [
        rule
        for rule in ec2.describe_security_group_rules()["SecurityGroupRules"]
        if rule.get("FromPort") == up.ssh_port and not rule["IsEgress"]
    ]
    ec2.revoke_security_group_ingress(GroupId=ssh["GroupId"], SecurityGroupRuleIds=[ssh["SecurityGroupRuleId"]])
    assert changes(up) == {}, "the state has not looked"
    up.pulumi("refresh", "-s", "sandbox", "--yes").ok()
    assert changes(up) == {"create": {"ssh", "node-001-end"}}
    up.pulumi("up", "-s", "sandbox", "--yes").ok()
    assert changes(up) == {}
    assert up.fleet("ssh", "-s", "sandbox", "0", "true").code == 0


def test_what_the_state_lost_is_imported_and_then_unchanged(up: Project) -> None:
    state = json.loads(up.pulumi("stack", "export", "-s", "sandbox").ok().out)
    [alarm] = [one for one in state["deployment"]["resources"] if one["urn"].endswith("::node-001-idle")]
    up.pulumi("state", "delete", alarm["urn"], "-s", "sandbox", "--yes").ok()
    assert changes(up) == {"create": {"node-001-idle"}}
    up.pulumi(
        *("import", "aws:cloudwatch/metricAlarm:MetricAlarm", "node-001-idle", alarm["id"]),
        *("--parent", f"alarms={alarm['parent']}", "--generate-code=false", "--protect=false"),
        *("-s", "sandbox", "--yes"),
    ).ok()
    assert changes(up) == {}


def test_another_program_reads_the_nodes(up: Project) -> None:
    folder = up.root / "uses-the-fleet"
    shutil.copytree(REPO / "examples" / "uses-the-fleet", folder)
    for words in (["stack", "init", "other"], ["config", "set", "fleet", "sandbox"], ["up", "--yes"]):
        up.pulumi(*words, "-C", str(folder)).ok()
    said: dict[str, Any] = json.loads(up.pulumi("stack", "output", "--json", "-C", str(folder)).ok().out)
    nodes = up.fleet("outputs", "-s", "sandbox", "--json").ok().json["nodes"]
    assert [one["targets"] for one in said["targets"]] == [[f"{node['private_address']}:9400"] for node in nodes]
    assert [one["labels"]["rank"] for one in said["targets"]] == ["0", "1"]
    assert said["ends"].startswith("at(2")


RENAMED = """
import pulumi, pulumi_aws as aws
now, *was = pulumi.Config().require("names").split()
class Room(pulumi.ComponentResource):
    def __init__(self):
        aliases = [pulumi.Alias(name=f"{one}-room") for one in was]
        super().__init__("swift-fleet:infra:Room", f"{now}-room", {}, pulumi.ResourceOptions(aliases=aliases))
        inner = pulumi.ResourceOptions(parent=self, aliases=[pulumi.Alias(name=one) for one in was])
        aws.ec2.Vpc(now, cidr_block="10.9.0.0/16", tags={"Name": "renamed"}, opts=inner)
Room()
"""


@pytest.mark.full
def test_a_resource_that_is_renamed_with_an_alias_is_not_replaced(up: Project) -> None:
    folder = up.root / "renamed"
    folder.mkdir()
    (folder / "Pulumi.yaml").write_text("name: renamed\nruntime: python\n")
    (folder / "__main__.py").write_text(RENAMED)
    account = yaml.safe_load((up.root / "stacks" / "Pulumi.sandbox.yaml").read_text())["config"]
    (folder / "Pulumi.it.yaml").write_text(
        yaml.safe_dump({"config": {key: value for key, value in account.items() if key.startswith("aws:")}})
    )

    def pulumi(*words: str, names: str) -> str:
        up.pulumi("config", "set", "names", names, "-s", "it", "-C", str(folder)).ok()
        return up.pulumi(*words, "-s", "it", "-C", str(folder)).ok().out

    up.pulumi("stack", "init", "it", "-C", str(folder)).ok()
    pulumi("up", "--yes", "--skip-preview", names="net")
    assert "to delete" in pulumi("preview", names="vpc"), "without one it would go"
    assert "3 unchanged" in pulumi("preview", "--expect-no-changes", names="vpc net")
    pulumi("destroy", "--yes", "--skip-preview", names="net")


BUSY = """
dir=$HOME/fleet/runs/run-1234/rank-0; mkdir -p $dir && cd $dir || exit 1
nohup sleep 600 > /dev/null 2>&1 < /dev/null & echo $! > pid; cat pid
"""


def on_node(project: Project, script: str) -> str:
    return str(project.fleet("ssh", "-s", "sandbox", "0", "--", "bash", "-c", script).ok().out.strip())


@pytest.mark.full
def test_an_up_that_would_replace_nodes_is_refused_under_a_run_and_asks_where_there_is_none(up: Project) -> None:
    before = up.left()
    pid = on_node(up, BUSY)
    up.stack(change=FEW | {"swift-fleet:zone": "us-east-1b"})
    try:
        under = up.fleet("up", "-s", "sandbox", "--yes")
        on_node(up, f"kill {pid}")
        asked = up.fleet("up", "-s", "sandbox")
    finally:
        up.stack(change=FEW)
    goes = "replace the machines of ranks 0-1 with all that is on their disks"
    assert (under.code, under.out) == (2, "")
    assert f"this would {goes}, and run-1234 runs there." in under.err and "fleet stop run-1234" in under.err
    assert asked.code == 2 and f"R{goes[1:]}; then $0." in asked.out and "no terminal to ask" in asked.err
    assert up.left() == before


def test_a_run_that_was_launched_is_not_begun_anew_on_other_machines(up: Project) -> None:
    job = up.root / "job.yaml"
    job.write_text(
        "command: sft\nargs: {model: Qwen/Qwen2.5-0.5B-Instruct, dataset: AI-ModelScope/alpaca-gpt4-data-en}\n"
    )
    request = Request("run-abcd", str(job), "stack", "sandbox", fleet_was_up=True)
    record = Record(up.record)
    record.begin(request, now())
    record.add(request.run_id, Stage(now(), "launch", "done"))
    record.close()
    done = up.fleet("attach", "run-abcd")
    assert done.code == 3 and "its nodes know nothing of it: they were replaced" in done.err, done.all
    assert "fleet run JOB -s sandbox starts anew" in done.err
    assert not any("runs/run-abcd" in str(one) for home in up.node_homes() for one in home.glob("fleet/runs/*"))
