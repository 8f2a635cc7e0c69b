"""The embedded cloud's provider over its own protocol, against a running sandbox: what the engine would see."""

from __future__ import annotations

import json
from typing import Any

import grpc
import pytest
from clouds import eventually
from provided import IMAGE, KEY, Base, Engine, Made, instance, refused, settings
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc, status_pb2

from infra.sandbox.provider.server import serve
from infra.sandbox.provider.values import UNKNOWN, plain, struct

TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ec2.amazonaws.com"}}],
    }
)
GRANT = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ec2:Describe*", "Resource": "*"}]}
)
MANAGED = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"


LIVES = [
    # type, inputs, a change in place, what the state shows then
    ("Vpc", {"cidrBlock": "10.9.0.0/16"}, {"enableDnsHostnames": True}, {"enableDnsHostnames": True}),
    (
        "Subnet",
        {"vpcId": "$vpc", "cidrBlock": "127.78.32.0/20"},
        {"mapPublicIpOnLaunch": True},
        {"mapPublicIpOnLaunch": True},
    ),
    ("InternetGateway", {"vpcId": "$vpc"}, {"tags": {"a": "b"}}, {"tagsAll": {"a": "b", "fleet": "test"}}),
    ("RouteTable", {"vpcId": "$vpc"}, {"tags": {"a": "b"}}, {"tags": {"a": "b"}}),
    (
        "VpcEndpoint",
        {"vpcId": "$vpc", "serviceName": "com.amazonaws.us-east-1.s3"},
        {"tags": {"a": "b"}},
        {"tags": {"a": "b"}, "vpcEndpointType": "Gateway", "state": "available"},
    ),
    (
        "SecurityGroup",
        {"vpcId": "$vpc", "egress": []},
        {"ingress": [{"protocol": "tcp", "fromPort": 22, "toPort": 22, "cidrBlocks": ["127.0.0.0/8"]}]},
        {},
    ),
    (
        "SecurityGroupIngressRule",
        {"securityGroupId": "$group", "ipProtocol": "tcp", "fromPort": 22, "toPort": 22, "cidrIpv4": "127.0.0.0/8"},
        {"toPort": 23},
        {"toPort": 23},
    ),
    (
        "SecurityGroupEgressRule",
        {"securityGroupId": "$group", "ipProtocol": "-1", "cidrIpv4": "0.0.0.0/0"},
        {"tags": {"a": "b"}},
        {"tags": {"a": "b"}},
    ),
    ("KeyPair", {"publicKey": KEY}, {"tags": {"a": "b"}}, {"tags": {"a": "b"}}),
    (
        "FileSystem",
        {"encrypted": True, "throughputMode": "elastic"},
        {"lifecyclePolicies": [{"transitionToIa": "AFTER_30_DAYS"}]},
        {"lifecyclePolicies": [{"transitionToIa": "AFTER_30_DAYS"}]},
    ),
    (
        "Role",
        {"assumeRolePolicy": TRUST},
        {"maxSessionDuration": 7200, "tags": {"a": "b"}},
        {"maxSessionDuration": 7200, "tags": {"a": "b"}},
    ),
    ("InstanceProfile", {}, {"tags": {"a": "b"}}, {"tags": {"a": "b"}}),
    (
        "MetricAlarm",
        {
            "namespace": "AWS/EC2",
            "metricName": "CPUUtilization",
            "statistic": "Maximum",
            "period": 300,
            "comparisonOperator": "LessThanThreshold",
            "threshold": 1.042,
            "evaluationPeriods": 24,
            "datapointsToAlarm": 24,
            "treatMissingData": "notBreaching",
            "dimensions": {"InstanceId": "i-0123456789abcdef0"},
            "alarmActions": ["arn:aws:automate:us-east-1:ec2:terminate"],
        },
        {"threshold": 0.26, "dimensions": {"InstanceId": "i-0123456789abcdef1"}, "tags": {"a": "b"}},
        {"threshold": 0.26, "dimensions": {"InstanceId": "i-0123456789abcdef1"}, "tags": {"a": "b"}},
    ),
    (
        "Schedule",
        {
            "scheduleExpression": "at(2030-01-01T00:00:00)",
            "flexibleTimeWindow": {"mode": "OFF"},
            "target": {
                "arn": "arn:aws:scheduler:::aws-sdk:ec2:terminateInstances",
                "roleArn": "arn:aws:iam::123456789012:role/r",
                "input": "{}",
            },
        },
        {"scheduleExpression": "at(2030-02-01T00:00:00)"},
        {"scheduleExpression": "at(2030-02-01T00:00:00)"},
    ),
]


