"""The kinds of a fleet's own network, in the order in which they can go (see infra/kinds.py)."""

from __future__ import annotations

from collections.abc import Iterator

import tenacity

from infra.cloud import Cloud
from infra.kinds import Kind, Thing, pages, stack_of, tagged


def _nat_gateways(cloud: Cloud, stack: str | None) -> Iterator[Thing]:
    call = ("ec2", "describe_nat_gateways", "NatGateways")
    # A gateway that is deleted is listed for an hour more.
    there = {"Name": "state", "Values": ["pending", "available", "deleting"]}
    for one in pages(cloud, *call, Filter=[*tagged(stack), there]):
        whose, made = stack_of(one.get("Tags")), one.get("CreateTime")
        yield Thing("NAT gateway", one["NatGatewayId"], one["State"], whose, made=made)


def _end_nat_gateways(cloud: Cloud, things: list[Thing]) -> None:
    ec2 = cloud.client("ec2")
    for thing in things:
        ec2.delete_nat_gateway(NatGatewayId=thing.id)
    # Until it is gone it holds its address and stands in its subnet.
    ids = [thing.id for thing in things]
    ec2.get_waiter("nat_gateway_deleted").wait(NatGatewayIds=ids, WaiterConfig={"Delay": 2, "MaxAttempts": 300})


def _endpoints(cloud: Cloud, stack: str | None) -> Iterator[Thing]:
    there = {"Name": "vpc-endpoint-state", "Values": ["pending", "available", "deleting"]}
    for one in pages(cloud, "ec2", "describe_vpc_endpoints", "VpcEndpoints", Filters=[*tagged(stack), there]):
        whose, made = stack_of(one.get("Tags")), one.get("CreationTimestamp")
        yield Thing("VPC endpoint", one["VpcEndpointId"], one["ServiceName"], whose, made=made)


def _end_endpoints(cloud: Cloud, things: list[Thing]) -> None:
    from botocore.exceptions import ClientError

    ec2, ids = cloud.client("ec2"), [thing.id for thing in things]

    def gone() -> bool:
        """AWS takes them out of the route tables first."""
        try:
            left = ec2.describe_vpc_endpoints(VpcEndpointIds=ids)["VpcEndpoints"]
        except ClientError as error:
            if "NotFound" in error.response["Error"]["Code"]:
                return True
            raise
        return all(one["State"].lower() == "deleted" for one in left)

    ec2.delete_vpc_endpoints(VpcEndpointIds=ids)
    tenacity.Retrying(
        retry=tenacity.retry_if_result(lambda done: not done),
        wait=tenacity.wait_fixed(3),
        stop=tenacity.stop_after_delay(600),
        retry_error_callback=lambda state: None,
    )(gone)


def _addresses(cloud: Cloud, stack: str | None) -> Iterator[Thing]:
    for one in cloud.client("ec2").describe_addresses(Filters=tagged(stack))["Addresses"]:
        yield Thing("elastic address", one["AllocationId"], one["PublicIp"], stack_of(one.get("Tags")))


def _end_addresses(cloud: Cloud, things: list[Thing]) -> None:
    ec2 = cloud.client("ec2")
    for thing in things:
        (one,) = ec2.describe_addresses(AllocationIds=[thing.id])["Addresses"]
        if one.get("AssociationId"):
            ec2.disassociate_address(AssociationId=one["AssociationId"])
        ec2.release_address(AllocationId=thing.id)


def _groups(cloud: Cloud, stack: str | None) -> Iterator[Thing]:
    for one in pages(cloud, "ec2", "describe_security_groups", "SecurityGroups", Filters=tagged(stack)):
        yield Thing("security group", one["GroupId"], one["GroupName"], stack_of(one.get("Tags")))


def _end_groups(cloud: Cloud, things: list[Thing]) -> None:
    ec2 = cloud.client("ec2")
    # Rules first: a group that another one's rule names can't be deleted.
    for thing in things:
        rules = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [thing.id]}])
        for out in (False, True):
            ids = [r["SecurityGroupRuleId"] for r in rules["SecurityGroupRules"] if r["IsEgress"] is out]
            revoke = ec2.revoke_security_group_egress if out else ec2.revoke_security_group_ingress
            if ids:
                revoke(GroupId=thing.id, SecurityGroupRuleIds=ids)
    for thing in things:
        ec2.delete_security_group(GroupId=thing.id)


def _subnets(cloud: Cloud, stack: str | None) -> Iterator[Thing]:
    for one in pages(cloud, "ec2", "describe_subnets", "Subnets", Filters=tagged(stack)):
        yield Thing("subnet", one["SubnetId"], one["CidrBlock"], stack_of(one.get("Tags")))


def _end_subnets(cloud: Cloud, things: list[Thing]) -> None:
    for thing in things:
        cloud.client("ec2").delete_subnet(SubnetId=thing.id)


def _route_tables(cloud: Cloud, stack: str | None) -> Iterator[Thing]:
    for one in pages(cloud, "ec2", "describe_route_tables", "RouteTables", Filters=tagged(stack)):
        yield Thing("route table", one["RouteTableId"], stack=stack_of(one.get("Tags")))


def _end_route_tables(cloud: Cloud, things: list[Thing]) -> None:
    ec2 = cloud.client("ec2")
    for thing in things:
        table = ec2.describe_route_tables(RouteTableIds=[thing.id])["RouteTables"][0]
        for joined in table["Associations"]:
            ec2.disassociate_route_table(AssociationId=joined["RouteTableAssociationId"])
        ec2.delete_route_table(RouteTableId=thing.id)


def _gateways(cloud: Cloud, stack: str | None) -> Iterator[Thing]:
    for one in pages(cloud, "ec2", "describe_internet_gateways", "InternetGateways", Filters=tagged(stack)):
        yield Thing("internet gateway", one["InternetGatewayId"], stack=stack_of(one.get("Tags")))


def _end_gateways(cloud: Cloud, things: list[Thing]) -> None:
    ec2 = cloud.client("ec2")
    for thing in things:
        gateway = ec2.describe_internet_gateways(InternetGatewayIds=[thing.id])["InternetGateways"][0]
        for attached in gateway["Attachments"]:
            ec2.detach_internet_gateway(InternetGatewayId=thing.id, VpcId=attached["VpcId"])
        ec2.delete_internet_gateway(InternetGatewayId=thing.id)


def _vpcs(cloud: Cloud, stack: str | None) -> Iterator[Thing]:
    for one in pages(cloud, "ec2", "describe_vpcs", "Vpcs", Filters=tagged(stack)):
        yield Thing("VPC", one["VpcId"], one["CidrBlock"], stack_of(one.get("Tags")))


def _end_vpcs(cloud: Cloud, things: list[Thing]) -> None:
    for thing in things:
        cloud.client("ec2").delete_vpc(VpcId=thing.id)


NETWORK = (
    Kind("ec2 DescribeNatGateways {tag}", _nat_gateways, _end_nat_gateways),
    Kind("ec2 DescribeVpcEndpoints {tag}", _endpoints, _end_endpoints),
    Kind("ec2 DescribeAddresses {tag}", _addresses, _end_addresses),
    Kind("ec2 DescribeSecurityGroups {tag}", _groups, _end_groups),
    Kind("ec2 DescribeSubnets {tag}", _subnets, _end_subnets),
    Kind("ec2 DescribeRouteTables {tag}", _route_tables, _end_route_tables),
    Kind("ec2 DescribeInternetGateways {tag}", _gateways, _end_gateways),
    Kind("ec2 DescribeVpcs {tag}", _vpcs, _end_vpcs),
)
