"""Shared files that are there before the fleet is: an EFS file system taken up by its id, or kept by an earlier up.

Asked of AWS; nothing is changed. What can't be mounted is refused in one line before anything is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.cloud import Cloud, named_by, translated
from infra.errors import BadInput, CloudRefused
from infra.settings import PREFIX, StackConfig
from infra.tags import KEPT_TAG, STACK_TAG


@dataclass(frozen=True)
class ExistingFiles:
    """own: kept for this same stack, whose state takes it back; else it is somebody's, and only mounted.

    target: whether a mount target is to be made, for the fleet's zone has none but ours.
    """

    id: str
    arn: str
    own: bool
    target: bool = True


@dataclass(frozen=True)
class Target:
    """A mount target as AWS has it. ours: made by this stack, as its security groups tell."""

    zone: str
    vpc_id: str
    ours: bool


def read_files(cloud: Cloud, config: StackConfig, stack: str, zone: str, vpc_id: str | None) -> ExistingFiles | None:
    """The file system that the stack takes up, None where it makes one. vpc_id: None for a network of its own.

    Raises BadInput where it can't be taken up, CloudRefused where AWS can't be asked.
    """
    if config.storage != "efs":
        return None
    if config.file_system_id:
        found, own = _by_id(cloud, config.file_system_id), False
        is_free(found, stack)
    elif config.retain:
        mine = kept_by(cloud, stack)
        if not mine:
            return None
        found, own = only_one(mine, stack), True
    else:
        return None
    identity = str(found["FileSystemId"])
    if found["LifeCycleState"] != "available":
        raise CloudRefused(f"is {found['LifeCycleState']}, not available", where=identity, do="Wait, or name another.")
    only = found.get("AvailabilityZoneName")
    if only and only != zone:
        raise BadInput(f"is in {only} alone, the fleet in {zone}", where=identity, do=f"Set {PREFIX}zone: {only}.")
    target = _target_needed(identity, _targets(cloud, identity, stack), zone, vpc_id)
    return ExistingFiles(identity, found["FileSystemArn"], own, target)


def kept_by(cloud: Cloud, stack: str) -> list[Mapping[str, Any]]:
    """The file systems that outlived an earlier fleet of the stack, or that its fleet of now will leave."""
    with translated():
        pages = cloud.client("efs").get_paginator("describe_file_systems").paginate()
        found = [one for page in pages for one in page["FileSystems"]]
    return [
        one
        for one in found
        if tags_of(one).get(STACK_TAG) == stack and kept(one) and not one["LifeCycleState"].startswith("delet")
    ]


def kept(file_system: Mapping[str, Any]) -> bool:
    return KEPT_TAG in tags_of(file_system)


def tags_of(one: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in one.get("Tags") or []}


def _by_id(cloud: Cloud, identity: str) -> Mapping[str, Any]:
    with named_by(cloud, "fileSystemId", identity):
        return dict(cloud.client("efs").describe_file_systems(FileSystemId=identity)["FileSystems"][0])


def only_one(mine: Sequence[Mapping[str, Any]], stack: str) -> Mapping[str, Any]:
    """Of those that are kept for the stack. Raises BadInput where they are several."""
    if len(mine) > 1:
        ids = ", ".join(one["FileSystemId"] for one in mine)
        raise BadInput(
            f"{ids} are kept for stack {stack}",
            where=f"{PREFIX}retain",
            do=f"Name one by {PREFIX}fileSystemId, or delete the others.",
        )
    return mine[0]


def is_free(found: Mapping[str, Any], stack: str) -> None:
    """Raises BadInput where the file system will end with a stack."""
    owner = tags_of(found).get(STACK_TAG)
    if owner and not kept(found):
        whose = "this stack" if owner == stack else f"stack {owner}"
        raise BadInput(
            f"belongs to {whose} and ends with it",
            where=str(found["FileSystemId"]),
            do=f"Set {PREFIX}retain: true {'instead' if owner == stack else 'there'}, and `fleet up` it.",
        )


def _target_needed(identity: str, targets: list[Target], zone: str, vpc_id: str | None) -> bool:
    """EFS takes one mount target a zone, all in one VPC."""
    theirs = [target for target in targets if not target.ours]
    foreign = next((target for target in theirs if target.vpc_id != vpc_id), None)
    if foreign:
        raise BadInput(
            f"has mount targets in {foreign.vpc_id}, the fleet is in {vpc_id or 'a VPC of its own'}",
            where=identity,
            do=f"Set {PREFIX}subnetId to a subnet of {foreign.vpc_id}, or delete those mount targets.",
        )
    return not any(target.zone == zone for target in theirs)


def _targets(cloud: Cloud, identity: str, stack: str) -> list[Target]:
    efs = cloud.client("efs")
    with translated():
        pages = efs.get_paginator("describe_mount_targets").paginate(FileSystemId=identity)
        found = [one for page in pages for one in page["MountTargets"]]
        groups = {
            one["MountTargetId"]: efs.describe_mount_target_security_groups(MountTargetId=one["MountTargetId"])[
                "SecurityGroups"
            ]
            for one in found
        }
        asked = [{"Name": f"tag:{STACK_TAG}", "Values": [stack]}]
        pages = cloud.client("ec2").get_paginator("describe_security_groups").paginate(Filters=asked)
        own = {one["GroupId"] for page in pages for one in page["SecurityGroups"]} if found else set()
    return [
        Target(one["AvailabilityZoneName"], one["VpcId"], ours=bool(own & set(groups[one["MountTargetId"]])))
        for one in found
    ]
