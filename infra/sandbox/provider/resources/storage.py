"""EFS: file systems and mount targets."""

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
    blocks,
    flag,
    names,
    number,
    text,
)
from infra.sandbox.provider.session import Aws
from infra.sandbox.provider.values import Props
from infra.sandbox.provider.waits import Deadline, or_none, tolerating, until

# Fixed in terraform-provider-aws efs/file_system.go and access_point.go: customTimeouts have no effect.
FIXED_WAIT = 600
NO_FILE_SYSTEM = "FileSystemNotFound"
TRANSITIONS = {
    "transitionToIa": "TransitionToIA",
    "transitionToArchive": "TransitionToArchive",
    "transitionToPrimaryStorageClass": "TransitionToPrimaryStorageClass",
}


class Efs(Resource):
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


class FileSystem(Efs):
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


class MountTarget(Efs):
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