@pytest.mark.parametrize(("kind", "said", "change", "shown"), LIVES, ids=[row[0] for row in LIVES])
def test_a_resource_is_made_read_changed_and_deleted(
    engine: Engine, base: Base, kind: str, said: dict[str, Any], change: dict[str, Any], shown: dict[str, Any]
) -> None:
    known = {"$vpc": base.vpc.id, "$group": base.group.id}
    made = engine.create(kind, **{key: known.get(str(value), value) for key, value in said.items()})
    assert engine.change(made).changes == provider_pb2.DiffResponse.DIFF_NONE
    assert plain(engine.read(made).properties) == made.state
    assert not engine.change(made, **change).replaces
    assert {key: made.state.get(key) for key in shown} == shown
    assert engine.change(made).changes == provider_pb2.DiffResponse.DIFF_NONE
    engine.delete(made)
    assert engine.read(made).id == ""
    engine.delete(made)


def test_routes_lead_out_and_change_their_target_in_place(engine: Engine, base: Base) -> None:
    gateway = engine.create("InternetGateway", vpcId=base.vpc.id)
    table = engine.create("RouteTable", vpcId=base.vpc.id)
    route = engine.create("Route", routeTableId=table.id, destinationCidrBlock="0.0.0.0/0", gatewayId=gateway.id)
    link = engine.create("RouteTableAssociation", routeTableId=table.id, subnetId=base.subnet.id)
    assert engine.read(route).id == route.id and engine.read(link).id == link.id
    other = engine.create("RouteTable", vpcId=base.vpc.id)
    assert list(engine.change(link, routeTableId=other.id).replaces) == []
    assert link.state["routeTableId"] == other.id
    imported = Made(route.token, "x", f"{table.id}_0.0.0.0/0", {})
    assert plain(engine.read(imported, imported=True).inputs)["gatewayId"] == gateway.id
    for made in (link, route, other, table, gateway):
        engine.delete(made)
        assert engine.read(made).id == ""


def test_a_lustre_file_system_grows_in_place_and_is_replaced_by_a_smaller_one(engine: Engine, base: Base) -> None:
    inside = {"securityGroupId": base.group.id, "referencedSecurityGroupId": base.group.id, "ipProtocol": "-1"}
    rule = engine.create("SecurityGroupIngressRule", **inside)
    asked = {"subnetIds": base.subnet.id, "securityGroupIds": [base.group.id], "deploymentType": "SCRATCH_2"}
    made = engine.create("LustreFileSystem", storageCapacity=2400, fileSystemTypeVersion="2.15", **asked)
    assert made.state["dnsName"] == f"{made.id}.fsx.us-east-1.amazonaws.com" and made.state["mountName"]
    assert engine.change(made).changes == provider_pb2.DiffResponse.DIFF_NONE
    assert list(engine.change(made, storageCapacity=4800).replaces) == []
    assert made.state["storageCapacity"] == 4800
    assert list(engine.change(made, storageCapacity=1200).replaces) == ["storageCapacity"]
    for one in (made, rule):
        engine.delete(one)
        assert engine.read(one).id == ""


def test_shared_storage_is_made_and_taken_apart(engine: Engine, base: Base) -> None:
    system = engine.create("FileSystem", encrypted=True)
    target = engine.create(
        "MountTarget", fileSystemId=system.id, subnetId=base.subnet.id, securityGroups=[base.group.id]
    )
    owner = {"ownerUid": 1000, "ownerGid": 1000, "permissions": "0755"}
    point = engine.create(
        "AccessPoint",
        fileSystemId=system.id,
        posixUser={"uid": 1000, "gid": 1000},
        rootDirectory={"path": "/fleet", "creationInfo": owner},
    )
    policy = engine.create("FileSystemPolicy", fileSystemId=system.id, policy=GRANT)
    for made in (target, point, policy):
        assert engine.change(made).changes == provider_pb2.DiffResponse.DIFF_NONE
    assert target.state["mountTargetDnsName"] == f"us-east-1a.{system.id}.efs.us-east-1.amazonaws.com"
    assert "FileSystemInUse" in str(refused(lambda: engine.delete(system)).details())
    for made in (policy, point, target, system):
        engine.delete(made)
        if made is not policy:
            assert engine.read(made).id == ""


