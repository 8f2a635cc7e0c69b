"""Whatever a stack file says, if it is taken: its fleet is closed, encrypted, tagged, ends, and has few rights."""

from __future__ import annotations

import email
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from infra.access import SESSION_RIGHTS, allowing
from infra.budget import within_budget
from infra.catalog import catalog
from infra.cost import hourly_cost
from infra.errors import BadInput
from infra.existing import ExistingSubnet, Ground
from infra.fabric import Interface
from infra.files import ExistingFiles
from infra.fsx import ExistingLustre
from infra.place import Place
from infra.prices import Price, shipped
from infra.program import fleet_program
from infra.settings import GRACE, Profile, StackConfig, from_pulumi
from infra.site import Site
from infra.ways import ways

from .test_program import NOW, UNTAGGED, Engine, ingress, run

WORLD = ("0.0.0.0/0", "::/0")
ROLE_POLICY = "aws:iam/rolePolicy:RolePolicy"
FLAG = st.sampled_from(["true", "false"])
BOUGHT = {"capacityReservationId": "cr-0123456789abcdef0"}


def cidrs(shortest: int = 0) -> st.SearchStrategy[str]:
    """As people write them: with the host's bits cleared."""
    bits = st.integers(0, 2**32 - 1)
    return st.builds(
        lambda number, length: (
            f"{'.'.join(str(b) for b in (number >> (32 - length) << (32 - length)).to_bytes(4))}/{length}"
        ),
        bits,
        st.integers(shortest, 32),
    )


#: How a fleet gets its machines, each with what belongs to it.
CAPACITY = st.sampled_from(
    [
        {},
        {"capacity": "spot", "candidates": {"zones": ["us-east-1a", "us-east-1b"]}},
        {"capacity": "reservation", **BOUGHT},
        {"capacity": "capacity-block", **BOUGHT},
        {"zone": "us-east-1c"},
    ]
)
NETWORK = st.one_of(
    st.just({}),
    st.builds(lambda cidr: {"vpcCidr": cidr}, cidrs(16)),
    st.just({"subnetId": "subnet-0123456789abcdef0"}),
    st.just({"subnetId": "subnet-0123456789abcdef0", "securityGroupId": "sg-0123456789abcdef0"}),
    st.just({"vpcId": "vpc-0123456789abcdef0"}),
    st.just({"vpcId": "vpc-0123456789abcdef0", "subnetCidr": "10.0.4.0/24"}),
    st.just({"vpcId": "vpc-0123456789abcdef0", "securityGroupId": "sg-0123456789abcdef0"}),
)
ACCESS = st.sampled_from([{}, {"access": "ssm"}])
REST = st.fixed_dictionaries(
    {"instanceType": st.sampled_from(sorted(catalog().types)), "nodes": st.integers(1, 3)},
    optional={
        "efa": FLAG,
        "lifetime": st.integers(10, 14 * 1440).map(lambda minutes: f"{minutes}m"),
        "budget": st.integers(1, 5000),
        "idleMinutes": st.one_of(st.just(0), st.integers(15, 720)),
        "sshFromAnywhere": FLAG,
        "operatorCidr": st.one_of(cidrs(), st.sampled_from(["0.0.0.0/0", "0.0.0.0/1", "203.0.113.7/32"])),
        "publicAddresses": FLAG,
        "sshUser": st.from_regex(r"[a-z_][a-z0-9_-]{0,31}", fullmatch=True),
        "sshPort": st.integers(1, 65535),
        "ami": st.just("ami-0123456789abcdef0"),
        "rootVolumeGib": st.integers(30, 16384),
        "instanceRole": FLAG,
        "sharedFiles": FLAG,
        "retain": FLAG,
        "storage": st.sampled_from(["efs", "fsx"]),
        "s3": st.sampled_from([{"read": ["s3://data"]}, {"read": ["s3://data/in"], "write": ["s3://runs/out"]}]),
        "fileSystemId": st.just("fs-0123456789abcdef0"),
        "fsxGib": st.sampled_from([1200, 2400, 4800]),
        "fsxDeployment": st.sampled_from(["SCRATCH_2", "PERSISTENT_2"]),
        "profile": st.sampled_from(get_args(Profile)),
        "sharedEnvironment": FLAG,
        "candidates": st.lists(st.sampled_from(sorted(catalog().types)), max_size=3).map(
            lambda types: {"instanceTypes": types}
        ),
        "maxUsdPerHour": st.integers(1, 1000),
        "sharedPath": st.from_regex(r"~?(/[A-Za-z0-9._-]{1,20}){1,4}", fullmatch=True),
    },
)


