"""Diff as a table: a state, changed inputs -> what changes and what it does to the resource."""

from __future__ import annotations

from typing import Any

import pytest

from infra.sandbox.provider.diff import Difference, diff
from infra.sandbox.provider.resources import RESOURCES
from infra.sandbox.provider.session import Aws
from infra.sandbox.provider.settings import Settings
from infra.sandbox.provider.values import DEFAULTS, UNKNOWN

STATES: dict[str, dict[str, Any]] = {
    "Vpc": {
        "cidrBlock": "10.0.0.0/16",
        "enableDnsHostnames": True,
        "enableDnsSupport": True,
        "instanceTenancy": "default",
    },
    "Instance": {
        "ami": "ami-1",
        "instanceType": "m7i.xlarge",
        "subnetId": "subnet-1",
        "privateIp": "10.0.0.4",
        "vpcSecurityGroupIds": ["sg-1", "sg-2"],
        "userData": "a",
        "iamInstanceProfile": "p",
        "metadataOptions": {"httpTokens": "required", "httpEndpoint": "enabled", "httpPutResponseHopLimit": 1},
        "rootBlockDevice": {"encrypted": True, "volumeSize": 8, "volumeType": "gp3", "deleteOnTermination": True},
        "tags": {"Name": "n"},
        "tagsAll": {"Name": "n"},
        "sourceDestCheck": True,
    },
    "SecurityGroup": {"name": "g-0123456", "description": "a", "vpcId": "vpc-1"},
    "SecurityGroupIngressRule": {"securityGroupId": "sg-1", "ipProtocol": "-1", "cidrIpv4": "10.0.0.0/8"},
    "KeyPair": {"keyName": "k", "publicKey": "ssh-ed25519 AAAA a"},
    "MountTarget": {"fileSystemId": "fs-1", "subnetId": "subnet-1", "securityGroups": ["sg-1"]},
    "RolePolicy": {"role": "r", "name": "n", "policy": '{"Statement": {"Action": ["a", "b"], "Effect": "Allow"}}'},
    "FileSystem": {
        "encrypted": False,
        "throughputMode": "elastic",
        "lifecyclePolicies": [{"transitionToIa": "AFTER_7_DAYS"}],
    },
}

CHANGES = [
    # type, what the program says now (None: no longer says it), path -> (what, replaces)
    ("Vpc", {}, {}),
    ("Vpc", {"enableDnsHostnames": None}, {}),
    ("Vpc", {"enableDnsHostnames": False}, {"enableDnsHostnames": ("update", False)}),
    ("Vpc", {"cidrBlock": "10.1.0.0/16"}, {"cidrBlock": ("update", True)}),
    ("Instance", {"vpcSecurityGroupIds": ["sg-2", "sg-1"]}, {}),
    ("Instance", {"vpcSecurityGroupIds": ["sg-2"]}, {"vpcSecurityGroupIds": ("update", False)}),
    ("Instance", {"instanceType": "m7i.2xlarge"}, {"instanceType": ("update", False)}),
    ("Instance", {"ami": "ami-2"}, {"ami": ("update", True)}),
    ("Instance", {"ami": UNKNOWN}, {"ami": ("update", True)}),
    ("Instance", {"userData": None}, {"userData": ("delete", False)}),
    ("Instance", {"tags": {"Name": "m", "a": "b"}}, {"tags.Name": ("update", False), "tags.a": ("add", False)}),
    ("Instance", {"tags": None}, {"tags": ("delete", False)}),
    ("Instance", {"rootBlockDevice": {"volumeSize": 16}}, {"rootBlockDevice.volumeSize": ("update", False)}),
    ("Instance", {"rootBlockDevice": {"encrypted": False}}, {"rootBlockDevice.encrypted": ("update", True)}),
    ("Instance", {"metadataOptions": {"httpTokens": "optional"}}, {"metadataOptions.httpTokens": ("update", False)}),
    ("Instance", {"ebsOptimized": False, "monitoring": False}, {}),
    ("Instance", {"userDataReplaceOnChange": False, "forceDestroy": False}, {}),
    ("SecurityGroup", {"description": "b"}, {"description": ("update", True)}),
    ("SecurityGroupIngressRule", {"ipProtocol": "all"}, {}),
    ("SecurityGroupIngressRule", {"description": "why"}, {"description": ("add", False)}),
    ("KeyPair", {"publicKey": " ssh-ed25519 AAAA a\n"}, {}),
    ("KeyPair", {"publicKey": "ssh-ed25519 AAAA b"}, {"publicKey": ("update", True)}),
    ("RolePolicy", {"policy": '{"Statement":[{"Effect":"Allow","Action":["b","a"]}]}'}, {}),
    ("RolePolicy", {"policy": '{"Statement":[{"Effect":"Deny","Action":["b","a"]}]}'}, {"policy": ("update", False)}),
    (
        "FileSystem",
        {"lifecyclePolicies": [{"transitionToIa": "AFTER_30_DAYS"}]},
        {"lifecyclePolicies": ("update", False)},
    ),
    ("FileSystem", {"encrypted": True}, {"encrypted": ("update", True)}),
]


