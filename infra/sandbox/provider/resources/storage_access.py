"""Who gets at an EFS file system, and how: access points and file-system policies."""

from __future__ import annotations

from typing import Any

from infra.sandbox.provider import tags
from infra.sandbox.provider.resources.storage import FIXED_WAIT, NO_FILE_SYSTEM, Efs
from infra.sandbox.provider.schema import (
    ResourceType,
    block,
    document,
    flag,
    integer,
    strings,
    text,
)
from infra.sandbox.provider.session import Aws
from infra.sandbox.provider.values import Props
from infra.sandbox.provider.waits import Deadline, or_none, retrying, tolerating, until


class AccessPoint(Efs):
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


class FileSystemPolicy(Efs):
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