def taken(*parts: dict[str, Any]) -> StackConfig:
    """The stack, as far as it is not refused for what it says or for its money."""
    asked = {f"swift-fleet:{key}": value for part in parts for key, value in part.items()}
    if asked.get("swift-fleet:access") == "ssm":
        asked.pop("swift-fleet:operatorCidr", None)
    try:
        config = from_pulumi(asked, "stack file")
        rates = replace(shipped("us-east-1", config.instance_type), lustre=Price(0.14))
        return within_budget(config, hourly_cost(config, rates))
    except BadInput:
        assume(False)
        raise


def site_of(config: StackConfig) -> Site:
    """What AWS would say of it: cards as the type has them, a subnet that is there."""
    efa = catalog().types[config.instance_type].efa if config.wants_efa else 0
    wires = tuple(Interface(card, min(card, 1), "efa" if card == 0 else "efa-only") for card in range(efa))
    place = Place(config.instance_type, config.zone or "us-east-1a")
    subnet = ExistingSubnet(config.subnet_id, "vpc-1", place.zone, 200) if config.subnet_id else None
    way = ways(config, len(wires) > 1)
    theirs = Ground("vpc-1", "10.0.0.0/24", "10.0.1.0/28" if way.gateway else None, "igw-1") if config.vpc_id else None
    operator = "" if way.session else config.operator_cidr or "203.0.113.7/32"
    files, lustre = None, None
    if config.file_system_id and config.storage == "efs":
        files = ExistingFiles(config.file_system_id, "arn:files", own=False)
    elif config.file_system_id:
        lustre = ExistingLustre(config.file_system_id, "fs.fsx.us-east-1.amazonaws.com", "abcdef", own=False)
    return Site(place, operator, NOW, "ami-0123456789abcdef0", "us-east-1", subnet, theirs, wires, files, lustre)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clone")


@given(rest=REST, capacity=CAPACITY, network=NETWORK, access=ACCESS)
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_every_stack_that_is_taken_keeps_its_promises(
    clone: Path, rest: dict[str, Any], capacity: dict[str, Any], network: dict[str, Any], access: dict[str, Any]
) -> None:
    config = taken(rest, capacity, network, access)
    site = site_of(config)
    fleet = run(Engine(), lambda: fleet_program(clone, "dev", config, site))
    assert len(fleet.all("aws:ec2/instance:Instance")) == config.nodes
    closed(fleet, config, site)
    guarded(fleet, config)
    tagged(fleet)
    ends(fleet, config)
    few_rights(fleet, config)


def closed(fleet: Engine, config: StackConfig, site: Site) -> None:
    """From outside the fleet nobody comes in but the operator, by SSH."""
    outside = [rule for rule in ingress(fleet) if "referencedSecurityGroupId" not in rule]
    session = config.access == "ssm"
    assert len(outside) == (0 if config.security_group_id or session else 1)
    for rule in outside:
        assert (rule["ipProtocol"], rule["fromPort"], rule["toPort"]) == ("tcp", config.ssh_port, config.ssh_port)
        assert rule["cidrIpv4"] == site.operator_cidr
        length = int(site.operator_cidr.split("/")[1])
        assert length >= 8 or config.ssh_from_anywhere
    for group in fleet.all("aws:ec2/securityGroup:SecurityGroup"):
        assert "ingress" not in group and "egress" not in group
    if session or not config.public_addresses:
        public = [node for node in fleet.all("aws:ec2/instance:Instance") if node.get("associatePublicIpAddress")]
        assert public == [] and {one.name for one in fleet.made if one.typ == "aws:ec2/eip:Eip"} <= {"nat-address"}
        wires = [card for one in templates(fleet) for card in one["networkInterfaces"]]
        assert not [card for card in wires if card.get("associatePublicIpAddress") == "true"]


def guarded(fleet: Engine, config: StackConfig) -> None:
    """Credentials, disks and shared files."""
    for node in fleet.all("aws:ec2/instance:Instance"):
        assert node["metadataOptions"]["httpTokens"] == "required"
        assert node["metadataOptions"]["httpPutResponseHopLimit"] == 1
        assert node["rootBlockDevice"]["encrypted"] is True
        assert not node.get("ebsBlockDevices")
    assert not [one for one in templates(fleet) if "blockDeviceMappings" in one or "metadataOptions" in one]
    own = [one["encrypted"] for one in fleet.all("aws:efs/fileSystem:FileSystem")]
    assert own == [True] * (config.shared_files and config.storage == "efs" and config.file_system_id is None)
    lustre = fleet.all("aws:fsx/lustreFileSystem:LustreFileSystem")  # always encrypted: there is nothing to ask for
    nodes = config.security_group_id or "id-nodes"
    assert [one["securityGroupIds"] for one in lustre] == [[nodes]] * config.makes_lustre
    assert "PRIVATE KEY" not in json.dumps([one.inputs for one in fleet.made], default=str)


