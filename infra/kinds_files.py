"""The kinds of shared files: file systems and the ways into them (see infra/kinds.py).

A file system that is kept, or is somebody else's, stays; what the stack made to mount it goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import tenacity

from infra.cloud import Cloud
from infra.errors import CloudRefused
from infra.files import kept
from infra.kinds import Kind, Thing, pages, stack_of
from infra.tags import STACK_TAG


def _points(cloud: Cloud, stack: str | None) -> Iterator[dict[str, Any]]:
    for one in pages(cloud, "efs", "describe_access_points", "AccessPoints"):
        whose = stack_of(one.get("Tags"))
        if whose and stack in (None, whose):
            yield one


def _mount_targets(cloud: Cloud, stack: str | None) -> Iterator[Thing]:
    """They carry no tags: those of a file system that the stack mounts, in a security group of the stack."""
    mounted = {one["FileSystemId"] for one in _points(cloud, stack)}
    if not mounted:
        return
    asked = [{"Name": "tag-key", "Values": [STACK_TAG]}]
    groups = {
        one["GroupId"]: stack_of(one.get("Tags"))
        for one in pages(cloud, "ec2", "describe_security_groups", "SecurityGroups", Filters=asked)
    }
    efs = cloud.client("efs")
    for system in sorted(mounted):
        for one in pages(cloud, "efs", "describe_mount_targets", "MountTargets", FileSystemId=system):
            identity = one["MountTargetId"]
            joined = efs.describe_mount_target_security_groups(MountTargetId=identity)["SecurityGroups"]
            whose = next((groups[group] for group in joined if group in groups), "")
            if whose and stack in (None, whose):
                yield Thing("mount target", identity, f"of {system}", whose)


def _end_mount_targets(cloud: Cloud, things: list[Thing]) -> None:
    """Waits until they are gone, a minute or two: before, neither the subnet nor the file system can go."""
    efs = cloud.client("efs")
    for thing in things:
        efs.delete_mount_target(MountTargetId=thing.id)
    for thing in things:
        ask = partial(efs.describe_mount_targets, MountTargetId=thing.id)
        _wait_until_gone(f"mount target {thing.id}", ask, efs.exceptions.MountTargetNotFound, every_s=3, most_s=600)


def _wait_until_gone(
    what: str, ask: Callable[[], object], gone: type[Exception], *, every_s: float, most_s: float
) -> None:
    """Asks until the answer is `gone`; raises CloudRefused where it is still there after `most_s`."""

    def must_be_gone() -> None:
        try:
            ask()
        except gone:
            return
        raise CloudRefused(f"{what} is still there", do="Run `fleet down` again.")

    tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(CloudRefused),
        wait=tenacity.wait_fixed(every_s),
        stop=tenacity.stop_after_delay(most_s),
        reraise=True,
    )(must_be_gone)


def _access_points(cloud: Cloud, stack: str | None) -> Iterator[Thing]:
    for one in _points(cloud, stack):
        yield Thing("access point", one["AccessPointId"], f"of {one['FileSystemId']}", stack_of(one["Tags"]))


def _end_access_points(cloud: Cloud, things: list[Thing]) -> None:
    for thing in things:
        cloud.client("efs").delete_access_point(AccessPointId=thing.id)


def _file_systems(cloud: Cloud, stack: str | None) -> Iterator[Thing]:
    for one in pages(cloud, "efs", "describe_file_systems", "FileSystems"):
        whose = stack_of(one["Tags"])
        if whose and stack in (None, whose):
            state, made = one["LifeCycleState"], one.get("CreationTime")
            yield Thing("file system", one["FileSystemId"], state, whose, kept=kept(one), made=made)


def _end_file_systems(cloud: Cloud, things: list[Thing]) -> None:
    from botocore.exceptions import ClientError

    efs = cloud.client("efs")
    # A file system with a mount target is refused, and a mount target takes a minute or two to go.
    patient = tenacity.Retrying(
        retry=tenacity.retry_if_exception(
            lambda error: isinstance(error, ClientError) and error.response["Error"]["Code"] == "FileSystemInUse"
        ),
        wait=tenacity.wait_fixed(3),
        stop=tenacity.stop_after_delay(600),
        reraise=True,
    )
    for thing in things:
        for target in efs.describe_mount_targets(FileSystemId=thing.id)["MountTargets"]:
            efs.delete_mount_target(MountTargetId=target["MountTargetId"])
        for point in efs.describe_access_points(FileSystemId=thing.id)["AccessPoints"]:
            efs.delete_access_point(AccessPointId=point["AccessPointId"])
        patient(efs.delete_file_system, FileSystemId=thing.id)


def _lustre(cloud: Cloud, stack: str | None) -> Iterator[Thing]:
    for one in pages(cloud, "fsx", "describe_file_systems", "FileSystems"):
        whose = stack_of(one.get("Tags"))
        if whose and stack in (None, whose):
            detail = f"{one['Lifecycle']} {one['StorageCapacity']} GiB"
            made = one.get("CreationTime")
            yield Thing("Lustre file system", one["FileSystemId"], detail, whose, kept=kept(one), made=made)


def _end_lustre(cloud: Cloud, things: list[Thing]) -> None:
    """Waits until they are gone, some minutes: their interfaces hold the subnet and the nodes' security group."""
    fsx = cloud.client("fsx")
    for thing in things:
        if not thing.detail.startswith("DELETING"):
            fsx.delete_file_system(FileSystemId=thing.id)
    for thing in things:
        ask = partial(fsx.describe_file_systems, FileSystemIds=[thing.id])
        _wait_until_gone(f"file system {thing.id}", ask, fsx.exceptions.FileSystemNotFound, every_s=5, most_s=1800)


FILES = (
    Kind("efs DescribeMountTargets {tag}", _mount_targets, _end_mount_targets),
    Kind("efs DescribeAccessPoints {tag}", _access_points, _end_access_points),
    Kind("efs DescribeFileSystems {tag}", _file_systems, _end_file_systems),
    Kind("fsx DescribeFileSystems {tag}", _lustre, _end_lustre),
)
