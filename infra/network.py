"""The fleet's own network: one VPC, one subnet in one zone, and who may speak to whom."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

#: torchrun's rendezvous; more than the first only where one node runs several jobs one after another.
RENDEZVOUS_PORTS = (29500, 29600)


@dataclass
class NetworkArgs:
    """vpc_cidr: /16 to /24; zone: of the one subnet; operator_cidr: who may open SSH on ssh_port."""

    vpc_cidr: str
    zone: str
    zone_is_given: bool
    operator_cidr: str
    ssh_port: int
    tags: Mapping[str, str]


class Network(pulumi.ComponentResource):
    """`vpc_id`, `subnet_id`, `security_group_id` (of the nodes) and `ready`: what a node needs to reach out."""

    vpc_id: pulumi.Output[str]
    subnet_id: pulumi.Output[str]
    security_group_id: pulumi.Output[str]

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("swift-fleet:infra:Network", name, {}, opts)
        mine = pulumi.ResourceOptions(parent=self)
        tags = {"Name": name, **args.tags}
        vpc = aws.ec2.Vpc(
            "vpc",
            cidr_block=args.vpc_cidr,
            enable_dns_support=True,
            enable_dns_hostnames=True,  # EFS is mounted by name
            tags=tags,
            opts=mine,
        )
        gateway = aws.ec2.InternetGateway("gateway", vpc_id=vpc.id, tags=tags, opts=mine)
        subnet = aws.ec2.Subnet(
            "subnet",
            vpc_id=vpc.id,
            cidr_block=_first_half(args.vpc_cidr),
            availability_zone=args.zone,
            tags=tags,
            # A zone that was chosen for the stack stays: AWS's list of zones may change, the fleet may not.
            opts=pulumi.ResourceOptions(
                parent=self, ignore_changes=None if args.zone_is_given else ["availabilityZone"]
            ),
        )
        routes = aws.ec2.RouteTable("routes", vpc_id=vpc.id, tags=tags, opts=mine)
        way_out = aws.ec2.Route(
            "way-out",
            route_table_id=routes.id,
            destination_cidr_block="0.0.0.0/0",
            gateway_id=gateway.id,
            opts=mine,
        )
        joined = aws.ec2.RouteTableAssociation(
            "subnet-routes", route_table_id=routes.id, subnet_id=subnet.id, opts=mine
        )
        group = aws.ec2.SecurityGroup(
            "nodes",
            description="swift-fleet nodes: SSH from the operator, everything among themselves",
            vpc_id=vpc.id,
            revoke_rules_on_delete=True,  # its rules name the group itself
            tags=tags,
            opts=mine,
        )
        rule = _RuleMaker(group, tags, mine)
        rules = [
            rule.ingress("ssh", "tcp", args.ssh_port, args.ssh_port, cidr_ipv4=args.operator_cidr),
            rule.ingress("rendezvous", "tcp", *RENDEZVOUS_PORTS, referenced_security_group_id=group.id),
            # NCCL and gloo use ephemeral ports and EFA is no TCP at all, so members trust each other wholly;
            # EFA wants the same outwards by name, 0.0.0.0/0 is no substitute (AWS PCS guide, EFA groups).
            rule.ingress("members", "-1", referenced_security_group_id=group.id),
            rule.egress("members-out", "-1", referenced_security_group_id=group.id),
            rule.egress("world", "-1", cidr_ipv4="0.0.0.0/0"),
        ]
        self.vpc_id, self.subnet_id, self.security_group_id = vpc.id, subnet.id, group.id
        self.ready: list[pulumi.Resource] = [way_out, joined, *rules]
        self.register_outputs({"vpc_id": vpc.id, "subnet_id": subnet.id, "security_group_id": group.id})


@dataclass
class _RuleMaker:
    """One rule a resource: the provider refuses to mix them with rules inside the group."""

    group: aws.ec2.SecurityGroup
    tags: Mapping[str, str]
    opts: pulumi.ResourceOptions

    def ingress(self, name: str, protocol: str, first: int | None = None, last: int | None = None, **source):
        return aws.vpc.SecurityGroupIngressRule(
            name,
            security_group_id=self.group.id,
            ip_protocol=protocol,
            from_port=first,
            to_port=last,
            description=f"swift-fleet {name}",
            tags=dict(self.tags),
            opts=self.opts,
            **source,
        )

    def egress(self, name: str, protocol: str, **target):
        return aws.vpc.SecurityGroupEgressRule(
            name,
            security_group_id=self.group.id,
            ip_protocol=protocol,
            description=f"swift-fleet {name}",
            tags=dict(self.tags),
            opts=self.opts,
            **target,
        )


def _first_half(vpc_cidr: str) -> str:
    """The nodes' subnet: half of the VPC, so that another one can be added without moving it."""
    return str(next(ipaddress.IPv4Network(vpc_cidr).subnets()))