def tagged(fleet: Engine) -> None:
    """What can carry a tag carries the stack's: by it alone what is left is found."""
    for one in fleet.made:
        if one.typ.startswith("aws:") and one.typ not in UNTAGGED:
            assert one.inputs["tags"]["swift-fleet:stack"] == "dev", one.name
    for node in fleet.all("aws:ec2/instance:Instance"):
        assert node["volumeTags"]["swift-fleet:stack"] == "dev"
    for one in templates(fleet):
        assert [each["tags"]["swift-fleet:stack"] for each in one["tagSpecifications"]] == ["dev"]


def ends(fleet: Engine, config: StackConfig) -> None:
    """A lease on each node, first of all that it does; a schedule of its own for each; no reservation without end."""
    nodes = [one for one in fleet.made if one.typ == "aws:ec2/instance:Instance"]
    for node in nodes:
        assert node.inputs["instanceInitiatedShutdownBehavior"] == "terminate"
        assert node.inputs["rootBlockDevice"]["deleteOnTermination"] is True
        first, _ = email.message_from_string(node.inputs["userData"]).get_payload()
        assert first.get_content_type() == "text/cloud-boothook"
        lease = first.get_payload()
        assert f"+ {int(config.lifetime.total_seconds())} ))" in lease and "shutdown -h now" in lease
        assert ("fleet-idle" in lease) is (config.idle_minutes > 0)
        market = node.inputs.get("instanceMarketOptions", {}).get("spotOptions", {})
        assert market.get("instanceInterruptionBehavior", "terminate") == "terminate"
    at = NOW + config.lifetime + GRACE
    schedules = {one.name: one.inputs for one in fleet.made if one.typ == "aws:scheduler/schedule:Schedule"}
    assert schedules.keys() == {f"{node.name}-end" for node in nodes}
    for node in nodes:
        schedule = schedules[f"{node.name}-end"]
        assert schedule["scheduleExpression"] == f"at({at:%Y-%m-%dT%H:%M:%S})"
        assert json.loads(schedule["target"]["input"]) == {"InstanceIds": [f"id-{node.name}"]}
    for room in fleet.all("aws:ec2/capacityReservation:CapacityReservation"):
        assert (room["endDateType"], room["instanceMatchCriteria"]) == ("limited", "targeted")
        assert room["endDate"] == f"{at:%Y-%m-%dT%H:%M:%SZ}"
    assert len(fleet.all("aws:cloudwatch/metricAlarm:MetricAlarm")) == config.nodes * (config.idle_minutes > 0)


def few_rights(fleet: Engine, config: StackConfig) -> None:
    """No action by wildcard; where a right is on every resource, a condition binds it to the stack's tag. Beside that
    only what SSM's agent needs, which AWS binds to no resource: where it was asked for."""
    assert not [one for one in fleet.made if "PolicyAttachment" in one.typ or one.typ == "aws:iam/policy:Policy"]
    for role in fleet.all("aws:iam/role:Role"):
        assert not role.get("managedPolicyArns") and not role.get("inlinePolicies")
        for trusted in statements(role["assumeRolePolicy"]):
            assert list(trusted["Principal"]) == ["Service"] and trusted["Action"] == "sts:AssumeRole"
    for one in fleet.made:
        if one.name == "session-right":
            assert config.access == "ssm" and one.inputs["policy"] == allowing(*SESSION_RIGHTS)
    for policy in [one.inputs for one in fleet.made if one.typ == ROLE_POLICY and one.name != "session-right"]:
        for right in statements(policy["policy"]):
            assert right["Effect"] == "Allow" and not any("*" in action for action in actions(right))
            if right["Resource"] == "*":
                assert "ec2:ResourceTag/swift-fleet:stack" in right["Condition"]["StringEquals"]
    for policy in fleet.all("aws:efs/fileSystemPolicy:FileSystemPolicy"):
        allowed = [right for right in statements(policy["policy"]) if right["Effect"] == "Allow"]
        for right in allowed:
            assert not any("*" in action for action in actions(right)) and right["Resource"] != "*"
            assert "elasticfilesystem:AccessPointArn" in right["Condition"]["StringEquals"]
            named = right["Principal"]["AWS"] != "*"
            assert named or right["Condition"]["Bool"] == {"elasticfilesystem:AccessedViaMountTarget": "true"}


def templates(fleet: Engine) -> list[dict[str, Any]]:
    return fleet.all("aws:ec2/launchTemplate:LaunchTemplate")


def statements(document: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(document)["Statement"]
    return found


def actions(right: dict[str, Any]) -> list[str]:
    return [right["Action"]] if isinstance(right["Action"], str) else right["Action"]