def test_a_role_with_its_policies_and_profile(engine: Engine) -> None:
    role = engine.create("Role", "node", assumeRolePolicy=TRUST)
    policy = engine.create("RolePolicy", role=role.id, policy=GRANT)
    attached = engine.create("RolePolicyAttachment", role=role.id, policyArn=MANAGED)
    profile = engine.create("InstanceProfile", role=role.id)
    assert attached.id == f"{role.id}/{MANAGED}" and policy.id == f"{role.id}:{policy.state['name']}"
    engine.change(policy, policy=GRANT.replace("Describe", "Terminate"))
    assert "Terminate" in policy.state["policy"]
    engine.change(profile, role="")
    assert profile.state["role"] == ""
    for made in (profile, attached, policy, role):
        engine.delete(made)
        assert engine.read(made).id == ""


def test_an_instance_keeps_what_was_asked_and_is_stopped_for_another_type(engine: Engine, base: Base) -> None:
    made = instance(engine, base)
    assert made.state["instanceState"] == "running"
    assert made.state["rootBlockDevice"]["volumeSize"] == 50 and made.state["rootBlockDevice"]["encrypted"]
    assert made.state["metadataOptions"]["httpTokens"] == "required"
    assert made.state["volumeTags"] == {"of": "node"}
    assert engine.change(made).changes == provider_pb2.DiffResponse.DIFF_NONE
    found = engine.change(made, instanceType="m7i.2xlarge", tags={"Name": "n"})
    assert list(found.replaces) == []
    assert (made.state["instanceType"], made.state["instanceState"]) == ("m7i.2xlarge", "running")
    assert made.state["tagsAll"] == {"Name": "n", "fleet": "test"}
    assert "userData" in engine.change(made, userData="other", userDataReplaceOnChange=True).replaces
    assert "instanceType" in engine.change(made, instanceType="m7g.xlarge").replaces
    engine.delete(made)
    assert engine.read(made).id == ""


def test_drift_shows_in_a_read_and_is_undone_by_the_next_update(engine: Engine, base: Base) -> None:
    made = instance(engine, base, tags={"Name": "n"})
    engine.client("ec2").create_tags(Resources=[made.id], Tags=[{"Key": "rogue", "Value": "1"}])
    seen = engine.read(made)
    made.state = plain(seen.properties)
    assert plain(seen.inputs)["tags"] == {"Name": "n", "rogue": "1"}
    assert "tags.rogue" in engine.change(made).detailedDiff
    assert made.state["tags"] == {"Name": "n"}
    engine.client("ec2").terminate_instances(InstanceIds=[made.id])
    eventually(lambda: engine.read(made).id == "")


def test_an_import_gives_inputs_that_check_takes_and_that_show_no_difference(engine: Engine, base: Base) -> None:
    made = instance(engine, base)
    seen = engine.read(made, imported=True)
    inputs = {k: v for k, v in plain(seen.inputs).items() if k not in ("__defaults", "tagsAll")}
    checked = engine.check(made.token, made.name, {}, inputs)
    assert not checked.failures, checked.failures
    asked = provider_pb2.DiffRequest(id=made.id, urn=made.urn, olds=seen.properties, news=checked.inputs)
    assert not engine.stub.Diff(asked).replaces
    engine.delete(made)


