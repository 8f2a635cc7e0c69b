"""The kinds by which people and nodes are let in: keys of the region, profiles and roles of the account."""

from __future__ import annotations

from collections.abc import Iterator

from infra.cloud import Cloud
from infra.kinds import Kind, Thing, pages, stack_of, tagged
from infra.nodes import fleet_name
from infra.tags import REGION_TAG, STACK_TAG


def _keys(cloud: Cloud, stack: str | None) -> Iterator[Thing]:
    for one in cloud.client("ec2").describe_key_pairs(Filters=tagged(stack))["KeyPairs"]:
        yield Thing("key pair", one["KeyName"], stack=stack_of(one.get("Tags")), made=one.get("CreateTime"))


def _end_keys(cloud: Cloud, things: list[Thing]) -> None:
    for thing in things:
        cloud.client("ec2").delete_key_pair(KeyName=thing.id)


def _of_iam(cloud: Cloud, stack: str | None, call: str, kind: str, named: str, tags: str) -> Iterator[Thing]:
    """IAM lists by no tag: what bears a fleet's name is asked for its own.

    The account has them, no region, and a stack of this name may live in another: what says so is not this one's.
    Made before that tag was, they say no region: then by the stack's name alone.
    """
    iam = cloud.client("iam")
    for one in pages(cloud, "iam", call, f"{named.removesuffix('Name')}s"):
        name = one[named]
        if name.startswith(f"{fleet_name(stack)}-" if stack else fleet_name("")):
            said = {tag["Key"]: tag["Value"] for tag in getattr(iam, tags)(**{named: name})["Tags"]}
            whose, region = said.get(STACK_TAG), said.get(REGION_TAG, cloud.region if stack else "")
            if whose and stack in (None, whose) and region == cloud.region:
                yield Thing(kind, name, stack=whose, made=one.get("CreateDate"))


def _profiles(cloud: Cloud, stack: str | None) -> Iterator[Thing]:
    ask = ("list_instance_profiles", "instance profile", "InstanceProfileName", "list_instance_profile_tags")
    return _of_iam(cloud, stack, *ask)


def _end_profiles(cloud: Cloud, things: list[Thing]) -> None:
    iam = cloud.client("iam")
    for thing in things:
        for role in iam.get_instance_profile(InstanceProfileName=thing.id)["InstanceProfile"]["Roles"]:
            iam.remove_role_from_instance_profile(InstanceProfileName=thing.id, RoleName=role["RoleName"])
        iam.delete_instance_profile(InstanceProfileName=thing.id)


def _roles(cloud: Cloud, stack: str | None) -> Iterator[Thing]:
    return _of_iam(cloud, stack, "list_roles", "role", "RoleName", "list_role_tags")


def _end_roles(cloud: Cloud, things: list[Thing]) -> None:
    iam = cloud.client("iam")
    for thing in things:
        for policy in iam.list_role_policies(RoleName=thing.id)["PolicyNames"]:
            iam.delete_role_policy(RoleName=thing.id, PolicyName=policy)
        iam.delete_role(RoleName=thing.id)


ACCESS = (
    Kind("ec2 DescribeKeyPairs {tag}", _keys, _end_keys),
    Kind("iam ListInstanceProfiles {stack}", _profiles, _end_profiles),
    Kind("iam ListRoles {stack}", _roles, _end_roles),
)
