"""The real Pulumi program under the SDK's mocks: what it would ask AWS for, resource by resource."""

from __future__ import annotations

import asyncio
import email
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi.runtime import config as engine_config
from pulumi.runtime import mocks, settings

from infra.network import RENDEZVOUS_PORTS
from infra.program import IMAGE, program
from infra.userdata import LIMIT_BYTES

CONFIG = {"instanceType": "g6.xlarge", "nodes": "3", "operatorCidr": "203.0.113.7/32", "lifetime": "2h"}
#: What AWS gives no tags, so that only a name or its parent's tag can tell whose it is.
UNTAGGED = {
    "aws:ec2/route:Route",
    "aws:ec2/routeTableAssociation:RouteTableAssociation",
    "aws:efs/mountTarget:MountTarget",
    "aws:efs/fileSystemPolicy:FileSystemPolicy",
    "aws:iam/rolePolicy:RolePolicy",
    "aws:scheduler/schedule:Schedule",
}

LOOP = asyncio.new_event_loop()  # the SDK keeps futures between programs, and a future keeps its loop


@dataclass
class Engine(pulumi.runtime.Mocks):
    """Takes each registration, and answers as AWS would where the program looks at the answer."""

    made: list[pulumi.runtime.MockResourceArgs] = field(default_factory=list)
    zones: tuple[str, ...] = ("us-east-1b", "us-east-1d", "us-east-1a")

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        self.made.append(args)
        arn = f"arn:{args.name}"
        return f"id-{args.name}", {"arn": arn, "name": args.name, "keyName": args.name, **args.inputs}

    def call(self, args: pulumi.runtime.MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        answers: dict[str, dict[str, Any]] = {
            "aws:ec2/getInstanceTypeOfferings:getInstanceTypeOfferings": {"locations": list(self.zones)},
            "aws:index/getRegion:getRegion": {"region": "us-east-1", "name": "us-east-1"},
            "aws:ssm/getParameter:getParameter": {"insecureValue": f"ami-for-{args.args.get('name')}"},
        }
        return answers[args.token], []

    def all(self, kind: str) -> list[dict[str, Any]]:
        return [one.inputs for one in self.made if one.typ == kind]

    def one(self, name: str) -> dict[str, Any]:
        (found,) = [one.inputs for one in self.made if one.name == name and one.typ.startswith("aws:")]
        return found


def planned(root: Path, engine: Engine | None = None, run_budget: float | None = None, **config: str) -> Engine:
    """The program run once, to its end; what it registered."""
    engine = engine or Engine()
    asyncio.set_event_loop(LOOP)
    settings.ROOT.set(None)
    mocks.set_mocks(engine, project="swift-fleet", stack="dev", preview=False)
    ours = {f"swift-fleet:{key}": value for key, value in (CONFIG | config).items()}
    engine_config.set_all_config({"aws:region": "us-east-1", **ours})
    try:
        LOOP.run_until_complete(
            asyncio.wait_for(pulumi.runtime.stack.run_pulumi_func(lambda: program(root, run_budget)), 60)
        )
    finally:
        engine_config.set_all_config({})
    return engine


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    yield planned(tmp_path_factory.mktemp("clone"))


def test_what_can_carry_a_tag_carries_the_stacks(fleet: Engine) -> None:
    real = [one for one in fleet.made if one.typ.startswith("aws:")]
    assert len(real) > 20
    for one in real:
        if one.typ not in UNTAGGED:
            assert one.inputs["tags"]["swift-fleet:stack"] == "dev", one.name
        else:
            assert "tags" not in one.inputs, one.name


def test_disks_carry_the_tag_too(fleet: Engine) -> None:
    assert {node["volumeTags"]["swift-fleet:stack"] for node in fleet.all("aws:ec2/instance:Instance")} == {"dev"}


def test_nodes_are_named_by_their_rank(fleet: Engine) -> None:
    names = [one.name for one in fleet.made if one.typ == "aws:ec2/instance:Instance"]
    assert sorted(names) == ["node-000", "node-001", "node-002"]
    for rank in range(3):
        tags = fleet.one(f"node-{rank:03d}")["tags"]
        assert (tags["Name"], tags["swift-fleet:rank"]) == (f"fleet-dev-node-{rank:03d}", str(rank))


def test_only_the_operator_may_open_ssh(fleet: Engine) -> None:
    ssh = fleet.one("ssh")
    assert (ssh["cidrIpv4"], ssh["fromPort"], ssh["toPort"], ssh["ipProtocol"]) == ("203.0.113.7/32", 22, 22, "tcp")
    from_outside = [rule for rule in ingress(fleet) if "cidrIpv4" in rule or "cidrIpv6" in rule]
    assert from_outside == [ssh]


def test_all_else_comes_from_the_fleets_own_group(fleet: Engine) -> None:
    inside = {
        name: (rule["ipProtocol"], rule.get("fromPort"), rule.get("toPort"))
        for name in ("rendezvous", "members")
        if (rule := fleet.one(name))["referencedSecurityGroupId"] == rule["securityGroupId"] == "id-nodes"
    }
    assert inside == {"rendezvous": ("tcp", *RENDEZVOUS_PORTS), "members": ("-1", None, None)}
    assert RENDEZVOUS_PORTS == (29500, 29600)
    assert fleet.one("nfs")["referencedSecurityGroupId"] == "id-nodes"
    assert len(ingress(fleet)) == 4


def test_members_speak_freely_outwards_by_group_and_to_the_world(fleet: Engine) -> None:
    out = fleet.all("aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule")
    assert {rule.get("referencedSecurityGroupId") or rule["cidrIpv4"] for rule in out} == {"id-nodes", "0.0.0.0/0"}


def test_groups_hold_no_rules_of_their_own(fleet: Engine) -> None:
    for group in fleet.all("aws:ec2/securityGroup:SecurityGroup"):
        assert "ingress" not in group and "egress" not in group


def test_the_ssh_port_is_the_images(tmp_path: Path) -> None:
    ssh = planned(tmp_path, sshPort="2222").one("ssh")
    assert (ssh["fromPort"], ssh["toPort"]) == (2222, 2222)


@pytest.mark.parametrize("rank", range(3))
def test_a_node_guards_its_credentials_its_disk_and_its_end(fleet: Engine, rank: int) -> None:
    node = fleet.one(f"node-{rank:03d}")
    assert node["metadataOptions"]["httpTokens"] == "required"
    assert node["metadataOptions"]["httpPutResponseHopLimit"] == 1
    assert node["instanceInitiatedShutdownBehavior"] == "terminate"
    assert node["rootBlockDevice"]["encrypted"] is True
    assert node["rootBlockDevice"]["deleteOnTermination"] is True
    assert (node["instanceType"], node["subnetId"], node["keyName"]) == ("g6.xlarge", "id-subnet", "key")
    assert node["vpcSecurityGroupIds"] == ["id-nodes"]


@pytest.mark.parametrize("rank", range(3))
def test_a_node_arms_its_lease_before_anything_else(fleet: Engine, rank: int) -> None:
    text = fleet.one(f"node-{rank:03d}")["userData"]
    assert len(text.encode()) < LIMIT_BYTES
    first, second = email.message_from_string(text).get_payload()
    assert first.get_content_type() == "text/cloud-boothook"
    assert "+ 7200 ))" in first.get_payload() and "shutdown -h now" in first.get_payload()
    assert "FLEET_SHARED=id-files:id-files-point" in second.get_payload()


@pytest.mark.parametrize(("stacks", "runs"), [({"budget": "2.50"}, None), ({"budget": "9"}, 2.50), ({}, 2.50)])
def test_a_budget_ends_the_nodes_and_the_schedule_alike(
    tmp_path: Path, stacks: dict[str, str], runs: float | None
) -> None:
    fleet = planned(tmp_path, run_budget=runs, **stacks)  # it buys an hour, and the schedule's 5 min are in it
    first, _ = email.message_from_string(fleet.one("node-002")["userData"]).get_payload()
    assert f"+ {55 * 60} ))" in first.get_payload()
    at = datetime.strptime(fleet.one("end")["scheduleExpression"], "at(%Y-%m-%dT%H:%M:%S)").replace(tzinfo=UTC)
    assert timedelta(minutes=59) < at - datetime.now(UTC) <= timedelta(minutes=60)


def test_the_schedule_ends_every_node_by_id(fleet: Engine) -> None:
    schedule = fleet.one("end")
    assert schedule["name"] == "swift-fleet-dev-end"
    assert json.loads(schedule["target"]["input"]) == {"InstanceIds": ["id-node-000", "id-node-001", "id-node-002"]}
    assert schedule["target"]["arn"].endswith("ec2:terminateInstances")
    assert schedule["scheduleExpressionTimezone"] == "UTC"
    assert schedule["flexibleTimeWindow"]["mode"] == "OFF"


def test_the_schedules_right_is_bound_to_the_stacks_tag(fleet: Engine) -> None:
    right = fleet.one("end-right")
    assert '"ec2:ResourceTag/swift-fleet:stack": "dev"' in right["policy"]
    assert right["role"] == "id-fleet-dev-end-role"


def test_the_nodes_own_role_may_do_nothing(fleet: Engine) -> None:
    policies = [one for one in fleet.made if one.typ.startswith("aws:iam/") and "olicy" in one.typ.split(":")[-1]]
    assert [one.name for one in policies] == ["end-right"]
    assert "managedPolicyArns" not in fleet.one("fleet-dev-node-role")


def test_shared_files_are_encrypted_and_fast_enough_for_checkpoints(fleet: Engine) -> None:
    files = fleet.one("files")
    assert (files["encrypted"], files["throughputMode"]) == (True, "elastic")


def test_shared_files_are_open_to_the_fleets_role_over_tls_and_to_nobody_else(fleet: Engine) -> None:
    deny, allow = json.loads(fleet.one("files-policy")["policy"])["Statement"]
    assert (deny["Effect"], deny["Principal"], deny["Action"]) == ("Deny", {"AWS": "*"}, "*")
    assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert (allow["Effect"], allow["Principal"]) == ("Allow", {"AWS": "arn:fleet-dev-node-role"})
    assert allow["Condition"] == {"StringEquals": {"elasticfilesystem:AccessPointArn": "arn:files-point"}}
    assert deny["Resource"] == allow["Resource"] == "arn:files"


def test_without_shared_files_none_is_made_and_none_is_mounted(tmp_path: Path) -> None:
    fleet = planned(tmp_path, sharedFiles="false")
    assert not [one for one in fleet.made if one.typ.startswith("aws:efs/") or one.typ.endswith(":Storage")]
    assert "FLEET_SHARED=''" in fleet.one("node-000")["userData"]


def test_the_zone_is_the_first_by_name_that_offers_the_type(fleet: Engine) -> None:
    assert fleet.one("subnet")["availabilityZone"] == "us-east-1a"


def test_a_given_zone_and_image_are_used(tmp_path: Path) -> None:
    fleet = planned(tmp_path, zone="us-east-1f", ami="ami-0123456789abcdef0")
    assert fleet.one("subnet")["availabilityZone"] == "us-east-1f"
    assert fleet.one("node-000")["ami"] == "ami-0123456789abcdef0"


def test_the_image_is_awss_newest_for_deep_learning_by_default(fleet: Engine) -> None:
    assert fleet.one("node-000")["ami"] == f"ami-for-{IMAGE}"


def test_no_private_key_is_told_to_the_engine(fleet: Engine, tmp_path: Path) -> None:
    told = json.dumps([one.inputs for one in fleet.made], default=str)
    assert "PRIVATE KEY" not in told
    assert fleet.one("key")["publicKey"].startswith("ssh-ed25519 ")


def test_components_are_ours_by_type(fleet: Engine) -> None:
    own = {one.typ for one in fleet.made if not one.typ.startswith(("aws:", "pulumi:"))}
    assert own == {f"swift-fleet:infra:{name}" for name in ("Access", "Network", "Storage", "Nodes", "Guardrails")}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"operatorCidr": "0.0.0.0/0"}, "opens SSH to the whole internet"),
        ({"nodez": "3"}, r"swift-fleet:nodez  unknown key\. Did you mean nodes\?"),
        ({"nodes": "0"}, "greater than or equal to 1"),
        ({"lifetime": "forever"}, "is no duration"),
        ({"budget": "0.50"}, r"swift-fleet:budget  \$0\.50 is below one boot: 3 x g6\.xlarge cost \$2\.50 an hour"),
        (
            {"budget": "500", "instanceType": "p5e.48xlarge"},
            "a budget needs a price, and p5e.48xlarge has no On-Demand",
        ),
        ({"maxUsdPerHour": "2"}, r"swift-fleet:maxUsdPerHour  it costs \$2\.50 an hour, more than \$2\.00"),
    ],
)
def test_a_wrong_stack_is_refused_in_one_line_before_anything_is_made(
    tmp_path: Path, config: dict[str, str], said: str
) -> None:
    engine = Engine()
    with pytest.raises(pulumi.RunError, match=said):
        planned(tmp_path, engine, **config)
    assert [one.typ for one in engine.made if one.typ != "pulumi:pulumi:Stack"] == []


def test_a_type_that_no_zone_offers_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(pulumi.RunError, match=r"g6\.xlarge is not offered in us-east-1\. Choose another type"):
        planned(tmp_path, Engine(zones=()))


def ingress(fleet: Engine) -> list[dict[str, Any]]:
    return fleet.all("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule")
