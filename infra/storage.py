"""Files that every node sees as one folder: EFS, encrypted at rest and on the wire."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

#: The access point acts as this user whoever writes, so that no node's numbering matters (1000: ec2-user, ubuntu).
OWNER = 1000


@dataclass
class StorageArgs:
    """nodes_group_id: the security group that may mount; role_arn: the role that may, over TLS, and no other.
    Without a role whoever is in that group may, over TLS."""

    vpc_id: pulumi.Input[str]
    subnet_id: pulumi.Input[str]
    nodes_group_id: pulumi.Input[str]
    role_arn: pulumi.Input[str] | None
    tags: Mapping[str, str]


class Storage(pulumi.ComponentResource):
    """`file_system_id`, `access_point_id`, and `ready`: the mount target, without which a mount fails."""

    file_system_id: pulumi.Output[str]
    access_point_id: pulumi.Output[str]

    def __init__(self, name: str, args: StorageArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("swift-fleet:infra:Storage", name, {}, opts)
        mine = pulumi.ResourceOptions(parent=self)
        tags = {"Name": name, **args.tags}
        files = aws.efs.FileSystem(
            "files",
            encrypted=True,
            # bursting, AWS's default, starves a checkpoint: writes of 1-5 GiB/s need elastic (EFS guide, performance)
            throughput_mode="elastic",
            tags=tags,
            opts=mine,
        )
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
            file_system_id=files.id,
            subnet_id=args.subnet_id,
            security_groups=[group.id],
            opts=mine,
        )
        point = aws.efs.AccessPoint(
            "files-point",
            file_system_id=files.id,
            posix_user={"uid": OWNER, "gid": OWNER},
            root_directory={
                "path": "/fleet",
                "creation_info": {"owner_uid": OWNER, "owner_gid": OWNER, "permissions": "0750"},
            },
            tags=tags,
            opts=mine,
        )
        policy = aws.efs.FileSystemPolicy(
            "files-policy",
            file_system_id=files.id,
            policy=pulumi.Output.all(files.arn, point.arn, args.role_arn).apply(lambda arns: _policy(*arns)),
            opts=mine,
        )
        self.file_system_id, self.access_point_id = files.id, point.id
        self.ready: list[pulumi.Resource] = [target, rule, policy]
        self.register_outputs({"file_system_id": files.id, "access_point_id": point.id})


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
                    "Action": ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"],
                    "Resource": file_system_arn,
                    "Condition": condition,
                },
            ],
        }
    )
