"""EFS: file systems, mount targets, access points, file-system policies."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from infra.sandbox.provider import tags
from infra.sandbox.provider.resources.base import Resource
from infra.sandbox.provider.resources.rules import arn, ipv4_address
from infra.sandbox.provider.schema import (
    Autoname,
    Failure,
    ResourceType,
    Timeouts,
    block,
    blocks,
    document,
    flag,
    integer,
    names,
    number,
    strings,
    text,
)
from infra.sandbox.provider.session import Aws
from infra.sandbox.provider.values import Props
from infra.sandbox.provider.waits import Deadline, or_none, retrying, tolerating, until

# Fixed in terraform-provider-aws efs/file_system.go and access_point.go: customTimeouts have no effect.
FIXED_WAIT = 600
NO_FILE_SYSTEM = "FileSystemNotFound"
TRANSITIONS = {
    "transitionToIa": "TransitionToIA",
    "transitionToArchive": "TransitionToArchive",
    "transitionToPrimaryStorageClass": "TransitionToPrimaryStorageClass",
}


class _Efs(Resource):
    service = "efs"

    def tag(self, aws: Aws, id: str, state: Props, added: Mapping[str, str], removed: list[str]) -> None:
        efs = self.client(aws, state)
        if removed:
            efs.untag_resource(ResourceId=id, TagKeys=removed)
        if added:
            efs.tag_resource(ResourceId=id, Tags=tags.to_aws(added))

    def dns_name(self, aws: Aws, file_system: str, known: Props) -> str:
        return f"{file_system}.efs.{known.get('region') or aws.region}.{aws.dns_suffix}"


def _file_system_rules(inputs: Props) -> list[Failure]:
    if inputs.get("kmsKeyId") and not inputs.get("encrypted"):
        return [("kmsKeyId", "encrypted must be set to true when kmsKeyId is specified")]
    return []


class FileSystem(_Efs):
    type = ResourceType(
        token="aws:efs/fileSystem:FileSystem",
        inputs={
            "creationToken": text(computed=True, force_new=True, length=(0, 64)),
            "encrypted": flag(computed=True, force_new=True),
            "kmsKeyId": text(computed=True, force_new=True, check=arn),
            "performanceMode": text(computed=True, force_new=True, enum=("generalPurpose", "maxIO")),
            "throughputMode": text(default="bursting", enum=("bursting", "elastic", "provisioned")),
            "provisionedThroughputInMibps": number(),
            "availabilityZoneName": text(computed=True, force_new=True),
            "lifecyclePolicies": blocks({key: text() for key in TRANSITIONS}),
        },
        outputs=("arn", "dnsName", "availabilityZoneId", "name", "numberOfMountTargets", "ownerId", "sizeInBytes"),
        elsewhere=("protection",),
        autoname=Autoname("creationToken", longest=64),
        tagged=True,
        validate=_file_system_rules,
    )

    def create(self, aws: Aws, inputs: Props, deadline: Deadline) -> str:
        sent: dict[str, Any] = {"CreationToken": inputs["creationToken"], "ThroughputMode": inputs["throughputMode"]}
        if inputs.get("encrypted"):
            sent["Encrypted"] = True
        for key, name in (
            ("kmsKeyId", "KmsKeyId"),
            ("performanceMode", "PerformanceMode"),
            ("availabilityZoneName", "AvailabilityZoneName"),
        ):
            if inputs.get(key):
                sent[name] = inputs[key]
        if inputs["throughputMode"] == "provisioned" and "provisionedThroughputInMibps" in inputs:
            sent["ProvisionedThroughputInMibps"] = inputs["provisionedThroughputInMibps"]
        made = self.client(aws, inputs).create_file_system(Tags=tags.to_aws(inputs["tagsAll"]), **sent)
        return str(made["FileSystemId"])

    def settle(self, aws: Aws, id: str, inputs: Props, deadline: Deadline) -> None:
        efs = self.client(aws, inputs)
        self._available(efs, id, deadline)
        if inputs.get("lifecyclePolicies"):
            self._put_lifecycle(efs, id, inputs)

    def read(self, aws: Aws, id: str, known: Props) -> Props | None:
        efs = self.client(aws, known)
        found = self._found(efs, id)
        if found is None:
            return None
        policies = efs.describe_lifecycle_configuration(FileSystemId=id).get("LifecyclePolicies", [])
        size = found.get("SizeInBytes", {})
        return {
            "arn": found["FileSystemArn"],
            "creationToken": found["CreationToken"],
            "encrypted": bool(found.get("Encrypted")),
            "kmsKeyId": found.get("KmsKeyId") or "",
            "performanceMode": found.get("PerformanceMode", "generalPurpose"),
            "throughputMode": found.get("ThroughputMode", "bursting"),
            "provisionedThroughputInMibps": found.get("ProvisionedThroughputInMibps"),
            "availabilityZoneName": found.get("AvailabilityZoneName") or "",
            "availabilityZoneId": found.get("AvailabilityZoneId") or "",
            "dnsName": self.dns_name(aws, id, known),
            "name": found.get("Name") or "",
            "numberOfMountTargets": found.get("NumberOfMountTargets", 0),
            "ownerId": found.get("OwnerId", ""),
            "sizeInBytes": [
                {
                    "value": size.get("Value", 0),
                    "valueInIa": size.get("ValueInIA", 0),
                    "valueInStandard": size.get("ValueInStandard", 0),
                }
            ],
            "lifecyclePolicies": [
                {key: policy[name] for key, name in TRANSITIONS.items() if policy.get(name)} for policy in policies
            ],
            "tagsAll": tags.from_aws(found.get("Tags")),
        }

    def update(self, aws: Aws, id: str, old: Props, new: Props, changed: frozenset[str], deadline: Deadline) -> None:
        efs = self.client(aws, new)
        if {"throughputMode", "provisionedThroughputInMibps"} & changed:
            sent: dict[str, Any] = {"ThroughputMode": new["throughputMode"]}
            if new["throughputMode"] == "provisioned":
                sent["ProvisionedThroughputInMibps"] = new["provisionedThroughputInMibps"]
            efs.update_file_system(FileSystemId=id, **sent)
            self._available(efs, id, deadline)
        if "lifecyclePolicies" in changed:
            self._put_lifecycle(efs, id, new)

    def delete(self, aws: Aws, id: str, state: Props, deadline: Deadline) -> None:
        efs = self.client(aws, state)
        with tolerating(NO_FILE_SYSTEM):
            efs.delete_file_system(FileSystemId=id)
            until(
                lambda: self._found(efs, id) is None, deadline.fixed(FIXED_WAIT), f"EFS file system ({id}) to be gone"
            )

    def _available(self, efs: Any, id: str, deadline: Deadline) -> None:
        until(
            lambda: (self._found(efs, id) or {}).get("LifeCycleState") == "available",
            deadline.fixed(FIXED_WAIT),
            f"EFS file system ({id}) to become available",
        )

    def _put_lifecycle(self, efs: Any, id: str, inputs: Props) -> None:
        policies = [
            {TRANSITIONS[key]: value for key, value in policy.items()} for policy in inputs.get("lifecyclePolicies", [])
        ]
        efs.put_lifecycle_configuration(FileSystemId=id, LifecyclePolicies=policies)

    def _found(self, efs: Any, id: str) -> Any:
        answer = or_none(lambda: efs.describe_file_systems(FileSystemId=id), NO_FILE_SYSTEM)
        found = [each for each in (answer or {}).get("FileSystems", []) if each["LifeCycleState"] != "deleted"]
        return found[0] if found else None


class MountTarget(_Efs):
    type = ResourceType(
        token="aws:efs/mountTarget:MountTarget",
        inputs={
            "fileSystemId": text(required=True, force_new=True),
            "subnetId": text(required=True, force_new=True),
            "securityGroups": names(computed=True),
            "ipAddress": text(computed=True, force_new=True, check=ipv4_address),
        },
        outputs=(
            "dnsName",
            "mountTargetDnsName",
            "availabilityZoneId",
            "availabilityZoneName",
            "fileSystemArn",
            "networkInterfaceId",
            "ownerId",
        ),
        elsewhere=("ipAddressType", "ipv6Address"),
        delete_before_replace=True,
        timeouts=Timeouts(create=1800, delete=600),
    )
    # AWS takes one creation at a time per file system; the published provider serialises them too.
    _creating = threading.Lock()

    def create(self, aws: Aws, inputs: Props, deadline: Deadline) -> str:
        sent = {"FileSystemId": inputs["fileSystemId"], "SubnetId": inputs["subnetId"]}
        if inputs.get("ipAddress"):
            sent["IpAddress"] = inputs["ipAddress"]
        if inputs.get("securityGroups"):
            sent["SecurityGroups"] = inputs["securityGroups"]
        with self._creating:
            made = self.client(aws, inputs).create_mount_target(**sent)
        return str(made["MountTargetId"])

    def settle(self, aws: Aws, id: str, inputs: Props, deadline: Deadline) -> None:
        efs = self.client(aws, inputs)
        until(
            lambda: (self._found(efs, id) or {}).get("LifeCycleState") == "available",
            deadline,
            f"EFS mount target ({id}) to become available",
        )

    def read(self, aws: Aws, id: str, known: Props) -> Props | None:
        efs = self.client(aws, known)
        found = self._found(efs, id)
        if found is None:
            return None
        system, zone = found["FileSystemId"], found.get("AvailabilityZoneName", "")
        dns = self.dns_name(aws, system, known)
        return {
            "fileSystemId": system,
            "subnetId": found["SubnetId"],
            "ipAddress": found.get("IpAddress", ""),
            "securityGroups": efs.describe_mount_target_security_groups(MountTargetId=id)["SecurityGroups"],
            "availabilityZoneId": found.get("AvailabilityZoneId", ""),
            "availabilityZoneName": zone,
            "networkInterfaceId": found.get("NetworkInterfaceId", ""),
            "ownerId": found.get("OwnerId", ""),
            "fileSystemArn": aws.arn("elasticfilesystem", f"file-system/{system}", known.get("region", "")),
            "dnsName": dns,
            "mountTargetDnsName": f"{zone}.{dns}",
        }

    def update(self, aws: Aws, id: str, old: Props, new: Props, changed: frozenset[str], deadline: Deadline) -> None:
        if "securityGroups" in changed:
            self.client(aws, new).modify_mount_target_security_groups(
                MountTargetId=id, SecurityGroups=new["securityGroups"]
            )

    def delete(self, aws: Aws, id: str, state: Props, deadline: Deadline) -> None:
        efs = self.client(aws, state)
        with tolerating("MountTargetNotFound"):
            efs.delete_mount_target(MountTargetId=id)
            until(lambda: self._found(efs, id) is None, deadline, f"EFS mount target ({id}) to be gone")

    def _found(self, efs: Any, id: str) -> Any:
        answer = or_none(lambda: efs.describe_mount_targets(MountTargetId=id), "MountTargetNotFound")
        found = [each for each in (answer or {}).get("MountTargets", []) if each["LifeCycleState"] != "deleted"]
        return found[0] if found else None


class AccessPoint(_Efs):
    type = ResourceType(
        token="aws:efs/accessPoint:AccessPoint",
        inputs={
            "fileSystemId": text(required=True, force_new=True),
            "posixUser": block(
                {"uid": integer(required=True), "gid": integer(required=True), "secondaryGids": strings()},
                force_new=True,
            ),
            "rootDirectory": block(
                {
                    "path": text(computed=True),
                    "creationInfo": block(
                        {
                            "ownerUid": integer(required=True),
                            "ownerGid": integer(required=True),
                            "permissions": text(required=True),
                        },
                        computed=True,
                    ),
                },
                computed=True,
                force_new=True,
            ),
        },
        outputs=("arn", "fileSystemArn", "ownerId"),
        tagged=True,
    )

    def create(self, aws: Aws, inputs: Props, deadline: Deadline) -> str:
        sent: dict[str, Any] = {"FileSystemId": inputs["fileSystemId"]}
        user, root = inputs.get("posixUser"), inputs.get("rootDirectory")
        if user:
            sent["PosixUser"] = {"Uid": user["uid"], "Gid": user["gid"]}
            if user.get("secondaryGids"):
                sent["PosixUser"]["SecondaryGids"] = [int(each) for each in user["secondaryGids"]]
        if root:
            sent["RootDirectory"] = {"Path": root["path"]} if root.get("path") else {}
            if root.get("creationInfo"):
                info = root["creationInfo"]
                sent["RootDirectory"]["CreationInfo"] = {
                    "OwnerUid": info["ownerUid"],
                    "OwnerGid": info["ownerGid"],
                    "Permissions": info["permissions"],
                }
        made = self.client(aws, inputs).create_access_point(Tags=tags.to_aws(inputs["tagsAll"]), **sent)
        return str(made["AccessPointId"])

    def settle(self, aws: Aws, id: str, inputs: Props, deadline: Deadline) -> None:
        efs = self.client(aws, inputs)
        until(
            lambda: (self._found(efs, id) or {}).get("LifeCycleState", "available") == "available",
            deadline.fixed(FIXED_WAIT),
            f"EFS access point ({id}) to become available",
        )

    def read(self, aws: Aws, id: str, known: Props) -> Props | None:
        found = self._found(self.client(aws, known), id)
        if found is None:
            return None
        system, user, root = found["FileSystemId"], found.get("PosixUser"), found.get("RootDirectory") or {}
        read: Props = {
            "arn": found["AccessPointArn"],
            "fileSystemId": system,
            "fileSystemArn": aws.arn("elasticfilesystem", f"file-system/{system}", known.get("region", "")),
            "ownerId": found.get("OwnerId", ""),
            "rootDirectory": {"path": root.get("Path", "/")},
            "tagsAll": tags.from_aws(found.get("Tags")),
        }
        if user:
            read["posixUser"] = {"uid": user["Uid"], "gid": user["Gid"]}
            if user.get("SecondaryGids"):
                read["posixUser"]["secondaryGids"] = [str(each) for each in user["SecondaryGids"]]
        if root.get("CreationInfo"):
            info = root["CreationInfo"]
            read["rootDirectory"]["creationInfo"] = {
                "ownerUid": info["OwnerUid"],
                "ownerGid": info["OwnerGid"],
                "permissions": info["Permissions"],
            }
        return read

    def delete(self, aws: Aws, id: str, state: Props, deadline: Deadline) -> None:
        efs = self.client(aws, state)
        with tolerating("AccessPointNotFound"):
            efs.delete_access_point(AccessPointId=id)
            until(
                lambda: self._found(efs, id) is None, deadline.fixed(FIXED_WAIT), f"EFS access point ({id}) to be gone"
            )

    def _found(self, efs: Any, id: str) -> Any:
        answer = or_none(lambda: efs.describe_access_points(AccessPointId=id), "AccessPointNotFound")
        found = [each for each in (answer or {}).get("AccessPoints", []) if each.get("LifeCycleState") != "deleted"]
        return found[0] if found else None


class FileSystemPolicy(_Efs):
    type = ResourceType(
        token="aws:efs/fileSystemPolicy:FileSystemPolicy",
        inputs={
            "fileSystemId": text(required=True, force_new=True),
            "policy": document(required=True),
            "bypassPolicyLockoutSafetyCheck": flag(default=False, read_back=False),
        },
    )
    gone = (NO_FILE_SYSTEM, "PolicyNotFound")

    def create(self, aws: Aws, inputs: Props, deadline: Deadline) -> str:
        self._put(aws, inputs, deadline)
        return str(inputs["fileSystemId"])

    def read(self, aws: Aws, id: str, known: Props) -> Props | None:
        efs = self.client(aws, known)
        answer = or_none(lambda: efs.describe_file_system_policy(FileSystemId=id), *self.gone)
        return {"fileSystemId": id, "policy": answer["Policy"]} if answer else None

    def update(self, aws: Aws, id: str, old: Props, new: Props, changed: frozenset[str], deadline: Deadline) -> None:
        if "policy" in changed:
            self._put(aws, new, deadline)

    def delete(self, aws: Aws, id: str, state: Props, deadline: Deadline) -> None:
        with tolerating(*self.gone):
            self.client(aws, state).delete_file_system_policy(FileSystemId=id)

    def _put(self, aws: Aws, inputs: Props, deadline: Deadline) -> None:
        efs = self.client(aws, inputs)
        retrying(
            lambda: efs.put_file_system_policy(
                FileSystemId=inputs["fileSystemId"],
                Policy=inputs["policy"],
                BypassPolicyLockoutSafetyCheck=bool(inputs.get("bypassPolicyLockoutSafetyCheck")),
            ),
            deadline,
            "InvalidPolicyException",
            saying="Policy contains invalid Principal block",
        )
