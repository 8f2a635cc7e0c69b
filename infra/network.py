"""The fleet's own network: one VPC, one subnet in one zone, and who may speak to whom."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.cloud import Cloud, named_by

#: torchrun's rendezvous; more than the first only where one node runs several jobs one after another.
RENDEZVOUS_PORTS = (29500, 29600)
ANYWHERE = "0.0.0.0/0"


@dataclass(frozen=True)
class ExistingSubnet:
    """A subnet that isn't the stack's, as AWS has it. free: addresses that nobody uses."""

    id: str
    vpc_id: str
    zone: str
    free: int


def read_subnet(cloud: Cloud, subnet_id: str) -> ExistingSubnet:
    """Raises BadInput where there is none of this id, CloudRefused where AWS can't be asked."""
    with named_by(cloud, "subnetId", subnet_id):
        found = cloud.client("ec2").describe_subnets(SubnetIds=[subnet_id])["Subnets"][0]
    return ExistingSubnet(subnet_id, found["VpcId"], found["AvailabilityZone"], int(found["AvailableIpAddressCount"]))


@dataclass
class NetworkArgs:
    """vpc_cidr: /16 to /24; zone: of the one subnet; operator_cidr: who may open SSH on ssh_port.

    subnet, security_group_id: existing ones, in place of the stack's own.
    one_way_in: only rank 0 can have a public address (several cards): the rest reach out through a NAT gateway.
    after: what is asked for before anything else is made.
    """

    vpc_cidr: str
    zone: str
    operator_cidr: str
    ssh_port: int
    tags: Mapping[str, str]
    subnet: ExistingSubnet | None = None
    security_group_id: str | None = None
    one_way_in: bool = False
    after: Sequence[pulumi.Resource] = ()


class Network(pulumi.ComponentResource):
    """`vpc_id`, `subnet_id`, `security_group_id` (of the nodes) and `ready`: what a node needs to reach out."""

    vpc_id: pulumi.Input[str]
    subnet_id: pulumi.Input[str]
    security_group_id: pulumi.Input[str]

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("swift-fleet:infra:Network", name, {}, opts)
        self.ready: list[pulumi.Resource] = list(args.after)
        tags = {"Name": name, **args.tags}
        if args.subnet:
            self.vpc_id, self.subnet_id = args.subnet.vpc_id, args.subnet.id
        else:
            self._own(args, tags)
        if args.security_group_id:
            self.security_group_id = args.security_group_id
        else:
            self._group(args, tags)
        self.register_outputs({"vpc_id": self.vpc_id, "subnet_id": self.subnet_id})

    def _own(self, args: NetworkArgs, tags: Mapping[str, str]) -> None:
        """A VPC with one subnet, and the way out of it."""
        mine = pulumi.ResourceOptions(parent=self)
        vpc = aws.ec2.Vpc(
            "vpc",
            cidr_block=args.vpc_cidr,
            enable_dns_support=True,
            enable_dns_hostnames=True,  # EFS is mounted by name
            tags=tags,
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(args.after)),
        )
        gateway = aws.ec2.InternetGateway("gateway", vpc_id=vpc.id, tags=tags, opts=mine)
        nodes_cidr, outer_cidr = _halves(args.vpc_cidr)
        # A subnet that moves to another zone has the addresses of the one before: that must go first.
        moves = pulumi.ResourceOptions(parent=self, delete_before_replace=True)

        def subnet_of(name: str, cidr: str) -> aws.ec2.Subnet:
            return aws.ec2.Subnet(
                name, vpc_id=vpc.id, cidr_block=cidr, availability_zone=args.zone, tags=tags, opts=moves
            )

        subnet = subnet_of("subnet", nodes_cidr)
        routes = aws.ec2.RouteTable("routes", vpc_id=vpc.id, tags=tags, opts=mine)
        joined = aws.ec2.RouteTableAssociation(
            "subnet-routes", route_table_id=routes.id, subnet_id=subnet.id, opts=mine
        )

        def route(name: str, table: aws.ec2.RouteTable, to: str, **target: pulumi.Input[str]) -> aws.ec2.Route:
            return aws.ec2.Route(name, route_table_id=table.id, destination_cidr_block=to, **target, opts=mine)

        if args.one_way_in:
            outer = subnet_of("outer", outer_cidr)
            outer_routes = aws.ec2.RouteTable("outer-routes", vpc_id=vpc.id, tags=tags, opts=mine)
            outer_joined = aws.ec2.RouteTableAssociation(
                "outer-subnet-routes", route_table_id=outer_routes.id, subnet_id=outer.id, opts=mine
            )
            outer_way = route("outer-way-out", outer_routes, ANYWHERE, gateway_id=gateway.id)
            address = aws.ec2.Eip(
                "nat-address",
                domain="vpc",
                tags=tags,
                opts=pulumi.ResourceOptions(parent=self, depends_on=[gateway]),
            )
            nat = aws.ec2.NatGateway(
                "nat",
                allocation_id=address.id,
                subnet_id=outer.id,
                tags=tags,
                opts=pulumi.ResourceOptions(parent=self, depends_on=[outer_way, outer_joined]),
            )
            self.ready.append(route("way-out", routes, ANYWHERE, nat_gateway_id=nat.id))
            # What rank 0 answers to the operator must leave by the address that it came in by, not by the NAT's.
            self.ready.append(route("way-back", routes, args.operator_cidr, gateway_id=gateway.id))
        else:
            self.ready.append(route("way-out", routes, ANYWHERE, gateway_id=gateway.id))
        self.ready.append(joined)
        self.vpc_id, self.subnet_id = vpc.id, subnet.id

    def _group(self, args: NetworkArgs, tags: Mapping[str, str]) -> None:
        mine = pulumi.ResourceOptions(parent=self)
        group = aws.ec2.SecurityGroup(
            "nodes",
            description="swift-fleet nodes: SSH from the operator, everything among themselves",
            vpc_id=self.vpc_id,
            revoke_rules_on_delete=True,  # its rules name the group itself
            tags=tags,
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(args.after)),
        )
        rule = _RuleMaker(group, args.tags, mine)
        self.ready += [
            rule.ingress("ssh", "tcp", args.ssh_port, args.ssh_port, cidr_ipv4=args.operator_cidr),
            rule.ingress("rendezvous", "tcp", *RENDEZVOUS_PORTS, referenced_security_group_id=group.id),
            # NCCL and gloo use ephemeral ports and EFA is no TCP at all, so members trust each other wholly;
            # EFA wants the same outwards by name, 0.0.0.0/0 is no substitute (AWS PCS guide, EFA groups).
            rule.ingress("members", "-1", referenced_security_group_id=group.id),
            rule.egress("members-out", "-1", referenced_security_group_id=group.id),
            rule.egress("world", "-1", cidr_ipv4=ANYWHERE),
        ]
        self.security_group_id = group.id


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


def _halves(vpc_cidr: str) -> tuple[str, str]:
    """The nodes' subnet, and the other half of the VPC, for what stands before them."""
    nodes, outer = ipaddress.IPv4Network(vpc_cidr).subnets()
    return str(nodes), str(outer)
