"""EFS: the calls that moto lacks, and the answer to a mount."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from moto.ec2.models.instances import Instance
from moto.efs.models import EFSBackend, efs_backends
from moto.efs.responses import EFSResponse

from infra.sandbox.patches.hook import replace


def install() -> None:
    replace(EFSResponse, "update_file_system", update_file_system)
    replace(EFSResponse, "put_backup_policy", put_backup_policy)
    replace(EFSResponse, "delete_file_system_policy", delete_file_system_policy)
    replace(EFSResponse, "describe_file_system_policy", describe_file_system_policy)


def update_file_system(self: EFSResponse) -> Any:
    """https://docs.aws.amazon.com/efs/latest/ug/API_UpdateFileSystem.html"""
    system = self.efs_backend.describe_file_systems(file_system_id=self._get_param("FileSystemId"))[1][0]
    if mode := self._get_param("ThroughputMode"):
        system.throughput_mode = mode
    if rate := self._get_param("ProvisionedThroughputInMibps"):
        system.provisioned_throughput_in_mibps = rate
    return json.dumps(system.info_json()), {"status": 202, "Content-Type": "application/json"}


def put_backup_policy(self: EFSResponse) -> Any:
    system = self.efs_backend.describe_file_systems(file_system_id=self._get_param("FileSystemId"))[1][0]
    policy = self._get_param("BackupPolicy") or {}
    system._backup = policy.get("Status") in ("ENABLED", "ENABLING")
    shown = {"Status": "ENABLED" if system._backup else "DISABLED"}
    return json.dumps({"BackupPolicy": shown}), {"Content-Type": "application/json"}


def delete_file_system_policy(self: EFSResponse) -> Any:
    """https://docs.aws.amazon.com/efs/latest/ug/API_DeleteFileSystemPolicy.html"""
    file_system = self._get_param("FileSystemId")
    self.efs_backend.describe_file_systems(file_system_id=file_system)  # answers FileSystemNotFound where there is none
    self.efs_backend.put_file_system_policy(file_system, "", False)
    return "", {"Content-Type": "application/json"}


def describe_file_system_policy(self: EFSResponse) -> Any:
    """https://docs.aws.amazon.com/efs/latest/ug/API_DescribeFileSystemPolicy.html"""
    file_system = self._get_param("FileSystemId")
    self.efs_backend.describe_file_systems(file_system_id=file_system)  # answers FileSystemNotFound where there is none
    policy = self.efs_backend.describe_file_system_policy(file_system_id=file_system)
    return json.dumps({"FileSystemId": file_system, "Policy": policy}), {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Share:
    """What a mount shows: `path` below the file system's root, made when missing if `create`."""

    file_system: str
    path: str
    create: bool


class MountRefused(Exception):
    """The text is what the mount command prints."""


def file_systems() -> set[str]:
    return {fs for backend in _backends() for fs in backend.file_systems_by_id}


def share(instance: Instance, file_system: str, access_point: str, path: str, *, tls: bool, iam: bool = False) -> Share:
    """What mount.efs would find, or its refusal. https://github.com/aws/efs-utils"""
    backend = next((b for b in _backends() if file_system in b.file_systems_by_id), None)
    if backend is None:
        raise MountRefused(f'Failed to resolve "{file_system}": no such file system.')
    targets = [t for t in backend.mount_targets_by_id.values() if t.file_system_id == file_system]
    near = [
        t for t in targets if t.availability_zone_name == instance.availability_zone and t.vpc_id == instance.vpc_id
    ]
    if not any(target.life_cycle_state == "available" for target in near):
        zone = instance.availability_zone
        raise MountRefused(f'Failed to resolve "{file_system}": no available mount target of this VPC in {zone}.')
    if iam and not instance.ec2_backend.iam_instance_profile_associations.get(instance.id):
        raise MountRefused("Failed to retrieve AWS security credentials: the instance has no profile.")
    if not _lets_in(backend.file_systems_by_id[file_system].file_system_policy, anonymous=not iam):
        raise MountRefused(f"mount.nfs4: access denied by server while mounting {file_system}: its policy.")
    if not access_point:
        return Share(file_system, path, create=False)
    if not tls:
        raise MountRefused('The "tls" option is required when mounting with an access point.')
    point = backend.access_points.get(access_point)
    if point is None or point.file_system_id != file_system:
        raise MountRefused(f"mount.nfs4: access denied by server: {file_system} has no access point {access_point}.")
    if path.strip("/"):
        raise MountRefused("A path can't be given along with an access point, which has its own root directory.")
    root: dict[str, Any] = dict(point.root_directory)
    return Share(file_system, root.get("Path") or "/", create=bool(root.get("CreationInfo")))


def _lets_in(policy: str | None, *, anonymous: bool) -> bool:
    """Whether a file system's policy has somebody come in at all; without one everybody on the network may.
    https://docs.aws.amazon.com/efs/latest/ug/iam-access-control-nfs-efs.html"""
    statements = json.loads(policy or "{}").get("Statement", [])
    allowed = [one["Principal"] for one in statements if one["Effect"] == "Allow"]
    return not statements or any(not anonymous or one in ("*", {"AWS": "*"}) for one in allowed)


def _backends() -> list[EFSBackend]:
    return [backend for regions in list(efs_backends.values()) for backend in list(regions.values())]
