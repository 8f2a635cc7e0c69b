"""The provider's types for room, templates and addresses, as the engine would see them."""

from __future__ import annotations

import base64
from itertools import count
from typing import Any

import pytest
from clouds import Cloud
from provided import Base, Engine, Made, configured, instance, refused
from pulumi.runtime.proto import provider_pb2, status_pb2

from infra.sandbox.provider.values import UNKNOWN, plain, struct

NUMBERS = count()
NONE = provider_pb2.DiffResponse.DIFF_NONE
ROOM = {
    "availabilityZone": "us-east-1a",
    "instanceType": "p5.48xlarge",
    "instancePlatform": "Linux/UNIX",
    "instanceCount": 2,
    "instanceMatchCriteria": "targeted",
    "endDateType": "limited",
    "endDate": "2040-01-01T00:00:00Z",
}


def template(engine: Engine, base: Base, **said: Any) -> Made:
    """An EFA template as a fleet has it: three cards of a p5."""
    card: dict[str, Any] = {
        "subnetId": base.subnet.id,
        "securityGroups": [base.group.id],
        "deleteOnTermination": "true",
    }
    given: dict[str, Any] = {
        "imageId": base.image,
        "instanceType": "p5.48xlarge",
        "userData": base64.b64encode(b"#!/bin/sh\n").decode(),
        "instanceInitiatedShutdownBehavior": "terminate",
        "metadataOptions": {"httpTokens": "required", "httpPutResponseHopLimit": 1},
        "networkInterfaces": [
            {**card, "deviceIndex": 0, "networkCardIndex": 0, "interfaceType": "efa"},
            *({**card, "deviceIndex": 0, "networkCardIndex": at, "interfaceType": "efa-only"} for at in (1, 2)),
        ],
        "blockDeviceMappings": [
            {"deviceName": "/dev/xvda", "ebs": {"volumeSize": 60, "volumeType": "gp3", "encrypted": "true"}}
        ],
        "tagSpecifications": [{"resourceType": "network-interface", "tags": {"stack": "x"}}],
    }
    return engine.create("LaunchTemplate", f"fleet-{next(NUMBERS)}", **{**given, **said})


def previewed(engine: Engine, made: Made, **said: Any) -> dict[str, Any]:
    news = {key: value for key, value in made.inputs.items() if key not in ("__defaults", "tagsAll")}
    checked = engine.check(made.token, made.name, made.inputs, {**news, **said})
    asked = {"id": made.id, "urn": made.urn, "olds": struct(made.state), "news": checked.inputs, "preview": True}
    return plain(engine.stub.Update(provider_pb2.UpdateRequest(**asked)).properties)


def test_a_reservation_and_a_group_live_and_end(engine: Engine, base: Base) -> None:
    group = engine.create("PlacementGroup", "gang", strategy="cluster")
    room = engine.create("CapacityReservation", **ROOM, placementGroupArn=group.state["arn"])
    for made in (group, room):
        assert engine.change(made).changes == NONE
        assert plain(engine.read(made).properties) == made.state
    assert group.id == group.state["name"] and group.id.startswith("gang-")
    assert list(engine.change(room, instanceCount=3, endDate="2041-01-01T00:00:00Z").replaces) == []
    assert (room.state["instanceCount"], room.state["endDate"]) == (3, "2041-01-01T00:00:00Z")
    assert list(engine.change(room, instanceType="p4d.24xlarge").replaces) == ["instanceType"]
    assert engine.change(group, tags={"a": "b"}).changes != NONE and group.state["tags"] == {"a": "b"}
    for made in (room, group):
        engine.delete(made)
        assert engine.read(made).id == ""
        engine.delete(made)


def test_a_template_keeps_its_content_and_every_change_is_a_version(engine: Engine, base: Base) -> None:
    made = template(engine, base, tags={"a": "b"})
    assert engine.change(made).changes == NONE
    assert plain(engine.read(made).properties) == made.state
    assert [each["networkCardIndex"] for each in made.state["networkInterfaces"][1:]] == [1, 2]
    assert (made.state["latestVersion"], made.state["defaultVersion"]) == (1, 1)
    other = base64.b64encode(b"#!/bin/sh\ntrue\n").decode()
    shown = previewed(engine, made, userData=other, updateDefaultVersion=True)
    assert (shown["latestVersion"], shown["defaultVersion"]) == (UNKNOWN, UNKNOWN)
    engine.change(made, userData=other, blockDeviceMappings=[])
    assert (made.state["latestVersion"], made.state["defaultVersion"]) == (2, 1)
    assert made.state["userData"] == other and not made.state.get("blockDeviceMappings")
    engine.change(made, instanceType="p4d.24xlarge", updateDefaultVersion=True)
    assert (made.state["latestVersion"], made.state["defaultVersion"]) == (3, 3)
    assert engine.change(made, tags={"c": "d"}).changes != NONE
    assert (made.state["latestVersion"], made.state["tags"]) == (3, {"c": "d"})
    engine.delete(made)
    assert engine.read(made).id == ""
    engine.delete(made)


