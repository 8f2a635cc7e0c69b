"""The real Pulumi program under the SDK's mocks: what it would ask AWS for, resource by resource."""

from __future__ import annotations

import asyncio
import email
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi.runtime import config as engine_config
from pulumi.runtime import mocks, settings

from infra.alarms import idle_percent
from infra.buckets import Buckets, right_to
from infra.budget import capped, within_budget
from infra.cost import hourly_cost
from infra.existing import ExistingSubnet, Ground
from infra.fabric import Interface
from infra.files import ExistingFiles
from infra.fsx import ExistingLustre
from infra.network import RENDEZVOUS_PORTS
from infra.place import Place
from infra.prices import shipped
from infra.program import fleet as fleet_of
from infra.program import fleet_program, program
from infra.settings import from_pulumi
from infra.site import Site
from infra.userdata import LIMIT_BYTES

CONFIG = {"instanceType": "g6.xlarge", "nodes": "3", "operatorCidr": "203.0.113.7/32", "lifetime": "2h"}
#: What AWS gives no tags, so that only a name or its parent's tag can tell whose it is.
UNTAGGED = {
    "aws:ec2/eipAssociation:EipAssociation",
    "aws:ec2/route:Route",
    "aws:ec2/routeTableAssociation:RouteTableAssociation",
    "aws:efs/mountTarget:MountTarget",
    "aws:efs/fileSystemPolicy:FileSystemPolicy",
    "aws:iam/rolePolicy:RolePolicy",
    "aws:scheduler/schedule:Schedule",
}

COMPONENTS = ("Access", "Capacity", "Network", "Storage", "Nodes", "Guardrails", "IdleAlarms")

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)

LOOP = asyncio.new_event_loop()  # the SDK keeps futures between programs, and a future keeps its loop


