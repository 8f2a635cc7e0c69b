"""A Lustre file system that is there before the fleet is: taken up by its id, or kept by an earlier up.

Asked of AWS; nothing is changed. What can't be mounted is refused in one line before anything is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra.cloud import Cloud, named_by, translated
from infra.errors import BadInput, CloudRefused
from infra.files import is_free, kept, only_one, tags_of
from infra.settings import PREFIX, StackConfig
from infra.tags import STACK_TAG


@dataclass(frozen=True)
class ExistingLustre:
    """own: kept for this same stack, whose state takes it back; else it is somebody's, and only mounted."""

    id: str
    dns_name: str
    mount_name: str
    own: bool


def read_lustre(cloud: Cloud, config: StackConfig, stack: str, vpc_id: str | None) -> ExistingLustre | None:
    """The file system that the stack takes up, None where it makes one. vpc_id: None for a network of its own.

    Raises BadInput where it can't be taken up, CloudRefused where AWS can't be asked.
    """
    if config.storage != "fsx":
        return None
    if config.file_system_id:
        found, own = _by_id(cloud, config.file_system_id), False
        is_free(found, stack)
    else:
        mine = made_by(cloud, stack)
        for one in mine:
            _keeps_its_files(one, config)
        left = [one for one in mine if kept(one)]
        if not config.retain or not left:
            return None
        found, own = only_one(left, stack), True
    identity = str(found["FileSystemId"])
    if found["FileSystemType"] != "LUSTRE":
        raise BadInput(f"is FSx for {found['FileSystemType']}, not Lustre", where=identity, do="Name another.")
    if found["Lifecycle"] not in ("AVAILABLE", "UPDATING"):
        raise CloudRefused(f"is {found['Lifecycle']}, not AVAILABLE", where=identity, do="Wait, or name another.")
    if found["VpcId"] != vpc_id:
        do = f"Set {PREFIX}subnetId to a subnet of {found['VpcId']}."
        raise BadInput(f"is in {found['VpcId']}, the fleet in {vpc_id}", where=identity, do=do)
    if own and config.subnet_id not in found["SubnetIds"]:
        do = f"Set {PREFIX}subnetId: {found['SubnetIds'][0]}, or delete it."
        raise BadInput("is kept for this stack, in another subnet", where=identity, do=do)
    return ExistingLustre(identity, found["DNSName"], found["LustreConfiguration"]["MountName"], own)


def made_by(cloud: Cloud, stack: str) -> list[Mapping[str, Any]]:
    """The stack's own: of the fleet that is up, and what an earlier one left."""
    with translated():
        pages = cloud.client("fsx").get_paginator("describe_file_systems").paginate()
        found = [one for page in pages for one in page["FileSystems"]]
    return [one for one in found if tags_of(one).get(STACK_TAG) == stack and one["Lifecycle"] != "DELETING"]


def _keeps_its_files(one: Mapping[str, Any], config: StackConfig) -> None:
    """Raises BadInput for what AWS can make of no file system: the engine would make another one, which is empty."""
    has, gib = one["LustreConfiguration"]["DeploymentType"], one["StorageCapacity"]
    key, value = "fsxDeployment", has if has != config.fsx_deployment else None
    if value is None and config.fsx_gib < gib:
        key, value = "fsxGib", gib
    if value is not None:
        raise BadInput(
            f"this stack's file system {one['FileSystemId']} has {value}, and another would be empty",
            where=f"{PREFIX}{key}",
            do=f"Set it to {value}, or end the fleet with its files first.",
        )


def _by_id(cloud: Cloud, identity: str) -> Mapping[str, Any]:
    with named_by(cloud, "fileSystemId", identity):
        return dict(cloud.client("fsx").describe_file_systems(FileSystemIds=[identity])["FileSystems"][0])