def test_an_instance_takes_all_from_its_template(engine: Engine, base: Base) -> None:
    group = engine.create("PlacementGroup", strategy="cluster")
    room = engine.create("CapacityReservation", **ROOM)
    made = template(engine, base, placement={"groupName": group.id})
    target = {"capacityReservationTarget": {"capacityReservationId": room.id}}
    node = engine.create(
        "Instance", launchTemplate={"id": made.id, "version": "1"}, capacityReservationSpecification=target
    )
    assert engine.change(node).changes == NONE
    assert plain(engine.read(node).properties) == node.state
    assert (node.state["instanceType"], node.state["placementGroup"]) == ("p5.48xlarge", group.id)
    assert node.state["launchTemplate"] == {"id": made.id, "name": made.state["name"], "version": "1"}
    assert node.state["rootBlockDevice"]["encrypted"] and node.state["metadataOptions"]["httpTokens"] == "required"
    assert node.state["vpcSecurityGroupIds"] == [base.group.id] and not node.state.get("publicIp")
    found = engine.client("ec2").describe_instances(InstanceIds=[node.id])["Reservations"][0]["Instances"][0]
    cards = sorted((n["Attachment"]["NetworkCardIndex"], n["InterfaceType"]) for n in found["NetworkInterfaces"])
    assert cards == [(0, "efa"), (1, "efa-only"), (2, "efa-only")]
    assert "ReservationCapacityExceeded" not in str(found)
    assert "InvalidPlacementGroup.InUse" in refused(lambda: engine.delete(group)).details()
    for each in (node, made, room, group):
        engine.delete(each)


def test_another_template_version_replaces_and_the_same_by_another_name_does_not(engine: Engine, base: Base) -> None:
    made = template(engine, base, instanceType="m7i.xlarge", networkInterfaces=[], vpcSecurityGroupIds=[base.group.id])
    node = engine.create("Instance", subnetId=base.subnet.id, launchTemplate={"id": made.id})
    assert node.state["launchTemplate"]["version"] == "$Default"
    for same in ("1", "$Latest", "$Default"):
        found = engine.change(node, launchTemplate={"id": made.id, "version": same})
        assert list(found.replaces) == [] and node.state["launchTemplate"]["version"] == same
    engine.change(made, instanceType="m7i.2xlarge")
    assert engine.change(node).changes == NONE  # $Default is still version 1
    for other in ("2", "$Latest", UNKNOWN):
        found = engine.change(node, launchTemplate={"id": made.id, "version": other})
        assert list(found.replaces) == ["launchTemplate.version"]
    engine.client("ec2").modify_launch_template(LaunchTemplateId=made.id, DefaultVersion="2")
    seen = engine.read(node)
    assert plain(seen.properties)["launchTemplate"]["version"] == "1"
    node.state = plain(seen.properties)
    assert list(engine.change(node).replaces) == ["launchTemplate.version"]
    for each in (node, made):
        engine.delete(each)


REFUSALS = [
    ({"launchTemplate": {"version": "1"}}, "exactly one of id, name"),
    ({"launchTemplate": {"id": "a", "name": "b"}}, "id conflicts with name"),
    ({"instanceType": "m7i.xlarge"}, "one of ami, launchTemplate"),
]


@pytest.mark.parametrize(("said", "reason"), REFUSALS)
def test_an_instance_without_a_whole_source_is_refused_by_check(engine: Engine, said: Any, reason: str) -> None:
    checked = engine.check("aws:ec2/instance:Instance", "x", {}, said)
    assert reason in str(checked.failures)


def test_an_instance_level_subnet_beside_a_templates_interfaces_is_refused_by_aws(engine: Engine, base: Base) -> None:
    made = template(engine, base)
    error = refused(lambda: engine.create("Instance", launchTemplate={"id": made.id}, subnetId=base.subnet.id))
    assert "InvalidParameterCombination" in error.details() and "subnet ID" in error.details()
    engine.delete(made)


def test_an_address_leads_to_an_interface_and_stays_on_loopback(engine: Engine, base: Base) -> None:
    made = template(engine, base)
    node = engine.create("Instance", launchTemplate={"id": made.id})
    address = engine.create("Eip", domain="vpc")
    assert address.state["publicIp"].startswith("127.") and engine.change(address).changes == NONE
    by_instance = {"allocationId": address.id, "instanceId": node.id}
    assert "multiple interfaces" in refused(lambda: engine.create("EipAssociation", **by_instance)).details()
    link = engine.create(
        "EipAssociation",
        allocationId=address.id,
        networkInterfaceId=node.state["primaryNetworkInterfaceId"],
    )
    assert (link.state["instanceId"], link.state["publicIp"]) == (node.id, address.state["publicIp"])
    assert engine.change(link).changes == NONE and plain(engine.read(link).properties) == link.state
    assert plain(engine.read(node).properties)["publicIp"] == address.state["publicIp"]
    for each in (link, address, node, made):
        engine.delete(each)
        assert engine.read(each).id == ""
        if each is not node:
            engine.delete(each)
    other = instance(engine, base)
    owned = engine.create("Eip", instance=other.id)
    assert owned.state["associationId"] and engine.change(owned).changes == NONE
    for each in (owned, other):
        engine.delete(each)


