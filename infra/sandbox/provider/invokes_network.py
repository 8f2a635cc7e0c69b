"""Look-ups of networks that exist already: terraform-provider-aws vpc_data_source.go, vpc_subnet_data_source.go,
vpc_security_group_data_source.go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from infra.sandbox.provider import tags
from infra.sandbox.provider.session import Aws
from infra.sandbox.provider.values import Props
from infra.sandbox.provider.waits import or_none


def vpc(aws: Aws, args: Props) -> Props:
    ec2 = _ec2(aws, args)
    by = {"cidrBlock": "cidr", "dhcpOptionsId": "dhcp-options-id", "state": "state", "default": "isDefault"}
    asked = _asked(args, by)
    found = _one(
        "EC2 VPC", lambda: ec2.describe_vpcs(**_ids("VpcIds", args), Filters=asked)["Vpcs"], "InvalidVpcID.NotFound"
    )
    id = found["VpcId"]
    main = [{"Name": "association.main", "Values": ["true"]}, {"Name": "vpc-id", "Values": [id]}]
    tables = ec2.describe_route_tables(Filters=main)["RouteTables"]

    def attribute(name: str) -> bool:
        answer = ec2.describe_vpc_attribute(VpcId=id, Attribute=name)
        return bool(answer[name[0].upper() + name[1:]]["Value"])

    return {
        "id": id,
        "arn": aws.arn("ec2", f"vpc/{id}", args.get("region", "")),
        "cidrBlock": found["CidrBlock"],
        "cidrBlockAssociations": [
            {"associationId": each["AssociationId"], "cidrBlock": each["CidrBlock"], "state": "associated"}
            for each in found.get("CidrBlockAssociationSet", [])
        ],
        "default": bool(found.get("IsDefault")),
        "dhcpOptionsId": found.get("DhcpOptionsId", ""),
        "enableDnsHostnames": attribute("enableDnsHostnames"),
        "enableDnsSupport": attribute("enableDnsSupport"),
        "instanceTenancy": found.get("InstanceTenancy", "default"),
        "mainRouteTableId": tables[0]["RouteTableId"] if tables else "",
        **_common(aws, args, found),
    }


def subnet(aws: Aws, args: Props) -> Props:
    ec2 = _ec2(aws, args)
    by = {
        "availabilityZone": "availabilityZone",
        "availabilityZoneId": "availabilityZoneId",
        "cidrBlock": "cidrBlock",
        "defaultForAz": "defaultForAz",
        "state": "state",
        "vpcId": "vpc-id",
    }
    asked = _asked(args, by)
    found = _one(
        "EC2 Subnet",
        lambda: ec2.describe_subnets(**_ids("SubnetIds", args), Filters=asked)["Subnets"],
        "InvalidSubnetID.NotFound",
    )
    return {
        "id": found["SubnetId"],
        "arn": found.get("SubnetArn") or aws.arn("ec2", f"subnet/{found['SubnetId']}", args.get("region", "")),
        "availabilityZone": found["AvailabilityZone"],
        "availabilityZoneId": found.get("AvailabilityZoneId", ""),
        "availableIpAddressCount": found["AvailableIpAddressCount"],
        "cidrBlock": found["CidrBlock"],
        "defaultForAz": bool(found.get("DefaultForAz")),
        "mapPublicIpOnLaunch": bool(found.get("MapPublicIpOnLaunch")),
        "vpcId": found["VpcId"],
        **_common(aws, args, found),
    }


def subnets(aws: Aws, args: Props) -> Props:
    pages = _ec2(aws, args).get_paginator("describe_subnets").paginate(Filters=_asked(args, {}))
    region = args.get("region") or aws.region
    return {"id": region, "region": region, "ids": [each["SubnetId"] for page in pages for each in page["Subnets"]]}


def security_group(aws: Aws, args: Props) -> Props:
    ec2 = _ec2(aws, args)
    asked = _asked(args, {"name": "group-name", "vpcId": "vpc-id"})
    found = _one(
        "EC2 Security Group",
        lambda: ec2.describe_security_groups(**_ids("GroupIds", args), Filters=asked)["SecurityGroups"],
        "InvalidGroup.NotFound",
        "InvalidSecurityGroupID.NotFound",
    )
    return {
        "id": found["GroupId"],
        "arn": aws.arn("ec2", f"security-group/{found['GroupId']}", args.get("region", "")),
        "name": found["GroupName"],
        "description": found["Description"],
        "vpcId": found.get("VpcId", ""),
        **_common(aws, args, found),
    }


def _one(what: str, call: Callable[[], list[Any]], *gone: str) -> Any:
    found = or_none(call, *gone) or []
    if not found:
        raise ValueError(f"no matching {what} found")
    if len(found) > 1:
        raise ValueError(f"multiple {what}s matched; use additional constraints to reduce matches to a single {what}")
    return found[0]


def _common(aws: Aws, args: Props, found: Any) -> Props:
    own = {key: value for key, value in tags.from_aws(found.get("Tags")).items() if not key.startswith("aws:")}
    told = {"ownerId": found.get("OwnerId", ""), "state": found.get("State", ""), "tags": own}
    return {**told, "region": args.get("region") or aws.region, "filters": args.get("filters") or []}


def _asked(args: Props, by: dict[str, str]) -> list[dict[str, Any]]:
    """EC2's filters: those named by argument, by tag, and those given as filters."""
    named = {filter: args[key] for key, filter in by.items() if args.get(key) not in (None, "", False)}
    made = [{"Name": name, "Values": [str(value).lower() if value is True else value]} for name, value in named.items()]
    made += [{"Name": f"tag:{key}", "Values": [value]} for key, value in (args.get("tags") or {}).items()]
    return made + [{"Name": each["name"], "Values": each["values"]} for each in args.get("filters") or []]


def _ids(name: str, args: Props) -> dict[str, list[str]]:
    return {name: [args["id"]]} if args.get("id") else {}


def _ec2(aws: Aws, args: Props) -> Any:
    return aws.client("ec2", args.get("region", ""))
