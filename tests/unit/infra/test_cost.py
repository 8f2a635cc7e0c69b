from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.catalog import catalog
from infra.cost import HourlyCost, hourly_cost, over_cap
from infra.prices import Price, Purchase, shipped
from infra.settings import StackConfig


def config(**fields: object) -> StackConfig:
    return StackConfig.model_validate({"instanceType": "p5.48xlarge", "nodes": 2, "efa": False, **fields})


#: A fleet without public addresses is reached from the VPC that it is made in.
PRIVATE: dict[str, object] = {"publicAddresses": False, "vpcId": "vpc-0123456789abcdef0"}


def cost(region: str = "us-east-1", purchase: Purchase = "on-demand", **fields: object) -> HourlyCost:
    asked = config(**fields)
    return hourly_cost(asked, shipped(region, asked.instance_type, purchase))


def test_each_part_of_the_bill_is_named() -> None:
    bill = cost(rootVolumeGib=365)
    assert bill.parts == pytest.approx({"instances": 110.08, "EBS": 0.08, "public IPv4": 0.01})
    assert bill.total == pytest.approx(110.17)
    assert bill.dated == f"AWS Price List, us-east-1, as shipped, {catalog().price_date}"
    assert bill.by_use == (
        "EFS $0.30 a GB-month, $0.03 a GB read, $0.06 a GB written",
        "data out of AWS by the GB",
    )


def test_without_public_addresses_and_shared_files_neither_is_billed() -> None:
    bill = cost(**PRIVATE, sharedFiles=False)
    assert set(bill.parts) == {"instances", "EBS"}
    assert bill.by_use == ("data out of AWS by the GB",)


@pytest.mark.parametrize(
    ("fields", "addresses", "gateways"),
    [
        ({"nodes": 4}, 4, 0),
        ({"nodes": 4, "efa": True}, 2, 1),  # rank 0's, and that of the gateway through which the others reach out
        ({"nodes": 4, "efa": True, "subnetId": "subnet-0123456789abcdef0"}, 1, 0),
        ({"nodes": 4, "efa": True, **PRIVATE}, 0, 0),
        ({"nodes": 4, "efa": True, "instanceType": "g6.8xlarge"}, 4, 0),  # one card
        ({"nodes": 4, "access": "ssm"}, 1, 1),
        ({"nodes": 4, "efa": True, "access": "ssm", "vpcId": "vpc-0123456789abcdef0"}, 1, 1),
        ({"nodes": 4, "access": "ssm", "subnetId": "subnet-0123456789abcdef0"}, 0, 0),
        ({"nodes": 4, "vpcId": "vpc-0123456789abcdef0"}, 4, 0),
    ],
)
def test_the_ways_in_and_out_are_billed_as_they_are_made(
    fields: dict[str, object], addresses: int, gateways: int
) -> None:
    bill = cost(**fields)
    known = catalog()
    assert bill.parts.get("public IPv4", 0) == pytest.approx(known.public_ipv4_usd_per_hour * addresses)
    assert bill.parts.get("NAT gateway", 0) == pytest.approx(known.nat_gateway_usd_per_hour * gateways)
    assert any("NAT" in one for one in bill.by_use) == bool(gateways)


def test_a_price_says_how_old_it_is_and_why_it_is_not_of_today() -> None:
    rates = replace(shipped("us-east-1", "g6.xlarge"), note="AWS can't be asked: no network")
    bill = hourly_cost(config(instanceType="g6.xlarge"), rates)
    assert bill.aged(date(2026, 11, 24)) == (
        "AWS Price List, us-east-1, as shipped, 2026-07-20 (127 days old), since AWS can't be asked: no network"
    )