def asked(engine: Engine, function: str, /, **args: Any) -> dict[str, Any]:
    request = provider_pb2.InvokeRequest(tok=f"aws:ec2/{function}:{function}", args=struct(args))
    return plain(getattr(engine.stub.Invoke(request), "return"))


def test_a_network_that_exists_is_found_by_id_tag_or_filter(engine: Engine, base: Base) -> None:
    engine.change(base.subnet, tags={"Name": "shared"})
    found = asked(engine, "getSubnet", tags={"Name": "shared"})
    assert (found["id"], found["vpcId"], found["availabilityZone"]) == (base.subnet.id, base.vpc.id, "us-east-1a")
    assert found["availableIpAddressCount"] > 4000 and found["tags"] == {"Name": "shared", "fleet": "test"}
    assert asked(engine, "getVpc", id=base.vpc.id)["enableDnsHostnames"] is True
    of_vpc = [{"name": "vpc-id", "values": [base.vpc.id]}]
    assert base.subnet.id in asked(engine, "getSubnets", filters=of_vpc)["ids"]
    group = asked(engine, "getSecurityGroup", name=base.group.state["name"], vpcId=base.vpc.id)
    assert group["id"] == base.group.id


LOST = [
    ("getSubnet", {"id": "subnet-00000000"}, "no matching EC2 Subnet found"),
    ("getVpc", {"id": "vpc-00000000"}, "no matching EC2 VPC found"),
    ("getSecurityGroup", {"id": "sg-00000000"}, "no matching EC2 Security Group found"),
    ("getSecurityGroup", {"name": "default"}, "multiple EC2 Security Groups matched"),
]


@pytest.mark.parametrize(("name", "args", "words"), LOST)
def test_a_network_that_is_not_there_or_not_one_is_said(
    engine: Engine, base: Base, name: str, args: Any, words: str
) -> None:
    assert words in refused(lambda: asked(engine, name, **args)).details()


TRIES = [
    ("InsufficientInstanceCapacity", 500, 4),
    ("RequestLimitExceeded", 503, 4),
    ("ReservationCapacityExceeded", 400, 1),
    ("VcpuLimitExceeded", 400, 1),
    ("MaxSpotInstanceCountExceeded", 400, 1),
    ("Unsupported", 400, 1),
]


@pytest.mark.parametrize(("code", "status", "tries"), TRIES)
def test_only_what_the_published_provider_tries_again_is_tried_max_retries_times(
    cloud: Cloud, code: str, status: int, tries: int
) -> None:
    cloud.control("faults", [{"action": "CreateCapacityReservation", "code": code, "status": status}])
    before = len(cloud.control("requests"))
    with configured(cloud.running.url, maxRetries="4") as patient:
        error = refused(lambda: patient.create("CapacityReservation", **ROOM))
    cloud.control("faults", [])
    asked = [each["action"] for each in cloud.control("requests")[before:]]
    assert asked.count("CreateCapacityReservation") == tries and code in error.details()
    assert ("exceeded maximum number of attempts, 4" in error.details()) == (tries > 1)


def test_a_machine_that_fails_on_launch_stays_recorded_and_is_updated_not_replaced(
    cloud: Cloud, engine: Engine, base: Base
) -> None:
    cloud.control("fault", {"action": "Boot", "code": "BootFails", "count": 1})
    error: Any = refused(lambda: instance(engine, base))
    assert "unexpected state 'terminated'" in error.details() and "Server.InternalError" in error.details()
    failed = provider_pb2.ErrorResourceInitFailed()
    details = dict(error.trailing_metadata())["grpc-status-details-bin"]
    assert status_pb2.Status.FromString(details).details[0].Unpack(failed)
    left = Made("aws:ec2/instance:Instance", "node-000", failed.id, plain(failed.properties), plain(failed.inputs))
    assert engine.change(left).changes == NONE
    # What the engine does on the next up: an update without a difference.
    again = provider_pb2.UpdateRequest(id=left.id, urn=left.urn, olds=struct(left.state), news=struct(left.inputs))
    assert "did not exist while updating" in refused(lambda: engine.stub.Update(again)).details()
    assert engine.read(left).id == ""
    engine.delete(left)
