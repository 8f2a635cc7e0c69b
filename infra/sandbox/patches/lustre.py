"""FSx for Lustre: moto keeps what it was given, and knows neither states, mount names nor what AWS refuses.
https://docs.aws.amazon.com/fsx/latest/APIReference/API_CreateFileSystem.html
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Sequence
from typing import Any

from moto.core.exceptions import JsonRESTError
from moto.ec2.models import ec2_backends
from moto.ec2.models.instances import Instance
from moto.fsx.models import FileSystem, FSxBackend, fsx_backends
from moto.fsx.responses import FSxResponse

from infra.sandbox.patches.hook import replace
from infra.sandbox.patches.storage import MountRefused, Share

_create, _describe, _shown = FSxBackend.create_file_system, FSxBackend.describe_file_systems, FileSystem.to_dict
PORT = 988
THROUGHPUTS = {"PERSISTENT_1": (50, 100, 200), "PERSISTENT_2": (125, 250, 500, 1000)}


def install() -> None:
    replace(FSxBackend, "create_file_system", create_file_system)
    replace(FSxBackend, "describe_file_systems", describe_file_systems)
    replace(FSxResponse, "update_file_system", update_file_system)
    replace(FileSystem, "to_dict", to_dict)


def create_file_system(self: FSxBackend, **asked: Any) -> FileSystem:
    """AVAILABLE at once: AWS takes about ten minutes."""
    subnets, groups = asked["subnet_ids"] or [], asked["security_group_ids"] or []
    ec2 = ec2_backends[self.account_id][self.region_name]
    if asked["file_system_type"] == "LUSTRE":
        _check(asked["storage_capacity"], asked["lustre_configuration"] or {}, subnets)
        _open(ec2, groups)
    made = _create(self, **asked)
    del self.file_systems[made.file_system_id]
    tags = asked["tags"] or []
    identity = f"fs-{secrets.token_hex(9)[:17]}"
    made.dns_name = made.dns_name.replace(made.file_system_id, identity)
    made.resource_arn = made.resource_arn.replace(made.file_system_id, identity)
    made.file_system_id = identity
    self.tagger.tag_resource(made.resource_arn, tags)
    found: Any = made
    found.vpc_id = ec2.get_subnet(subnets[0]).vpc_id
    found.created, found.mount_name = time.time(), secrets.token_hex(4)
    found.version = asked["file_system_type_version"] or "2.10"
    self.file_systems[identity] = made
    return made


def _check(gib: int | None, lustre: dict[str, Any], subnets: Sequence[str]) -> None:
    deployment = lustre.get("DeploymentType", "SCRATCH_1")
    if len(subnets) != 1:
        raise JsonRESTError("BadRequest", "Lustre file systems require exactly one subnet ID.")
    if not gib or (gib != 1200 and gib % 2400):
        message = f"File system type {deployment} must have a storage capacity of 1200 GiB or a multiple of 2400 GiB."
        raise JsonRESTError("BadRequest", message)
    throughput, offered = lustre.get("PerUnitStorageThroughput"), THROUGHPUTS.get(deployment)
    if offered and throughput not in offered:
        message = f"Per unit storage throughput must be one of {', '.join(map(str, offered))} for {deployment}."
        raise JsonRESTError("InvalidPerUnitStorageThroughput", message)
    if throughput and not offered:
        raise JsonRESTError("BadRequest", f"Per unit storage throughput is not supported with {deployment}.")


def _open(ec2: Any, groups: Sequence[str]) -> None:
    """The servers speak to one another through the groups that they are in."""
    for identity in groups:
        group = ec2.get_security_group_from_id(identity)
        if group is None:
            raise JsonRESTError("InvalidNetworkSettings", f"The security group ID '{identity}' does not exist.")
        if any(_lets_in(rule, identity) for rule in group.ingress_rules):
            return
    message = (
        "The file system cannot be created because the provided security groups do not permit Lustre LNET network "
        f"traffic on port {PORT}"
    )
    raise JsonRESTError("InvalidNetworkSettings", message)


def _lets_in(rule: Any, group: str) -> bool:
    ports = rule.ip_protocol == "-1" or (rule.ip_protocol == "tcp" and rule.from_port <= PORT <= rule.to_port)
    return bool(ports and rule.source_group.get("GroupId") == group)


def describe_file_systems(self: FSxBackend, file_system_ids: list[str] | None, **page: Any) -> Any:
    for identity in file_system_ids or []:
        if identity not in self.file_systems:
            raise JsonRESTError("FileSystemNotFound", f"File system '{identity}' does not exist.")
    return _describe(self, file_system_ids=file_system_ids, **page)


def to_dict(self: FileSystem) -> dict[str, Any]:
    shown, made = _shown(self), self.__dict__
    shown.pop("SecurityGroupIds", None)  # AWS doesn't tell them
    shown |= {
        "Lifecycle": "AVAILABLE",
        "CreationTime": made["created"],
        "OwnerId": self.backend.account_id,
        "VpcId": made["vpc_id"],
        "NetworkInterfaceIds": [],
        "FileSystemTypeVersion": made["version"],
        "StorageType": self.storage_type or "SSD",
    }
    if self.file_system_type == "LUSTRE":
        shown["LustreConfiguration"] = {
            "DeploymentType": "SCRATCH_1",
            "DataCompressionType": "NONE",
            "CopyTagsToBackups": False,
            "AutomaticBackupRetentionDays": 0,
            "WeeklyMaintenanceStartTime": "1:06:00",
            **(self.lustre_configuration or {}),
            "MountName": made["mount_name"],
        }
    return shown


def update_file_system(self: FSxResponse) -> str:
    """https://docs.aws.amazon.com/fsx/latest/APIReference/API_UpdateFileSystem.html"""
    asked = json.loads(self.body)
    (found,), _ = self.fsx_backend.describe_file_systems(
        file_system_ids=[asked["FileSystemId"]], max_results=None, next_token=None
    )
    if gib := asked.get("StorageCapacity"):
        if gib <= found.storage_capacity or gib % 2400:
            raise JsonRESTError("BadRequest", "Storage capacity must grow, to a multiple of 2400 GiB.")
        found.storage_capacity = gib
    if lustre := asked.get("LustreConfiguration"):
        found.lustre_configuration = (found.lustre_configuration or {}) | lustre
    return json.dumps({"FileSystem": found.to_dict()})


def file_systems() -> set[str]:
    return {identity for backend in _backends() for identity in backend.file_systems}


def share(instance: Instance, file_system: str, path: str) -> Share:
    """What mount.lustre would find at `MOUNT/FOLDER`, or its refusal."""
    found: Any = next((b.file_systems[file_system] for b in _backends() if file_system in b.file_systems), None)
    if found is None or found.vpc_id != instance.vpc_id:
        raise MountRefused(f"mount.lustre: Can't parse NID '{file_system}': no such host in this VPC.")
    mount, _, folder = path.strip("/").partition("/")
    if mount != found.mount_name:
        message = (
            "mount.lustre: mount failed: Invalid argument. This may have multiple causes. Is '%s' the correct one?"
        )
        raise MountRefused(message % mount)
    return Share(file_system, f"/{folder}", create=False)


def _backends() -> list[FSxBackend]:
    return [backend for regions in list(fsx_backends.values()) for backend in list(regions.values())]
