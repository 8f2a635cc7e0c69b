"""The machines: N alike, each with its rank in its name, so that an update never renumbers them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import pulumi
import pulumi_aws as aws

from infra.settings import show_duration

RANK_TAG = "swift-fleet:rank"
#: How long the node lives from its launch on, "4h": by it a sweep knows what is past its time, whoever made it.
LIFETIME_TAG = "swift-fleet:lifetime"


@dataclass
class NodesArgs:
    """ami_is_given: false where the image is AWS's newest, which must not replace a running fleet."""

    count: int
    lifetime: timedelta
    instance_type: str
    ami: pulumi.Input[str]
    ami_is_given: bool
    subnet_id: pulumi.Input[str]
    security_group_id: pulumi.Input[str]
    key_name: pulumi.Input[str]
    instance_profile: pulumi.Input[str]
    user_data: pulumi.Input[str]
    root_volume_gib: int
    public_addresses: bool
    tags: Mapping[str, str]
    after: Sequence[pulumi.Resource] = ()


class Nodes(pulumi.ComponentResource):
    """`instances` in order of rank."""

    instances: list[aws.ec2.Instance]

    def __init__(self, name: str, args: NodesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("swift-fleet:infra:Nodes", name, {}, opts)
        self.instances = [self._node(name, rank, args) for rank in range(args.count)]
        self.register_outputs({"instance_ids": [node.id for node in self.instances]})

    def _node(self, fleet: str, rank: int, args: NodesArgs) -> aws.ec2.Instance:
        name = node_name(rank)
        tags = {**args.tags, "Name": f"{fleet}-{name}", RANK_TAG: str(rank)}
        # see docs/decisions/004: changed set-up reaches a node that is made, not one that trains; nor does a changed
        # lifetime, and `fleet extend` writes the tag
        ignored = ["userData", f'tags["{LIFETIME_TAG}"]']
        return aws.ec2.Instance(
            name,
            ami=args.ami,
            instance_type=args.instance_type,
            subnet_id=args.subnet_id,
            vpc_security_group_ids=[args.security_group_id],
            associate_public_ip_address=args.public_addresses,
            key_name=args.key_name,
            iam_instance_profile=args.instance_profile,
            user_data=args.user_data,
            # With this, a node that shuts itself down is gone, disk and bill: the lease rests on it.
            instance_initiated_shutdown_behavior="terminate",
            metadata_options={
                "http_endpoint": "enabled",
                "http_tokens": "required",
                "http_put_response_hop_limit": 1,
            },
            root_block_device={
                "encrypted": True,
                "volume_type": "gp3",
                "volume_size": args.root_volume_gib,
                "delete_on_termination": True,
            },
            tags={**tags, LIFETIME_TAG: show_duration(args.lifetime)},
            volume_tags=tags,
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=list(args.after),
                ignore_changes=ignored if args.ami_is_given else [*ignored, "ami"],
            ),
        )


def fleet_name(stack: str) -> str:
    """Begins every name that AWS shows: by it and the stack's tag a person finds what is theirs."""
    return f"fleet-{stack}"


def node_name(rank: int) -> str:
    return f"node-{rank:03d}"
