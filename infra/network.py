"""The fleet's own network: one VPC, one subnet in one zone, and who may speak to whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.addresses import halves
from infra.existing import OUTER, ExistingSubnet, Ground
from infra.ways import Ways

#: torchrun's rendezvous; more than the first only where one node runs several jobs one after another.
RENDEZVOUS_PORTS = (29500, 29600)
ANYWHERE = "0.0.0.0/0"


@dataclass
class NetworkArgs:
    """vpc_cidr: /16 to /24; zone: of the one subnet; operator_cidr: who may open SSH on ssh_port, "" for nobody.

    subnet, ground, security_group_id: existing ones, and where in an existing VPC, in place of the stack's own.
    after: what is asked for before anything else is made.
    """

    vpc_cidr: str
    zone: str
    operator_cidr: str
    ssh_port: int
    ways: Ways
    tags: Mapping[str, str]
    subnet: ExistingSubnet | None = None
    ground: Ground | None = None
    security_group_id: str | None = None
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
        """A subnet in a VPC, its own or one that is there, and the way out of it."""
        first = pulumi.ResourceOptions(parent=self, depends_on=list(args.after))
        if args.ground:
            self.vpc_id, nodes_cidr, outer_cidr = args.ground.vpc_id, args.ground.cidr, args.ground.outer_cidr
        else:
            self.vpc_id = aws.ec2.Vpc(
                "vpc",
                cidr_block=args.vpc_cidr,
                enable_dns_support=True,
                enable_dns_hostnames=True,  # EFS is mounted by name
                tags=tags,
                opts=first,
            ).id
            nodes_cidr, outer_cidr = halves(args.vpc_cidr)
        subnet = self._subnet("subnet", nodes_cidr, args, tags)
        self.subnet_id = subnet.id
        if not args.ways.out:  # as the VPC's main route table leads
            return
        gateway: pulumi.Input[str] | None = args.ground.gateway_id if args.ground else None
        gateway = gateway or aws.ec2.InternetGateway("gateway", vpc_id=self.vpc_id, tags=tags, opts=first).id
        routes, joined = self._routes("routes", "subnet-routes", subnet, tags)
        self.ready.append(joined)
        if args.ways.gateway:
            assert outer_cidr
            outer_tags = {**tags, "Name": f"{tags['Name']}{OUTER}"}
            nat = self._nat(self._subnet("outer", outer_cidr, args, outer_tags), gateway, tags)
            self.ready.append(self._route("way-out", routes, ANYWHERE, nat_gateway_id=nat.id))
            # What goes to S3 of the region does not go through the NAT gateway then, which bills by the GB; it is free.
            aws.ec2.VpcEndpoint(
                "s3",
                vpc_id=self.vpc_id,
                service_name=aws.get_region_output().region.apply(lambda region: f"com.amazonaws.{region}.s3"),
                vpc_endpoint_type="Gateway",
                route_table_ids=[routes.id],
                tags=tags,
                opts=pulumi.ResourceOptions(parent=self),
            )
        else:
            self.ready.append(self._route("way-out", routes, ANYWHERE, gateway_id=gateway))
        if args.ways.one_way_in:
            # What rank 0 answers to the operator must leave by the address that it came in by, not by the NAT's.
            self.ready.append(self._route("way-back", routes, args.operator_cidr, gateway_id=gateway))

    def _subnet(self, name: str, cidr: str, args: NetworkArgs, tags: Mapping[str, str]) -> aws.ec2.Subnet:
        return aws.ec2.Subnet(
            name,
            vpc_id=self.vpc_id,
            cidr_block=cidr,
            availability_zone=args.zone,
            tags=tags,
            # A subnet that moves to another zone has the addresses of the one before: that must go first.
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(args.after), delete_before_replace=True),
        )

    def _routes(
        self, name: str, joined: str, subnet: aws.ec2.Subnet, tags: Mapping[str, str]
    ) -> tuple[aws.ec2.RouteTable, aws.ec2.RouteTableAssociation]:
        mine = pulumi.ResourceOptions(parent=self)
        table = aws.ec2.RouteTable(name, vpc_id=self.vpc_id, tags=tags, opts=mine)
        return table, aws.ec2.RouteTableAssociation(joined, route_table_id=table.id, subnet_id=subnet.id, opts=mine)

    def _route(self, name: str, table: aws.ec2.RouteTable, to: str, **target: pulumi.Input[str]) -> aws.ec2.Route:
        mine = pulumi.ResourceOptions(parent=self)
        return aws.ec2.Route(name, route_table_id=table.id, destination_cidr_block=to, **target, opts=mine)

    def _nat(self, outer: aws.ec2.Subnet, gateway: pulumi.Input[str], tags: Mapping[str, str]) -> aws.ec2.NatGateway:
        """The nodes' way out to the internet, by an address of its own."""
        routes, joined = self._routes("outer-routes", "outer-subnet-routes", outer, tags)
        way = self._route("outer-way-out", routes, ANYWHERE, gateway_id=gateway)
        after_way = pulumi.ResourceOptions(parent=self, depends_on=[way, joined])
        address = aws.ec2.Eip("nat-address", domain="vpc", tags=tags, opts=after_way)
        return aws.ec2.NatGateway("nat", allocation_id=address.id, subnet_id=outer.id, tags=tags, opts=after_way)

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
        if not args.ways.session:
            self.ready.append(rule.ingress("ssh", "tcp", args.ssh_port, args.ssh_port, cidr_ipv4=args.operator_cidr))
        self.ready += [
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