@dataclass
class Engine(pulumi.runtime.Mocks):
    """Takes each registration, and answers as AWS would where the program looks at the answer."""

    made: list[pulumi.runtime.MockResourceArgs] = field(default_factory=list)

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        self.made.append(args)
        arn = f"arn:{args.name}"
        told = {"arn": arn, "name": args.name, "keyName": args.name}
        if args.typ == "pulumi:index:Stash":
            told["output"] = args.inputs["input"]
        if args.typ == "aws:fsx/lustreFileSystem:LustreFileSystem":
            told |= {"dnsName": f"dns-{args.name}", "mountName": f"mount-{args.name}"}
        return f"id-{args.name}", {**told, **args.inputs}

    def call(self, args: pulumi.runtime.MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        answers: dict[str, dict[str, Any]] = {"aws:index/getRegion:getRegion": {"region": "us-east-1"}}
        return answers[args.token], []

    def all(self, kind: str) -> list[dict[str, Any]]:
        return [one.inputs for one in self.made if one.typ == kind]

    def one(self, name: str) -> dict[str, Any]:
        (found,) = [one.inputs for one in self.made if one.name == name and one.typ.startswith("aws:")]
        return found


def run(engine: Engine, act: Callable[[], None]) -> Engine:
    """A program run once, to its end; what it registered."""
    asyncio.set_event_loop(LOOP)
    settings.ROOT.set(None)
    mocks.set_mocks(engine, project="swift-fleet", stack="dev", preview=False)
    LOOP.run_until_complete(asyncio.wait_for(pulumi.runtime.stack.run_pulumi_func(act), 60))
    return engine


def place_of(kind: str, zone: str = "us-east-1a", **site: Any) -> Site:
    return Site(Place(kind, zone), "203.0.113.7/32", NOW, "ami-0123456789abcdef0", "us-east-1", **site)


def planned(root: Path, site: Site | None = None, run_budget: float | None = None, **config: str) -> Engine:
    asked = from_pulumi({f"swift-fleet:{key}": value for key, value in (CONFIG | config).items()}, "stack file")
    asked = capped(asked, run_budget)
    asked = within_budget(asked, hourly_cost(asked, shipped("us-east-1", asked.instance_type)))
    site = site or place_of(asked.instance_type)
    return run(Engine(), lambda: fleet_program(root, "dev", asked, site))


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
        assert (tags["Name"], tags["swift-fleet:node"]) == (f"fleet-dev-node-{rank:03d}", str(rank))


def test_only_the_operator_may_open_ssh(fleet: Engine) -> None:
    ssh = fleet.one("ssh")
    assert (ssh["cidrIpv4"], ssh["fromPort"], ssh["toPort"], ssh["ipProtocol"]) == ("203.0.113.7/32", 22, 22, "tcp")
    from_outside = [rule for rule in ingress(fleet) if "cidrIpv4" in rule or "cidrIpv6" in rule]
    assert from_outside == [ssh]


def test_all_else_comes_from_the_fleets_own_group(fleet: Engine) -> None:
    """DIST-6, CARD-2."""
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


def test_the_last_node_keeps_the_reservation_that_it_targets(tmp_path: Path) -> None:
    kept = planned(tmp_path, place_of("g6.xlarge", reserved=True), nodes="1")
    (room,) = kept.all("aws:ec2/capacityReservation:CapacityReservation")
    assert room["instanceCount"] == 1
    assert not planned(tmp_path, nodes="1").all("aws:ec2/capacityReservation:CapacityReservation")


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
    at = datetime.strptime(fleet.one("node-002-end")["scheduleExpression"], "at(%Y-%m-%dT%H:%M:%S)").replace(tzinfo=UTC)
    assert at - NOW == timedelta(minutes=60)


def test_each_node_has_an_alarm_that_terminates_it_when_its_cpu_does_nothing(fleet: Engine) -> None:
    alarm = fleet.one("node-002-idle")
    assert (alarm["name"], alarm["dimensions"]) == ("swift-fleet-dev-node-002-idle", {"InstanceId": "id-node-002"})
    assert alarm["alarmActions"] == ["arn:aws:automate:us-east-1:ec2:terminate"]
    assert (alarm["namespace"], alarm["metricName"], alarm["statistic"]) == ("AWS/EC2", "CPUUtilization", "Maximum")
    assert (alarm["comparisonOperator"], alarm["threshold"]) == ("LessThanThreshold", 5.0)
    # two hours, each period of them, and a missing one is no idle one
    assert (alarm["period"], alarm["evaluationPeriods"], alarm["datapointsToAlarm"]) == (300, 24, 24)
    assert alarm["treatMissingData"] == "notBreaching"
    assert len(fleet.all("aws:cloudwatch/metricAlarm:MetricAlarm")) == 3


@pytest.mark.parametrize(("vcpus", "percent"), [(4, 5.0), (48, 1.042), (192, 0.26)])
def test_half_a_core_at_work_is_not_idle(vcpus: int, percent: float) -> None:
    assert idle_percent(vcpus) == percent


def test_without_an_idle_end_there_is_no_alarm(tmp_path: Path) -> None:
    assert planned(tmp_path, idleMinutes="0").all("aws:cloudwatch/metricAlarm:MetricAlarm") == []


def test_a_node_carries_its_lifetime_for_whoever_sweeps(fleet: Engine) -> None:
    assert {node["tags"]["swift-fleet:lifetime"] for node in fleet.all("aws:ec2/instance:Instance")} == {"2h"}


def test_a_node_that_joins_a_fleet_ends_with_it(tmp_path: Path) -> None:
    """dstack #3449: a machine that booted while its fleet was dying outlived it."""
    for left, lease in (timedelta(minutes=45), 40 * 60), (timedelta(minutes=3), 60), (-timedelta(hours=1), 60):
        late = planned(tmp_path, place_of("p5.48xlarge", ends_at=NOW + left), instanceType="p5.48xlarge")
        first, _ = email.message_from_string(late.one("node-002")["userData"]).get_payload()
        assert f"+ {lease} ))" in first.get_payload()
        assert late.one("node-002")["tags"]["swift-fleet:lifetime"] == f"{lease // 60}m"
        assert late.one("node-002-end")["scheduleExpression"] == f"at({NOW + left:%Y-%m-%dT%H:%M:%S})"


def test_a_node_that_joins_ends_before_its_fleet_where_the_budget_is_spent_by_then(tmp_path: Path) -> None:
    late = planned(tmp_path, place_of("g6.xlarge", ends_at=NOW + timedelta(hours=9)), budget="2.50")  # buys an hour
    assert late.one("node-002-end")["scheduleExpression"] == f"at({NOW + timedelta(hours=1):%Y-%m-%dT%H:%M:%S})"


def test_without_a_role_the_nodes_have_none_and_their_network_opens_the_files(tmp_path: Path) -> None:
    bare = planned(tmp_path, instanceRole="false")
    assert [role["tags"]["Name"] for role in bare.all("aws:iam/role:Role")] == ["fleet-dev"]  # the schedule's
    assert bare.all("aws:iam/instanceProfile:InstanceProfile") == []
    node = bare.one("node-000")
    assert "iamInstanceProfile" not in node and "--setenv=FLEET_SHARED_IAM= " in node["userData"]
    deny, allow = json.loads(bare.one("files-policy")["policy"])["Statement"]
    assert (deny["Effect"], deny["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
    assert allow["Principal"] == {"AWS": "*"}
    assert allow["Condition"]["Bool"] == {"elasticfilesystem:AccessedViaMountTarget": "true"}
    assert allow["Condition"]["StringEquals"] == {"elasticfilesystem:AccessPointArn": "arn:files-point"}


def test_each_nodes_schedule_ends_it_by_id(fleet: Engine) -> None:
    assert len(fleet.all("aws:scheduler/schedule:Schedule")) == 3
    schedule = fleet.one("node-002-end")
    assert schedule["name"] == "swift-fleet-dev-node-002-end"
    assert json.loads(schedule["target"]["input"]) == {"InstanceIds": ["id-node-002"]}
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


def test_s3_gives_the_nodes_role_what_is_named_and_no_more(tmp_path: Path) -> None:
    asked = Buckets(read=("s3://corpora/code",), write=("s3://results/dev",))
    fleet = planned(tmp_path, s3=asked.model_dump_json())
    right = fleet.one("s3-right")
    assert (right["role"], right["policy"]) == ("fleet-dev-node-role", right_to(asked))


def test_shared_files_are_encrypted_and_fast_enough_for_checkpoints(fleet: Engine) -> None:
    """CARD-3."""
    files = fleet.one("files")
    assert (files["encrypted"], files["throughputMode"]) == (True, "elastic")


def test_shared_files_are_open_to_the_fleets_role_over_tls_and_to_nobody_else(fleet: Engine) -> None:
    deny, allow = json.loads(fleet.one("files-policy")["policy"])["Statement"]
    assert (deny["Effect"], deny["Principal"], deny["Action"]) == ("Deny", {"AWS": "*"}, "*")
    assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert (allow["Effect"], allow["Principal"]) == ("Allow", {"AWS": "arn:fleet-dev-node-role"})
    assert allow["Condition"] == {"StringEquals": {"elasticfilesystem:AccessPointArn": "arn:files-point"}}
    assert deny["Resource"] == allow["Resource"] == "arn:files"


THEIRS = ExistingFiles("fs-0123456789abcdef0", "arn:theirs", own=False)
OWN = ExistingFiles("fs-0123456789abcdef0", "arn:own", own=True)


def test_an_existing_file_system_is_mounted_and_neither_made_nor_changed(tmp_path: Path) -> None:
    fleet = planned(tmp_path, place_of("g6.xlarge", files=THEIRS), fileSystemId=THEIRS.id)
    made = [one.typ for one in fleet.made if one.typ.startswith("aws:efs/")]
    assert sorted(made) == ["aws:efs/accessPoint:AccessPoint", "aws:efs/mountTarget:MountTarget"]
    assert {fleet.one(name)["fileSystemId"] for name in ("files-point", "files-target")} == {THEIRS.id}
    assert f"FLEET_SHARED={THEIRS.id}:id-files-point" in fleet.one("node-000")["userData"]
    (right,) = json.loads(fleet.one("files-right")["policy"])["Statement"]
    assert (right["Resource"], fleet.one("files-right")["role"]) == ("arn:theirs", "fleet-dev-node-role")
    assert right["Action"] == ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"]
    assert right["Condition"] == {"StringEquals": {"elasticfilesystem:AccessPointArn": "arn:files-point"}}


def test_where_its_zone_has_a_mount_target_none_is_made(tmp_path: Path) -> None:
    files = replace(THEIRS, target=False)
    fleet = planned(tmp_path, place_of("g6.xlarge", files=files), fileSystemId=files.id, instanceRole="false")
    made = {one.name for one in fleet.made}
    assert "files-point" in made and not made & {"files-target", "files-access", "nfs", "files-right"}


def test_what_is_retained_says_so_by_its_tag_and_is_taken_up_by_the_next_up(tmp_path: Path) -> None:
    tags = {name: planned(tmp_path, retain=name).one("files")["tags"] for name in ("true", "false")}
    assert tags["true"] == tags["false"] | {"swift-fleet:kept": "true"}
    again = planned(tmp_path, place_of("g6.xlarge", files=OWN), retain="true")
    assert [one.resource_id for one in again.made if one.name == "files"] == [OWN.id]


def test_without_shared_files_none_is_made_and_none_is_mounted(tmp_path: Path) -> None:
    fleet = planned(tmp_path, sharedFiles="false")
    assert not [one for one in fleet.made if one.typ.startswith("aws:efs/") or one.typ.endswith(":Storage")]
    assert "FLEET_SHARED=''" in fleet.one("node-000")["userData"]


FSX = {"storage": "fsx", "fsxGib": "2400"}
LUSTRE = ExistingLustre("fs-0123456789abcdef0", "fs-0.fsx.us-east-1.amazonaws.com", "abcdefgh", own=False)
PLACED = {"subnetId": "subnet-0123456789abcdef0", "securityGroupId": "sg-0123456789abcdef0"}


def test_fsx_joins_the_nodes_own_group_and_is_mounted_by_its_name(tmp_path: Path) -> None:
    fleet = planned(tmp_path, **FSX, fsxDeployment="PERSISTENT_2", fsxThroughput="500")
    made, node = fleet.one("files"), fleet.one("node-000")
    size = [made[key] for key in ("storageCapacity", "deploymentType", "perUnitStorageThroughput")]
    assert size == [2400, "PERSISTENT_2", 500]
    assert (made["securityGroupIds"], made["subnetIds"]) == (node["vpcSecurityGroupIds"], node["subnetId"])
    assert "FLEET_SHARED=dns-files@tcp:/mount-files" in node["userData"]
    assert not [one for one in fleet.made if one.typ.startswith("aws:efs/")]
    assert "perUnitStorageThroughput" not in planned(tmp_path, **FSX).one("files")


def test_an_fsx_that_is_there_is_mounted_and_one_that_was_kept_is_taken_back(tmp_path: Path) -> None:
    theirs = planned(tmp_path, place_of("g6.xlarge", lustre=LUSTRE), storage="fsx", fileSystemId=LUSTRE.id, **PLACED)
    assert not [one for one in theirs.made if one.typ.startswith(("aws:fsx/", "aws:efs/"))]
    assert f"FLEET_SHARED={LUSTRE.dns_name}@tcp:/abcdefgh" in theirs.one("node-000")["userData"]
    own = place_of("g6.xlarge", lustre=replace(LUSTRE, own=True))
    again = planned(tmp_path, own, storage="fsx", retain="true", **PLACED)
    assert [one.resource_id for one in again.made if one.name == "files"] == [LUSTRE.id]
    assert again.one("files")["tags"]["swift-fleet:kept"] == "true"


def test_several_nodes_get_their_room_first_and_may_use_no_other(fleet: Engine) -> None:
    room = fleet.one("room")
    assert (room["instanceCount"], room["instanceType"], room["availabilityZone"]) == (3, "g6.xlarge", "us-east-1a")
    assert (room["instanceMatchCriteria"], room["endDateType"]) == ("targeted", "limited")
    for rank in range(3):
        spec = fleet.one(f"node-{rank:03d}")["capacityReservationSpecification"]
        assert spec == {"capacityReservationTarget": {"capacityReservationId": "id-room"}}
    assert [one.name for one in fleet.made].index("room") < [one.name for one in fleet.made].index("vpc")


@pytest.mark.parametrize(
    ("config", "market", "target"),
    [
        ({"nodes": "1"}, None, None),
        ({"capacity": "spot"}, "spot", None),
        ({"capacity": "reservation", "capacityReservationId": "cr-0123456789abcdef0"}, None, "cr-0123456789abcdef0"),
        (
            {"capacity": "capacity-block", "capacityReservationId": "cr-0123456789abcdef0"},
            "capacity-block",
            "cr-0123456789abcdef0",
        ),
    ],
)
def test_what_is_bought_elsewhere_is_not_reserved_again(
    tmp_path: Path, config: dict[str, str], market: str | None, target: str | None
) -> None:
    fleet = planned(tmp_path, **config)
    node = fleet.one("node-000")
    assert fleet.all("aws:ec2/capacityReservation:CapacityReservation") == []
    assert node.get("instanceMarketOptions", {}).get("marketType") == market
    spec = node.get("capacityReservationSpecification", {}).get("capacityReservationTarget", {})
    assert spec.get("capacityReservationId") == target


P5 = (Interface(0, 0, "efa"), *(Interface(card, 1, "efa-only") for card in range(1, 32)))


def test_an_efa_node_is_wired_by_its_template_in_a_group(tmp_path: Path) -> None:
    fleet = planned(tmp_path, place_of("p5.48xlarge", interfaces=P5), instanceType="p5.48xlarge")
    wires = fleet.one("fleet-dev-wires")["networkInterfaces"]
    assert [(one["networkCardIndex"], one["deviceIndex"], one["interfaceType"]) for one in wires] == [
        (one.card, one.device, one.kind) for one in P5
    ]
    assert all(one["securityGroups"] == ["id-nodes"] and one["subnetId"] == "id-subnet" for one in wires)
    assert not any(one.get("associatePublicIpAddress") for one in wires)
    node = fleet.one("node-002")
    assert not {"subnetId", "vpcSecurityGroupIds", "associatePublicIpAddress"} & set(node)
    assert node["launchTemplate"]["id"] == "id-fleet-dev-wires"
    assert node["placementGroup"] == fleet.one("fleet-dev-together").get("name", "fleet-dev-together")
    assert fleet.one("room")["placementGroupArn"] == "arn:fleet-dev-together"


def test_several_cards_have_one_way_in_and_a_way_out_for_the_rest(tmp_path: Path) -> None:
    site = place_of("p5.48xlarge", interfaces=P5)
    fleet = planned(tmp_path, site, instanceType="p5.48xlarge")
    assert fleet.one("way-in-rank-0")["allocationId"] == "id-way-in"
    assert fleet.one("way-out")["natGatewayId"] == "id-nat"
    assert (fleet.one("way-back")["destinationCidrBlock"], fleet.one("way-back")["gatewayId"]) == (
        "203.0.113.7/32",
        "id-gateway",
    )
    joined = {"publicAddresses": "false", "operatorCidr": "10.77.9.0/24"}
    private = planned(tmp_path, site, instanceType="p5.48xlarge", **joined)
    assert private.all("aws:ec2/eip:Eip") == private.all("aws:ec2/natGateway:NatGateway") == []


def test_one_efa_interface_may_have_a_public_address(tmp_path: Path) -> None:
    site = place_of("g6e.8xlarge", interfaces=(Interface(0, 0, "efa"),))
    (wire,) = planned(tmp_path, site, instanceType="g6e.8xlarge").one("fleet-dev-wires")["networkInterfaces"]
    assert wire["associatePublicIpAddress"] == "true"


def test_an_existing_subnet_and_group_are_used_and_no_network_is_made(tmp_path: Path) -> None:
    theirs = {"subnetId": "subnet-0123456789abcdef0", "securityGroupId": "sg-0123456789abcdef0"}
    subnet = ExistingSubnet(theirs["subnetId"], "vpc-1", "us-east-1c", 200)
    fleet = planned(tmp_path, place_of("g6.xlarge", "us-east-1c", subnet=subnet), **theirs)
    made = {one.typ for one in fleet.made}
    assert not made & {"aws:ec2/vpc:Vpc", "aws:ec2/subnet:Subnet", "aws:ec2/internetGateway:InternetGateway"}
    node = fleet.one("node-000")
    assert (node["subnetId"], node["vpcSecurityGroupIds"]) == (theirs["subnetId"], [theirs["securityGroupId"]])
    assert fleet.one("files-access")["vpcId"] == "vpc-1"
    assert fleet.one("nfs")["referencedSecurityGroupId"] == theirs["securityGroupId"]


@pytest.mark.parametrize(
    ("nodes", "names"),
    [("2", ["node-000", "node-001"]), ("4", ["node-000", "node-002", "node-001", "node-003"])],
)
def test_ranks_go_by_the_network_once_the_machines_are_there(tmp_path: Path, nodes: str, names: list[str]) -> None:
    asked = from_pulumi({f"swift-fleet:{key}": value for key, value in (CONFIG | {"nodes": nodes}).items()}, "file")
    seen: list[list[dict[str, Any]]] = []

    def near(ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
        return {one: ("top", f"nearest-{number % 2}") for number, one in enumerate(ids)}

    def act() -> None:
        fleet_of("key", "dev", asked, place_of("g6.xlarge"), near=near)["nodes"].apply(seen.append)

    fleet = run(Engine(), act)
    [rows] = seen
    assert [(row["rank"], row["name"]) for row in rows] == list(enumerate(names))
    assert [row["id"] for row in rows] == [f"id-{name}" for name in names]
    assert len(fleet.all("pulumi:index:Stash")) == (int(nodes) > 2)


VPC = "vpc-0123456789abcdef0"


@pytest.mark.parametrize("gateway", ["igw-1", None])
def test_in_an_existing_vpc_the_fleet_makes_its_subnet_and_a_way_out_by_the_gateway_that_is_there(
    tmp_path: Path, gateway: str | None
) -> None:
    site = place_of("g6.xlarge", ground=Ground(VPC, "10.0.4.0/23", None, gateway))
    fleet = planned(tmp_path, site, vpcId=VPC)
    subnet = fleet.one("subnet")
    assert (subnet["vpcId"], subnet["cidrBlock"], fleet.one("nodes")["vpcId"]) == (VPC, "10.0.4.0/23", VPC)
    assert fleet.one("way-out")["gatewayId"] == (gateway or "id-gateway")
    made = {one.typ for one in fleet.made}
    assert "aws:ec2/vpc:Vpc" not in made
    assert ("aws:ec2/internetGateway:InternetGateway" in made) is (gateway is None)
    assert [one.name for one in fleet.made].index("room") < [one.name for one in fleet.made].index("subnet")


def test_private_nodes_in_an_existing_vpc_use_its_own_routes(tmp_path: Path) -> None:
    site = place_of("g6.xlarge", ground=Ground(VPC, "10.0.4.0/23", None, "igw-1"))
    fleet = planned(tmp_path, site, vpcId=VPC, publicAddresses="false")
    assert not {one.typ.split("/")[0] for one in fleet.made if "oute" in one.typ or "ateway" in one.typ}
    assert fleet.one("node-000")["subnetId"] == "id-subnet"


@pytest.mark.parametrize("interfaces", [(), P5])
def test_by_session_manager_no_port_is_open_no_node_has_an_address_and_the_agent_gets_out(
    tmp_path: Path, interfaces: tuple[Interface, ...]
) -> None:
    config = {key: value for key, value in CONFIG.items() if key != "operatorCidr"} | {"access": "ssm"}
    asked = from_pulumi({f"swift-fleet:{key}": value for key, value in config.items()}, "stack file")
    site = replace(place_of("g6.xlarge", interfaces=interfaces), operator_cidr="")
    fleet = run(Engine(), lambda: fleet_program(tmp_path, "dev", asked, site))
    assert not [rule for rule in ingress(fleet) if "referencedSecurityGroupId" not in rule]
    assert [one.name for one in fleet.made if one.typ == "aws:ec2/eip:Eip"] == ["nat-address"]
    assert not fleet.one("node-000").get("associatePublicIpAddress")
    assert (fleet.one("s3")["serviceName"], fleet.one("s3")["routeTableIds"]) == (
        "com.amazonaws.us-east-1.s3",
        ["id-routes"],
    )
    assert fleet.one("way-out")["natGatewayId"] == "id-nat" and "way-back" not in {one.name for one in fleet.made}
    (right,) = json.loads(fleet.one("session-right")["policy"])["Statement"]
    assert fleet.one("session-right")["role"] == "fleet-dev-node-role"
    assert right["Action"][0] == "ssm:UpdateInstanceInformation" and len(right["Action"]) == 5
    assert {action.split(":")[0] for action in right["Action"][1:]} == {"ssmmessages"}


def test_every_node_is_of_the_sites_image_which_is_no_secret(fleet: Engine) -> None:
    assert {node["ami"] for node in fleet.all("aws:ec2/instance:Instance")} == {"ami-0123456789abcdef0"}


def test_no_private_key_is_told_to_the_engine(fleet: Engine, tmp_path: Path) -> None:
    told = json.dumps([one.inputs for one in fleet.made], default=str)
    assert "PRIVATE KEY" not in told
    assert fleet.one("key")["publicKey"].startswith("ssh-ed25519 ")


def test_components_are_ours_by_type(fleet: Engine) -> None:
    own = {one.typ for one in fleet.made if not one.typ.startswith(("aws:", "pulumi:"))}
    assert own == {f"swift-fleet:infra:{name}" for name in COMPONENTS}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"operatorCidr": "0.0.0.0/0"}, "opens SSH to the whole internet"),
        ({"nodez": "3"}, r"swift-fleet:nodez  unknown key\. Did you mean nodes\?"),
        ({"nodes": "0"}, "greater than or equal to 1"),
        ({"lifetime": "forever"}, "is no duration"),
    ],
)
def test_a_wrong_stack_is_refused_in_one_line_before_anything_is_made(
    tmp_path: Path, config: dict[str, str], said: str
) -> None:
    engine = Engine()
    engine_config.set_all_config({f"swift-fleet:{key}": value for key, value in (CONFIG | config).items()})
    try:
        with pytest.raises(pulumi.RunError, match=said):
            run(engine, lambda: program(tmp_path))
    finally:
        engine_config.set_all_config({})
    assert [one.typ for one in engine.made if one.typ != "pulumi:pulumi:Stack"] == []


