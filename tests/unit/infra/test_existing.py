"""Where in a VPC that is there the fleet goes, and what is refused before anything is made."""

from __future__ import annotations

from dataclasses import replace

import pytest

from infra.errors import BadInput
from infra.existing import ExistingVpc, Ground, ground, wide_open
from infra.settings import StackConfig
from infra.ways import ways

VPC = ExistingVpc(
    "vpc-0123456789abcdef0",
    blocks=("10.0.0.0/16",),
    taken={"subnet-a": "10.0.0.0/24", "subnet-b": "10.0.2.0/24"},
    own={},
    gateway_id="igw-1",
    way_out=False,
    names=True,
)


@pytest.mark.parametrize(
    ("rule", "world"),
    [
        ({"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}, "0.0.0.0/0"),
        ({"IpProtocol": "tcp", "FromPort": 0, "ToPort": 65535, "Ipv6Ranges": [{"CidrIpv6": "::/0"}]}, "::/0"),
        ({"IpProtocol": "-1", "IpRanges": [{"CidrIp": "10.0.0.0/8"}, {"CidrIp": "128.0.0.0/1"}]}, "128.0.0.0/1"),
        ({"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "203.0.113.0/24"}]}, None),
        ({"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}, None),
        ({"IpProtocol": "udp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}, None),
        ({"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": "sg-1"}]}, None),
        ({"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "Ipv6Ranges": [{"CidrIpv6": "2001:db8::/48"}]}, None),
    ],
)
def test_a_group_that_opens_ssh_to_the_world_is_known_by_its_rules(rule: dict, world: str | None) -> None:
    assert wide_open([{"IpProtocol": "tcp", "FromPort": 29500, "ToPort": 29600}, rule], 22) == world


def where(vpc: ExistingVpc = VPC, addresses: int = 2, **fields: object) -> Ground:
    config = StackConfig.model_validate({"instanceType": "g6.xlarge", "vpcId": vpc.id, **fields})
    return ground(vpc, config, ways(config), "fleet-dev", addresses)


def test_a_fleet_gets_the_first_free_part_of_the_vpc_with_room_to_grow() -> None:
    assert where() == Ground(VPC.id, "10.0.4.0/23", None, "igw-1")


def test_the_subnet_that_is_asked_for_is_taken_as_it_is() -> None:
    assert where(subnetCidr="10.0.1.0/28").cidr == "10.0.1.0/28"


def test_a_nat_gateway_gets_a_subnet_of_its_own_beside_all_others() -> None:
    assert where(access="ssm", subnetCidr="10.0.1.0/28").outer_cidr == "10.0.1.16/28"


def test_a_fleet_that_is_up_keeps_its_addresses_whatever_is_free_today() -> None:
    vpc = replace(VPC, own={"fleet-dev": "10.0.8.0/23", "fleet-dev-outer": "10.0.7.0/28"})
    assert where(vpc, access="ssm") == Ground(VPC.id, "10.0.8.0/23", "10.0.7.0/28", "igw-1")


@pytest.mark.parametrize(("addresses", "cidr"), [(2, "10.0.0.64/26"), (59, "10.0.0.128/25"), (120, "10.0.0.128/25")])
def test_a_full_vpc_gives_the_largest_part_that_is_left(addresses: int, cidr: str) -> None:
    taken = {"subnet-a": "10.0.0.0/26"} | ({} if addresses > 2 else {"subnet-b": "10.0.0.128/25"})
    assert where(replace(VPC, blocks=("10.0.0.0/24",), taken=taken), addresses).cidr == cidr


def test_private_nodes_go_out_as_the_vpcs_main_route_table_leads() -> None:
    assert where(replace(VPC, way_out=True), publicAddresses=False).outer_cidr is None


@pytest.mark.parametrize(
    ("change", "fields", "said"),
    [
        (
            {},
            {"subnetCidr": "10.0.0.0/20"},
            r"swift-fleet:subnetCidr  10\.0\.0\.0/20 overlaps subnet-a \(10\.0\.0\.0/24\)\. 10\.0\.4\.0/23 is free",
        ),
        ({}, {"subnetCidr": "10.1.0.0/24"}, r"10\.1\.0\.0/24 is not within vpc-0123456789abcdef0"),
        ({}, {"subnetCidr": "10.0.1.0/28", "nodes": 16}, "has 11 addresses for machines, 17 are needed"),
        ({"blocks": ("10.0.0.0/24",)}, {}, r"has no free network for 3 addresses in 10\.0\.0\.0/24"),
        ({"blocks": ("10.0.0.0/24",)}, {"subnetCidr": "10.0.0.0/25"}, r"Nothing else is free"),
        (
            {"blocks": ("10.0.0.0/24", "10.0.9.0/28")},
            {"access": "ssm"},
            "has no free network for the NAT gateway",
        ),
        ({}, {"publicAddresses": False}, "its main route table leads nowhere outside"),
        ({"names": False}, {}, "DNS hostnames or DNS support off"),
    ],
)
def test_what_the_vpc_cannot_give_is_refused_in_one_line(change: dict, fields: dict, said: str) -> None:
    with pytest.raises(BadInput, match=said) as refused:
        where(replace(VPC, **change), fields.get("nodes", 2), **fields)
    assert "\n" not in str(refused.value)