def test_a_create_that_fails_after_the_id_leaves_the_resource_recorded(engine: Engine, base: Base) -> None:
    token = "aws:ec2/internetGateway:InternetGateway"
    error: Any = refused(lambda: engine.create("InternetGateway", vpcId="vpc-00000000"))
    details = dict(error.trailing_metadata())["grpc-status-details-bin"]
    failed = provider_pb2.ErrorResourceInitFailed()
    assert status_pb2.Status.FromString(details).details[0].Unpack(failed)
    assert failed.id.startswith("igw-") and "InvalidVpcID.NotFound" in failed.reasons[0]
    left = Made(token, "x", failed.id, plain(failed.properties), plain(failed.inputs))
    assert engine.read(left).id == failed.id
    left.state.pop("vpcId")
    engine.delete(left)


def test_aws_errors_come_with_code_and_text_and_leave_nothing(engine: Engine, base: Base) -> None:
    error: Any = refused(lambda: instance(engine, base, subnetId="subnet-00000000"))
    assert "RunInstances" in error.details() and "InvalidSubnetID.NotFound" in error.details()
    assert "grpc-status-details-bin" not in dict(error.trailing_metadata() or ())


def test_a_preview_makes_nothing_and_shows_what_is_not_known_yet(engine: Engine) -> None:
    before = len(engine.client("ec2").describe_vpcs()["Vpcs"])
    checked = engine.check("aws:ec2/vpc:Vpc", "x", {}, {"cidrBlock": "10.0.0.0/16"})
    urn = "urn:pulumi:dev::test::aws:ec2/vpc:Vpc::x"
    request = provider_pb2.CreateRequest(urn=urn, properties=checked.inputs, preview=True)
    shown = plain(engine.stub.Create(request).properties)
    assert (shown["arn"], shown["cidrBlock"]) == (UNKNOWN, "10.0.0.0/16")
    assert len(engine.client("ec2").describe_vpcs()["Vpcs"]) == before


def test_what_is_not_there_is_named(engine: Engine) -> None:
    error: Any = refused(lambda: engine.check("aws:ec2/fleet:Fleet", "x", {}, {}))
    assert "no resource type aws:ec2/fleet:Fleet" in error.details()
    call: Any = refused(lambda: engine.stub.Invoke(provider_pb2.InvokeRequest(tok="aws:s3/getBucket:getBucket")))
    assert "no function aws:s3/getBucket:getBucket" in call.details()


INVOKES = [
    ("aws:index/getCallerIdentity:getCallerIdentity", {}, "accountId", "123456789012"),
    ("aws:index/getRegion:getRegion", {}, "region", "us-east-1"),
    ("aws:index/getPartition:getPartition", {}, "dnsSuffix", "amazonaws.com"),
    ("aws:ssm/getParameter:getParameter", {"name": IMAGE}, "name", IMAGE),
    ("aws:ec2/getInstanceType:getInstanceType", {"instanceType": "p5.48xlarge"}, "efaSupported", True),
    ("aws:ec2/getInstanceType:getInstanceType", {"instanceType": "m7i.xlarge"}, "defaultVcpus", 4),
]


@pytest.mark.parametrize(("token", "args", "key", "value"), INVOKES)
def test_look_ups_answer(engine: Engine, token: str, args: dict[str, Any], key: str, value: object) -> None:
    answer = engine.stub.Invoke(provider_pb2.InvokeRequest(tok=token, args=struct(args)))
    assert plain(getattr(answer, "return"))[key] == value


def test_zones_are_sorted_and_parallel_to_their_ids(engine: Engine) -> None:
    token = "aws:index/getAvailabilityZones:getAvailabilityZones"
    asked = provider_pb2.InvokeRequest(tok=token, args=struct({"state": "available", "excludeNames": ["us-east-1b"]}))
    zones = plain(getattr(engine.stub.Invoke(asked), "return"))
    assert zones["names"] == sorted(zones["names"]) and "us-east-1b" not in zones["names"]
    assert len(zones["names"]) == len(zones["zoneIds"])


def test_it_refuses_to_be_pointed_at_aws(engine: Engine) -> None:
    server, port = serve()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = provider_pb2_grpc.ResourceProviderStub(channel)
        args = struct(settings("https://ec2.us-east-1.amazonaws.com"))
        error: Any = refused(lambda: stub.Configure(provider_pb2.ConfigureRequest(args=args)))
    server.stop(grace=None)
    assert "never talks to AWS" in error.details()
