"""Check as a table: what a program writes -> the inputs, or what is said about them."""

from __future__ import annotations

from typing import Any

import pytest

from infra.sandbox.provider.check import Checked, Setting, check
from infra.sandbox.provider.resources import RESOURCES
from infra.sandbox.provider.values import DEFAULTS, UNKNOWN

SETTING = Setting(region="us-east-1", default_tags={"team": "llm"}, seed=b"seed")
INSTANCE = {"ami": "ami-1", "instanceType": "m7i.xlarge"}
RULE = {"securityGroupId": "sg-1", "ipProtocol": "tcp", "cidrIpv4": "10.0.0.0/8"}
SCHEDULE = {
    "scheduleExpression": "at(2026-12-01T00:00:00)",
    "flexibleTimeWindow": {"mode": "OFF"},
    "target": {"arn": "arn:aws:scheduler:::aws-sdk:ec2:terminateInstances", "roleArn": "arn:aws:iam::1:role/r"},
}


def checked(kind: str, news: dict[str, Any], olds: dict[str, Any] | None = None, name: str = "x") -> Checked:
    token = next(token for token in RESOURCES if token.endswith(f":{kind}"))
    return check(RESOURCES[token].type, name, olds or {}, news, SETTING)


REFUSED = [
    # type, inputs, property, part of what is said
    ("Vpc", {"cidrBlok": "10.0.0.0/16"}, "cidrBlok", "Did you mean cidrBlock?"),
    ("Vpc", {"cidrBlock": "10.0.0.0/8"}, "cidrBlock", "/16 to /28"),
    ("Vpc", {"cidrBlock": "10.0.0.1/16"}, "cidrBlock", "host bits set"),
    ("Vpc", {"enableDnsSupport": "perhaps"}, "enableDnsSupport", "expected a boolean, got a string"),
    ("Vpc", {"instanceTenancy": "dedicate"}, "instanceTenancy", "Did you mean dedicated?"),
    ("Vpc", {"tags": {"a": []}}, "tags.a", "expected a string, got a list"),
    ("Subnet", {}, "vpcId", "Missing required argument"),
    ("Subnet", {"vpcId": "v", "availabilityZone": "a", "availabilityZoneId": "b"}, "availabilityZone", "conflicts"),
    ("Subnet", {"vpcId": "v", "outpostArn": "arn"}, "outpostArn", "embedded cloud does not implement"),
    ("Route", {"routeTableId": "r", "gatewayId": "g"}, "destinationCidrBlock", "exactly one of"),
    (
        "Route",
        {"routeTableId": "r", "destinationCidrBlock": "0.0.0.0/0", "gatewayId": "g", "natGatewayId": "n"},
        "gatewayId",
        "got gatewayId, natGatewayId",
    ),
    ("SecurityGroup", {"name": "sg-mine"}, "name", "must not begin with sg-"),
    ("SecurityGroup", {"name": "a", "namePrefix": "b"}, "name", "conflicts with namePrefix"),
    ("SecurityGroupIngressRule", {"securityGroupId": "s", "ipProtocol": "tcp"}, "cidrIpv4", "exactly one of"),
    ("SecurityGroupIngressRule", RULE | {"fromPort": 70000}, "fromPort", "(-1 - 65535)"),
    ("SecurityGroupIngressRule", RULE | {"fromPort": 1.5}, "fromPort", "expected a integer"),
    ("KeyPair", {}, "publicKey", "Missing required argument"),
    ("Instance", {"ami": "ami-1"}, "instanceType", "one of instanceType"),
    ("Instance", INSTANCE | {"userData": "x" * 16385}, "userData", "(0 - 16384), got 16385"),
    ("Instance", INSTANCE | {"userData": "x", "userDataBase64": "eA=="}, "userData", "conflicts"),
    ("Instance", INSTANCE | {"userDataBase64": "not base64!"}, "userDataBase64", "base64"),
    ("Instance", INSTANCE | {"privateIp": "300.1.1.1"}, "privateIp", "valid IPv4"),
    ("Instance", INSTANCE | {"metadataOptions": {"httpToken": "x"}}, "metadataOptions.httpToken", "httpTokens?"),
    ("Instance", INSTANCE | {"metadataOptions": {"httpTokens": "must"}}, "metadataOptions.httpTokens", "optional"),
    ("Instance", INSTANCE | {"metadataOptions": "required"}, "metadataOptions", "expected an object, got a string"),
    (
        "Instance",
        INSTANCE | {"rootBlockDevice": {"volumeType": "gp2", "throughput": 250}},
        "rootBlockDevice.throughput",
        "not supported for volumeType gp2",
    ),
    (
        "Instance",
        INSTANCE | {"volumeTags": {"a": "b"}, "rootBlockDevice": {"tags": {"c": "d"}}},
        "rootBlockDevice.tags",
        "conflicts with volumeTags",
    ),
    (
        "Instance",
        INSTANCE | {"capacityReservationSpecification": {}},
        "capacityReservationSpecification",
        "exactly one",
    ),
    ("FileSystem", {"kmsKeyId": "arn:aws:kms:r:1:key/k"}, "kmsKeyId", "encrypted must be set"),
    ("AccessPoint", {"fileSystemId": "fs", "posixUser": {"uid": 1}}, "posixUser.gid", "required in posixUser"),
    ("Role", {"assumeRolePolicy": "{"}, "assumeRolePolicy", "invalid JSON"),
    ("Role", {"assumeRolePolicy": "[]"}, "assumeRolePolicy", "not a JSON object"),
    ("RolePolicyAttachment", {"role": "r", "policyArn": "ReadOnly"}, "policyArn", "not an ARN"),
    ("Schedule", SCHEDULE | {"flexibleTimeWindow": {"mode": "off"}}, "flexibleTimeWindow.mode", "Did you mean OFF?"),
    ("Schedule", SCHEDULE | {"name": "a b"}, "name", "letters, digits"),
]


