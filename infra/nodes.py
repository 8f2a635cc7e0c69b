"""The machines: N alike, each with its number in its name, so that an update never renumbers them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pulumi
import pulumi_aws as aws

from infra.durations import show_duration
from infra.fabric import Interface

#: Its number in the fleet, as in its name, for good; mostly its rank too (infra/ranks.py).
NODE_TAG = "swift-fleet:node"
#: How long the node lives from its launch on, "4h": by it a sweep knows what is past its time, whoever made it.
LIFETIME_TAG = "swift-fleet:lifetime"


@dataclass
class NodesArgs:
    """ami_is_given: false where nobody named the image; then it must not replace a running fleet.

    interfaces: of a node with EFA; none is one plain interface. launch: what binds a node to its room (`Capacity`).
    one_way_in: rank 0 gets an elastic address, the rest none.
    """

    count: int
    lifetime: timedelta
    instance_type: str
    ami: str
    ami_is_given: bool
    subnet_id: pulumi.Input[str]
    security_group_id: pulumi.Input[str]
    key_name: pulumi.Input[str]
    instance_profile: pulumi.Input[str] | None
    user_data: pulumi.Input[str]
    root_volume_gib: int
    public_addresses: bool
    tags: Mapping[str, str]
    interfaces: Sequence[Interface] = ()
    launch: Mapping[str, Any] = field(default_factory=dict)
    one_way_in: bool = False
    after: Sequence[pulumi.Resource] = ()


class Nodes(pulumi.ComponentResource):
    """`instances` and their `public_addresses`, None where there is none, in order of number."""

    instances: list[aws.ec2.Instance]
    public_addresses: list[pulumi.Output[str] | None]

    def __init__(self, name: str, args: NodesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("swift-fleet:infra:Nodes", name, {}, opts)
        wiring = self._wired(name, args) if args.interfaces else _plain(args)
        self.instances = [self._node(name, number, args, wiring) for number in range(args.count)]
        self.public_addresses = [node.public_ip for node in self.instances]
        if args.one_way_in:
            self.public_addresses = [self._way_in(name, args), *[None] * (args.count - 1)]
        self.register_outputs({"instance_ids": [node.id for node in self.instances]})

    def _wired(self, fleet: str, args: NodesArgs) -> dict[str, Any]:
        """Several cards, or an EFA, can be had by a launch template alone; it holds the wires and nothing else.

        Subnet and groups then stand on each interface and must not stand on the instance (EC2, RunInstances).
        """
        one = len(args.interfaces) == 1
        tags = {**args.tags, "Name": fleet}
        template = aws.ec2.LaunchTemplate(
            f"{fleet}-wires",
            description="swift-fleet: the network interfaces of a node",
            network_interfaces=[
                {
                    "network_card_index": each.card,
                    "device_index": each.device,
                    "interface_type": each.kind,
                    "subnet_id": args.subnet_id,
                    "security_groups": [args.security_group_id],
                    "delete_on_termination": "true",
                    # AWS gives no public address to a machine with several interfaces.
                    "associate_public_ip_address": str(args.public_addresses).lower() if one else None,
                }
                for each in args.interfaces
            ],
            tag_specifications=[{"resource_type": "network-interface", "tags": tags}],
            tags=tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        version = template.latest_version.apply(str)
        return {"launch_template": {"id": template.id, "version": version}}

    def _way_in(self, fleet: str, args: NodesArgs) -> pulumi.Output[str]:
        first = self.instances[0]
        address = aws.ec2.Eip(
            "way-in",
            domain="vpc",
            tags={**args.tags, "Name": fleet},
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(args.after)),
        )
        aws.ec2.EipAssociation(
            "way-in-rank-0",
            allocation_id=address.id,
            network_interface_id=first.primary_network_interface_id,
            opts=pulumi.ResourceOptions(parent=self),
        )
        return address.public_ip

    def _node(self, fleet: str, number: int, args: NodesArgs, wiring: Mapping[str, Any]) -> aws.ec2.Instance:
        name = node_name(number)
        tags = {**args.tags, "Name": f"{fleet}-{name}", NODE_TAG: str(number)}
        # docs/decisions/004: what is changed reaches a node that is made, never one that trains. User data or a
        # reservation would stop and start it, a template's new version would replace it; the tag is `fleet extend`'s.
        ignored = ["userData", "capacityReservationSpecification", "launchTemplate", f'tags["{LIFETIME_TAG}"]']
        return aws.ec2.Instance(
            name,
            ami=args.ami,
            instance_type=args.instance_type,
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
            **wiring,
            **args.launch,
        )


def _plain(args: NodesArgs) -> dict[str, Any]:
    return {
        "subnet_id": args.subnet_id,
        "vpc_security_group_ids": [args.security_group_id],
        "associate_public_ip_address": args.public_addresses,
    }


def fleet_name(stack: str) -> str:
    """Begins every name that AWS shows: by it and the stack's tag a person finds what is theirs."""
    return f"fleet-{stack}"


def node_name(number: int) -> str:
    return f"node-{number:03d}"