@pytest.mark.parametrize(
    ("kind", "region", "purchase", "why"),
    [
        ("p5.48xlarge", "eu-west-1", "on-demand", "no price list for eu-west-1 is shipped"),
        ("p5e.48xlarge", "us-east-1", "on-demand", "p5e.48xlarge has no On-Demand list price"),
        ("p5e.48xlarge", "us-east-1", "spot", "p5e.48xlarge has no On-Demand list price"),
    ],
)
def test_a_price_that_is_not_known_is_no_price_and_says_why(
    kind: str, region: str, purchase: Purchase, why: str
) -> None:
    bill = cost(region, purchase, instanceType=kind)
    assert (bill.total, bill.unknown, bill.parts) == (None, why, {})


def test_fsx_bills_by_the_hour_what_it_can_hold_and_one_that_was_there_before_does_not() -> None:
    asked = config(storage="fsx", fsxGib=2400, nodes=3)
    fast = hourly_cost(asked, replace(shipped("us-east-1", asked.instance_type), lustre=Price(0.14)))
    assert fast.parts["FSx"] == pytest.approx(2400 * 0.14 / 730)
    assert fast.total == pytest.approx(sum(cost(nodes=3).parts.values()) + fast.parts["FSx"])
    assert not [one for one in fast.by_use if one.startswith("EFS")]
    assert hourly_cost(asked, shipped("us-east-1", asked.instance_type)).unknown == "the price of FSx was not asked"
    theirs = cost(storage="fsx", fileSystemId="fs-0123456789abcdef0", subnetId="subnet-0123456789abcdef0")
    assert "FSx" not in theirs.parts and theirs.by_use[0] == "FSx fs-0123456789abcdef0, with the fleet or without"


def test_offline_a_spot_fleet_costs_at_most_what_it_would_on_demand_and_says_so() -> None:
    spot, list_price = cost(purchase="spot", capacity="spot"), cost()
    assert spot.parts == list_price.parts
    assert spot.source == f"spot price unknown offline: at most the on-demand price, {list_price.source}"


def test_one_unknown_part_makes_the_whole_unknown_and_not_cheap() -> None:
    rates = replace(shipped("us-east-1", "g6.xlarge"), volume=Price(None, unknown="AWS lists no price of EBS gp3"))
    bill = hourly_cost(config(instanceType="g6.xlarge"), rates)
    assert (bill.total, bill.unknown) == (None, "AWS lists no price of EBS gp3")


def test_reserved_machines_cost_what_on_demand_ones_do_and_nothing_beside() -> None:
    assert cost(purchase="reservation").parts == cost().parts


def test_a_capacity_block_was_paid_before_so_that_only_what_is_beside_it_bills() -> None:
    bill = cost(purchase="capacity-block", **PRIVATE)
    assert bill.parts == pytest.approx({"instances": 0.0, "EBS": cost().parts["EBS"]})
    assert bill.source == "paid when the capacity block was bought, the rest by AWS Price List, us-east-1, as shipped"


@pytest.mark.parametrize(
    ("cap", "region", "why"),
    [
        (None, "us-east-1", None),
        (111, "us-east-1", None),
        (110, "us-east-1", "it costs $110.13 an hour, more than $110.00"),
        (
            110,
            "eu-west-1",
            "its price is unknown (no price list for eu-west-1 is shipped), so that it can't be held "
            "to $110.00 an hour",
        ),
    ],
)
def test_a_cap_holds_against_the_whole_fleet_and_against_no_price(
    cap: float | None, region: str, why: str | None
) -> None:
    assert over_cap(config(maxUsdPerHour=cap), cost(region)) == why


@given(st.sampled_from(sorted(catalog().types)), st.integers(1, 255), st.integers(75, 16384), st.booleans())
def test_the_bill_grows_in_step_with_the_nodes(kind: str, nodes: int, volume: int, public: bool) -> None:
    ways = {} if public else PRIVATE
    one, many = (cost(instanceType=kind, nodes=count, rootVolumeGib=volume, **ways).total for count in (1, nodes))
    assert (one is None) == (many is None) == (catalog().types[kind].usd_per_hour is None)
    if one is not None:
        assert many == pytest.approx(one * nodes)
