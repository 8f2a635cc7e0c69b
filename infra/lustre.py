"""Files that every node sees as one folder, from many servers at once: FSx for Lustre, which is always encrypted, on
the wire too from the machines that take part in that (FSx for Lustre guide, encryption).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.fsx import ExistingLustre
from infra.tags import KEPT_TAG

#: The newest, which every deployment has, and which Amazon Linux 2023's client speaks (FSx API reference).
VERSION = "2.15"


@dataclass
class LustreArgs:
    """group_id: the nodes' own security group, whose members may speak freely: the file servers join it (ports 988 and
    1018-1023 both ways, from one server to another too).

    after: the group's rules, without which AWS refuses the file system.
    throughput: MB/s a TiB, None where the deployment has one alone. existing: taken up; where it is somebody's, it is
    only mounted. retain: the stack's own outlives the stack.
    """

    subnet_id: pulumi.Input[str]
    group_id: pulumi.Input[str]
    gib: int
    deployment: str
    throughput: int | None
    tags: Mapping[str, str]
    after: Sequence[pulumi.Resource] = ()
    existing: ExistingLustre | None = None
    retain: bool = False


class Lustre(pulumi.ComponentResource):
    """`file_system_id`, `share`: what a node mounts, "fs-...amazonaws.com@tcp:/name", and `ready`, as of Storage."""

    file_system_id: pulumi.Input[str]
    share: pulumi.Output[str]

    def __init__(self, name: str, args: LustreArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("swift-fleet:infra:Lustre", name, {}, opts)
        self.ready: list[pulumi.Resource] = []
        if args.existing and not args.existing.own:
            self.file_system_id = args.existing.id
            self.share = pulumi.Output.from_input(f"{args.existing.dns_name}@tcp:/{args.existing.mount_name}")
        else:
            files = self._file_system(args, {"Name": name, **args.tags})
            self.file_system_id = files.id
            self.share = pulumi.Output.concat(files.dns_name, "@tcp:/", files.mount_name)
            self.ready.append(files)
        self.register_outputs({"file_system_id": self.file_system_id, "share": self.share})

    def _file_system(self, args: LustreArgs, tags: Mapping[str, str]) -> aws.fsx.LustreFileSystem:
        return aws.fsx.LustreFileSystem(
            "files",
            subnet_ids=args.subnet_id,
            security_group_ids=[args.group_id],
            storage_capacity=args.gib,
            deployment_type=args.deployment,
            per_unit_storage_throughput=args.throughput,
            file_system_type_version=VERSION,
            tags={**tags, KEPT_TAG: "true"} if args.retain else tags,
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=list(args.after),
                retain_on_delete=args.retain,
                # Of a file system that is in the state already the engine takes no notice of it.
                import_=args.existing.id if args.existing else None,
                # AWS doesn't tell them of one that exists (API reference), and others would be another file system.
                ignore_changes=["securityGroupIds"],
            ),
        )