@pytest.mark.parametrize(("kind", "news", "path", "said"), REFUSED)
def test_what_is_wrong_is_refused_with_its_path(kind: str, news: dict[str, Any], path: str, said: str) -> None:
    failures = dict(checked(kind, news).failures)
    assert said in failures.get(path, ""), failures


ACCEPTED = [
    # type, inputs, what must be among the checked inputs
    ("Vpc", {"cidrBlock": "127.77.0.0/16"}, {"enableDnsSupport": True, "region": "us-east-1"}),
    ("Vpc", {"enableDnsSupport": "false"}, {"enableDnsSupport": False}),
    ("SecurityGroupIngressRule", RULE | {"fromPort": "22"}, {"fromPort": 22}),
    (
        "Instance",
        INSTANCE | {"metadataOptions": {}},
        {"metadataOptions": {"httpEndpoint": "enabled", "httpProtocolIpv6": "disabled"}},
    ),
    (
        "Instance",
        INSTANCE | {"rootBlockDevice": {"volumeSize": 8}},
        {"rootBlockDevice": {"volumeSize": 8, "deleteOnTermination": True}},
    ),
    ("Instance", {"ami": UNKNOWN, "instanceType": UNKNOWN}, {"ami": UNKNOWN}),
    ("Instance", INSTANCE | {"vpcSecurityGroupIds": [UNKNOWN]}, {"vpcSecurityGroupIds": [UNKNOWN]}),
    ("Role", {"assumeRolePolicy": {"Version": "x"}}, {"assumeRolePolicy": '{"Version": "x"}', "path": "/"}),
    ("FileSystem", {"tags": {"a": "b"}}, {"tagsAll": {"team": "llm", "a": "b"}, "throughputMode": "bursting"}),
    ("FileSystem", {"tags": {"team": "own"}}, {"tagsAll": {"team": "own"}}),
    ("FileSystem", {"tags": {"a": UNKNOWN}}, {"tagsAll": UNKNOWN}),
    ("Schedule", SCHEDULE, {"scheduleExpressionTimezone": "UTC", "state": "ENABLED"}),
]


@pytest.mark.parametrize(("kind", "news", "expected"), ACCEPTED)
def test_what_is_left_out_is_filled_in(kind: str, news: dict[str, Any], expected: dict[str, Any]) -> None:
    done = checked(kind, news)
    assert done.failures == []
    assert {key: done.inputs.get(key) for key in expected} == expected


def test_a_global_type_takes_no_region() -> None:
    assert "region" not in checked("Role", {"assumeRolePolicy": "{}"}).inputs


def test_a_generated_name_is_logical_name_and_seven_hex_digits_and_is_remembered() -> None:
    first = checked("SecurityGroup", {"vpcId": "vpc-1"}, name="nodes").inputs
    stem, _, digits = first["name"].rpartition("-")
    assert stem == "nodes" and len(digits) == 7 and int(digits, 16) >= 0
    assert "name" in first[DEFAULTS]
    again = check(RESOURCES["aws:ec2/securityGroup:SecurityGroup"].type, "nodes", first, {"vpcId": "vpc-2"}, Setting())
    assert again.inputs["name"] == first["name"]


def test_a_name_given_before_is_not_kept_when_it_is_dropped() -> None:
    before = checked("SecurityGroup", {"name": "mine"}).inputs
    assert checked("SecurityGroup", {}, olds=before).inputs["name"] != "mine"


def test_a_name_prefix_keeps_the_generated_name_away() -> None:
    assert "name" not in checked("SecurityGroup", {"namePrefix": "p-"}).inputs


def test_a_generated_role_name_over_64_characters_is_refused_and_says_the_room() -> None:
    failures = dict(checked("Role", {"assumeRolePolicy": "{}"}, name="r" * 60).failures)
    assert "may have 56 characters" in failures["name"]


def test_an_unset_schedule_retry_policy_stays_unset() -> None:
    assert "retryPolicy" not in checked("Schedule", SCHEDULE).inputs["target"]


def test_numbers_and_booleans_become_text_where_text_is_taken() -> None:
    said = {"instanceType": "a", "launchTemplate": {"id": "lt-1", "version": 3}, "tags": {"a": 1, "b": True}}
    done = checked("Instance", said)
    assert (done.failures, done.inputs["launchTemplate"]["version"]) == ([], "3")
    assert done.inputs["tags"] == {"a": "1", "b": "true"}
