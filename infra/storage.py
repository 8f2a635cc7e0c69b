"""Files that every node sees as one folder: EFS, encrypted on the wire and, where it is the stack's own, at rest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.files import ExistingFiles
from infra.tags import KEPT_TAG

#: The access point acts as this user whoever writes, so that no node's numbering matters (1000: ec2-user, ubuntu).
OWNER = 1000
MOUNT = ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"]


@dataclass
class StorageArgs:
    """nodes_group_id: the security group that may mount; role_arn, role_name: the role that may, over TLS, and no
    other. Without a role whoever is in that group may, over TLS.

    existing: taken up; where it is somebody's, its policy stays as it is. retain: the stack's own outlives the stack.
    """

    vpc_id: pulumi.Input[str]
    subnet_id: pulumi.Input[str]
    nodes_group_id: pulumi.Input[str]
    role_arn: pulumi.Input[str] | None
    role_name: pulumi.Input[str] | None
    tags: Mapping[str, str]
    existing: ExistingFiles | None = None
    retain: bool = False


class Storage(pulumi.ComponentResource):
    """`file_system_id`; `share`: what a node mounts, "fs-...:fsap-..."; `ready`: the mount target and rights, without
    which a mount fails."""

    file_system_id: pulumi.Input[str]
    share: pulumi.Output[str]

    def __init__(self, name: str, args: StorageArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("swift-fleet:infra:Storage", name, {}, opts)
        self.ready: list[pulumi.Resource] = []
        tags = {"Name": name, **args.tags}
        if args.existing and not args.existing.own:
            self.file_system_id = args.existing.id
            point = self._access_point(tags)
            if args.role_name:
                self._right(args.existing.arn, point, args.role_name)
        else:
            files = self._file_system(args, tags)
            self.file_system_id = files.id
            point = self._access_point(tags)
            self._policy(files, point, args.role_arn)
        if args.existing is None or args.existing.target:
            self._mount_target(args, tags, after=point)
        self.share = pulumi.Output.concat(self.file_system_id, ":", point.id)
        self.register_outputs({"file_system_id": self.file_system_id, "share": self.share})

    def _file_system(self, args: StorageArgs, tags: Mapping[str, str]) -> aws.efs.FileSystem:
        return aws.efs.FileSystem(
            "files",
            encrypted=True,
            # bursting, AWS's default, starves a checkpoint: writes of 1-5 GiB/s need elastic (EFS guide, performance)
            throughput_mode="elastic",
            tags={**tags, KEPT_TAG: "true"} if args.retain else tags,
            opts=pulumi.ResourceOptions(
                parent=self,
                retain_on_delete=args.retain,
                # Of a file system that is in the state already the engine takes no notice of it.
                import_=args.existing.id if args.existing else None,
                # The provider makes up another token for an import, and another token would be another file system.
                ignore_changes=["creationToken"],
            ),
        )

    def _access_point(self, tags: Mapping[str, str]) -> aws.efs.AccessPoint:
        return aws.efs.AccessPoint(
            "files-point",
            file_system_id=self.file_system_id,
            posix_user={"uid": OWNER, "gid": OWNER},
            root_directory={
                "path": "/fleet",
                "creation_info": {"owner_uid": OWNER, "owner_gid": OWNER, "permissions": "0750"},
            },
            tags=tags,
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _mount_target(self, args: StorageArgs, tags: Mapping[str, str], after: pulumi.Resource) -> None:
        """after: the access point, whose tag tells a sweep where to look for the target, which can have none."""
        mine = pulumi.ResourceOptions(parent=self)
        group = aws.ec2.SecurityGroup(
            "files-access",
            description="swift-fleet shared files: NFS from the nodes",
            vpc_id=args.vpc_id,
            tags=tags,
            opts=mine,
        )
        rule = aws.vpc.SecurityGroupIngressRule(
            "nfs",
            security_group_id=group.id,
            ip_protocol="tcp",
            from_port=2049,
            to_port=2049,
            referenced_security_group_id=args.nodes_group_id,
            description="swift-fleet nfs",
            tags=dict(args.tags),
            opts=mine,
        )
        target = aws.efs.MountTarget(
            "files-target",
            file_system_id=self.file_system_id,
            subnet_id=args.subnet_id,
            security_groups=[group.id],
            opts=pulumi.ResourceOptions(parent=self, depends_on=[after]),
        )
        self.ready += [target, rule]

    def _policy(
        self, files: aws.efs.FileSystem, point: aws.efs.AccessPoint, role_arn: pulumi.Input[str] | None
    ) -> None:
        policy = aws.efs.FileSystemPolicy(
            "files-policy",
            file_system_id=files.id,
            policy=pulumi.Output.all(files.arn, point.arn, role_arn).apply(lambda arns: _policy(*arns)),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.ready.append(policy)

    def _right(self, file_system_arn: str, point: aws.efs.AccessPoint, role_name: pulumi.Input[str]) -> None:
        """The nodes' right to mount, should the file system's own policy leave it to the account's roles."""
        right = aws.iam.RolePolicy(
            "files-right",
            role=role_name,
            policy=point.arn.apply(lambda arn: _right_to_mount(file_system_arn, arn)),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.ready.append(right)


def _right_to_mount(file_system_arn: str, access_point_arn: str) -> str:
    statement = {
        "Effect": "Allow",
        "Action": MOUNT,
        "Resource": file_system_arn,
        "Condition": {"StringEquals": {"elasticfilesystem:AccessPointArn": access_point_arn}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def _policy(file_system_arn: str, access_point_arn: str, role_arn: str | None) -> str:
    """Only the fleet's role, only through its access point, only over TLS (EFS guide, IAM for NFS clients).

    Without a role: anybody whom the mount target's security group lets in, so the fleet's nodes; else the same.
    """
    condition: dict[str, dict[str, str]] = {"StringEquals": {"elasticfilesystem:AccessPointArn": access_point_arn}}
    if role_arn is None:
        condition["Bool"] = {"elasticfilesystem:AccessedViaMountTarget": "true"}
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Sid": "OnlyOverTls",
                    "Effect": "Deny",
                    "Principal": {"AWS": "*"},
                    "Action": "*",
                    "Resource": file_system_arn,
                    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                },
                {
                    "Sid": "TheFleetThroughItsAccessPoint",
                    "Effect": "Allow",
                    "Principal": {"AWS": role_arn or "*"},
                    "Action": MOUNT,
                    "Resource": file_system_arn,
                    "Condition": condition,
                },
            ],
        }
    )