def compared(kind: str, said: dict[str, Any]) -> Difference:
    token = next(token for token in RESOURCES if token.endswith(f":{kind}"))
    news = {key: value for key, value in {**STATES[kind], **said}.items() if value is not None}
    return diff(RESOURCES[token].type, STATES[kind], news)


@pytest.mark.parametrize(("kind", "said", "expected"), CHANGES)
def test_changes_are_told_by_path(kind: str, said: dict[str, Any], expected: dict[str, tuple[str, bool]]) -> None:
    found = compared(kind, said)
    assert {each.path: (each.what, each.replaces) for each in found.changes} == expected
    assert set(found.replaces) == {path for path, (_, replaces) in expected.items() if replaces}


def test_what_a_change_would_replace_is_stable_as_long_as_it_does_not_change() -> None:
    stables = compared("Instance", {"instanceType": "m7i.2xlarge"}).stables
    assert "ami" in stables and "instanceType" not in stables


DELETE_FIRST = [
    ("SecurityGroup", {DEFAULTS: ["name"]}, False),
    ("SecurityGroup", {DEFAULTS: []}, True),
    ("SecurityGroup", {}, False),
    ("MountTarget", {}, True),
    ("Instance", {DEFAULTS: []}, False),
]


@pytest.mark.parametrize(("kind", "said", "first"), DELETE_FIRST)
def test_a_name_given_by_hand_and_some_types_are_deleted_before_they_are_replaced(
    kind: str, said: dict[str, Any], first: bool
) -> None:
    assert compared(kind, said).delete_before_replace is first


CONDITIONAL = [
    ("Instance", {"userData": "a"}, {"userData": "b", "userDataReplaceOnChange": True}, {"userData"}),
    ("Instance", {"userData": "a"}, {"userData": "b"}, set()),
    ("Vpc", {"instanceTenancy": "default"}, {"instanceTenancy": "dedicated"}, {"instanceTenancy"}),
    ("Vpc", {"instanceTenancy": "dedicated"}, {"instanceTenancy": "default"}, set()),
    (
        "SecurityGroupIngressRule",
        {"cidrIpv4": "10.0.0.0/8"},
        {"referencedSecurityGroupId": "sg-2"},
        {"cidrIpv4", "referencedSecurityGroupId"},
    ),
]


@pytest.mark.parametrize(("kind", "old", "new", "replaced"), CONDITIONAL)
def test_some_changes_replace_by_their_values(
    kind: str, old: dict[str, Any], new: dict[str, Any], replaced: set[str]
) -> None:
    token = next(token for token in RESOURCES if token.endswith(f":{kind}"))
    unused = Aws(Settings(region="us-east-1", endpoints={}))
    assert RESOURCES[token].replaces(unused, old, new, frozenset(old) | frozenset(new)) == replaced
