"""FSx for Lustre (terraform-provider-aws fsx_lustre_file_system.go, its 5.8x copy; SSD storage alone)."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from infra.sandbox.provider import tags
from infra.sandbox.provider.resources.base import Resource
from infra.sandbox.provider.resources.rules import arn
from infra.sandbox.provider.schema import Failure, ResourceType, Timeouts, flag, integer, names, text
from infra.sandbox.provider.session import Aws
from infra.sandbox.provider.values import UNKNOWN, Props
from infra.sandbox.provider.waits import Deadline, or_none, tolerating, until

GONE = "FileSystemNotFound"
LUSTRE = {
    "deploymentType": "DeploymentType",
    "perUnitStorageThroughput": "PerUnitStorageThroughput",
    "dataCompressionType": "DataCompressionType",
    "automaticBackupRetentionDays": "AutomaticBackupRetentionDays",
    "copyTagsToBackups": "CopyTagsToBackups",
    "weeklyMaintenanceStartTime": "WeeklyMaintenanceStartTime",
}
UPDATABLE = ("perUnitStorageThroughput", "dataCompressionType", "automaticBackupRetentionDays")


def _rules(inputs: Props) -> list[Failure]:
    gib, throughput = inputs.get("storageCapacity"), inputs.get("perUnitStorageThroughput")
    found = []
    if isinstance(gib, int | float) and gib < 1200:
        found.append(("storageCapacity", f"expected storage_capacity to be at least (1200), got {gib:.0f}"))
    if throughput not in (None, UNKNOWN, 12, 40, 50, 100, 125, 200, 250, 500, 1000):
        found.append(("perUnitStorageThroughput", f"expected per_unit_storage_throughput to be offered: {throughput}"))
    return found


class LustreFileSystem(Resource):
    service = "fsx"
    type = ResourceType(
        token="aws:fsx/lustreFileSystem:LustreFileSystem",
        inputs={
            # A list of exactly one, which the bridge flattens.
            "subnetIds": text(required=True, force_new=True),
            "storageCapacity": integer(),
            "deploymentType": text(
                default="SCRATCH_1", force_new=True, enum=("SCRATCH_1", "SCRATCH_2", "PERSISTENT_1", "PERSISTENT_2")
            ),
            "storageType": text(default="SSD", force_new=True, enum=("SSD", "HDD", "INTELLIGENT_TIERING")),
            "perUnitStorageThroughput": integer(),
            "dataCompressionType": text(default="NONE", enum=("NONE", "LZ4")),
            "fileSystemTypeVersion": text(computed=True, enum=("2.10", "2.12", "2.15")),
            # AWS doesn't tell them: an import has none.
            "securityGroupIds": names(force_new=True, read_back=False),
            "kmsKeyId": text(computed=True, force_new=True, check=arn),
            "automaticBackupRetentionDays": integer(computed=True, bounds=(0, 90)),
            "copyTagsToBackups": flag(default=False, force_new=True),
            "skipFinalBackup": flag(default=True, read_back=False),
            "weeklyMaintenanceStartTime": text(computed=True),
        },
        outputs=("arn", "dnsName", "mountName", "networkInterfaceIds", "ownerId", "vpcId"),
        elsewhere=(
            "autoImportPolicy",
            "backupId",
            "dailyAutomaticBackupStartTime",
            "dataReadCacheConfiguration",
            "driveCacheType",
            "efaEnabled",
            "exportPath",
            "finalBackupTags",
            "importPath",
            "importedFileChunkSize",
            "logConfiguration",
            "metadataConfiguration",
            "rootSquashConfiguration",
            "throughputCapacity",
        ),
        tagged=True,
        timeouts=Timeouts(create=1800, update=1800, delete=1800),
        validate=_rules,
    )

    def create(self, aws: Aws, inputs: Props, deadline: Deadline) -> str:
        sent: dict[str, Any] = {
            "StorageCapacity": int(inputs["storageCapacity"]),
            "StorageType": inputs["storageType"],
            "SubnetIds": [inputs["subnetIds"]],
        }
        for key, name in (
            ("securityGroupIds", "SecurityGroupIds"),
            ("kmsKeyId", "KmsKeyId"),
            ("fileSystemTypeVersion", "FileSystemTypeVersion"),
        ):
            if inputs.get(key):
                sent[name] = inputs[key]
        if inputs["tagsAll"]:  # an empty list is refused
            sent["Tags"] = tags.to_aws(inputs["tagsAll"])
        made = self.client(aws, inputs).create_file_system(
            ClientRequestToken=str(uuid.uuid4()),
            FileSystemType="LUSTRE",
            LustreConfiguration=_lustre(inputs, LUSTRE),
            **sent,
        )
        return str(made["FileSystem"]["FileSystemId"])

    def settle(self, aws: Aws, id: str, inputs: Props, deadline: Deadline) -> None:
        self._available(self.client(aws, inputs), id, deadline)

    def read(self, aws: Aws, id: str, known: Props) -> Props | None:
        found = self._found(self.client(aws, known), id)
        if found is None:
            return None
        lustre = found["LustreConfiguration"]
        return {
            "arn": found["ResourceARN"],
            "dnsName": found["DNSName"],
            "mountName": lustre.get("MountName", ""),
            "networkInterfaceIds": found.get("NetworkInterfaceIds", []),
            "ownerId": found.get("OwnerId", ""),
            "vpcId": found.get("VpcId", ""),
            "subnetIds": found["SubnetIds"][0],
            "storageCapacity": found["StorageCapacity"],
            "storageType": found.get("StorageType", "SSD"),
            "fileSystemTypeVersion": found.get("FileSystemTypeVersion", ""),
            "kmsKeyId": found.get("KmsKeyId") or "",
            **{key: lustre.get(name) for key, name in LUSTRE.items()},
            "tagsAll": tags.from_aws(found.get("Tags")),
        }

    def update(self, aws: Aws, id: str, old: Props, new: Props, changed: frozenset[str], deadline: Deadline) -> None:
        sent: dict[str, Any] = {}
        if "storageCapacity" in changed:
            sent["StorageCapacity"] = int(new["storageCapacity"])
        if lustre := _lustre(new, {key: LUSTRE[key] for key in UPDATABLE if key in changed}):
            sent["LustreConfiguration"] = lustre
        if sent:
            fsx = self.client(aws, new)
            fsx.update_file_system(FileSystemId=id, **sent)
            self._available(fsx, id, deadline)

    def replaces(self, aws: Aws, old: Props, new: Props, changed: frozenset[str]) -> set[str]:
        """A file system only grows; versions only rise."""
        found = set()
        if "storageCapacity" in changed and UNKNOWN not in (old.get("storageCapacity"), new.get("storageCapacity")):
            shrinks = (new.get("storageCapacity") or 0) < (old.get("storageCapacity") or 0)
            found |= {"storageCapacity"} if shrinks or new.get("deploymentType") == "SCRATCH_1" else set()
        if "fileSystemTypeVersion" in changed:
            before, after = (str(state.get("fileSystemTypeVersion") or "0.0") for state in (old, new))
            if [int(part) for part in after.split(".")] < [int(part) for part in before.split(".")]:
                found.add("fileSystemTypeVersion")
        return found

    def delete(self, aws: Aws, id: str, state: Props, deadline: Deadline) -> None:
        fsx = self.client(aws, state)
        with tolerating(GONE):
            fsx.delete_file_system(FileSystemId=id)
            until(lambda: self._found(fsx, id) is None, deadline, f"FSx for Lustre File System ({id}) delete")

    def tag(self, aws: Aws, id: str, state: Props, added: Mapping[str, str], removed: list[str]) -> None:
        fsx = self.client(aws, state)
        if removed:
            fsx.untag_resource(ResourceARN=state["arn"], TagKeys=removed)
        if added:
            fsx.tag_resource(ResourceARN=state["arn"], Tags=tags.to_aws(added))

    def _available(self, fsx: Any, id: str, deadline: Deadline) -> None:
        until(
            lambda: (self._found(fsx, id) or {}).get("Lifecycle") == "AVAILABLE",
            deadline,
            f"FSx for Lustre File System ({id}) to become available",
        )

    def _found(self, fsx: Any, id: str) -> Any:
        answer = or_none(lambda: fsx.describe_file_systems(FileSystemIds=[id]), GONE)
        found = [each for each in (answer or {}).get("FileSystems", []) if each["FileSystemType"] == "LUSTRE"]
        return found[0] if found else None


def _lustre(inputs: Props, keys: Mapping[str, str]) -> dict[str, Any]:
    """0 is no throughput, and no retention."""
    return {name: inputs[key] for key, name in keys.items() if inputs.get(key)}