@pytest.mark.parametrize("said", [{}, {"aws:maxRetries": "0"}])
def test_a_provider_that_would_try_for_an_hour_is_refused(tmp_path: Path, said: dict[str, str]) -> None:
    asked = {f"swift-fleet:{key}": value for key, value in CONFIG.items()}
    engine_config.set_all_config(asked | {"aws:region": "us-east-1"} | said)
    try:
        with pytest.raises(pulumi.RunError, match='aws:maxRetries is missing.* Add it: aws:maxRetries: "4"'):
            run(Engine(), lambda: program(tmp_path))
    finally:
        engine_config.set_all_config({})


def ingress(fleet: Engine) -> list[dict[str, Any]]:
    return fleet.all("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule")


def test_what_a_fleet_is_made_of_keeps_its_names(tmp_path: Path) -> None:
    """Another name alone replaces a resource of a fleet that runs: CONTRIBUTING.md, another name for a resource."""
    wired = place_of("p5.48xlarge", interfaces=P5)
    fleets = planned(tmp_path, nodes="1"), planned(tmp_path, wired, nodes="2", instanceType="p5.48xlarge", efa="true")
    names = sorted({f"{one.typ} {one.name}" for fleet in fleets for one in fleet.made})
    assert names == (Path(__file__).parent / "golden" / "names.txt").read_text(encoding="utf-8").splitlines()
