from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.catalog import catalog
from infra.cost import hourly_cost
from infra.settings import StackConfig


def config(**fields: object) -> StackConfig:
    return StackConfig.model_validate({"instanceType": "p5.48xlarge", "nodes": 2, **fields})


def test_each_part_of_the_bill_is_named() -> None:
    cost = hourly_cost(config(rootVolumeGib=365), "us-east-1")
    assert cost.parts == pytest.approx({"instances": 110.08, "EBS": 0.08, "public IPv4": 0.01})
    assert cost.total == pytest.approx(110.17)
    assert cost.source == f"AWS Price List, us-east-1, {catalog().price_date}"
    assert cost.by_use == ("EFS by GB stored and moved",)


def test_without_public_addresses_and_shared_files_neither_is_billed() -> None:
    cost = hourly_cost(config(publicAddresses=False, sharedFiles=False), "us-east-1")
    assert set(cost.parts) == {"instances", "EBS"}
    assert cost.by_use == ()


@pytest.mark.parametrize(
    ("kind", "region", "why"),
    [
        ("p5.48xlarge", "eu-west-1", "no price list for eu-west-1 is shipped"),
        ("p5e.48xlarge", "us-east-1", "p5e.48xlarge has no On-Demand list price"),
    ],
)
def test_a_price_that_is_not_known_is_no_price_and_says_why(kind: str, region: str, why: str) -> None:
    cost = hourly_cost(config(instanceType=kind), region)
    assert (cost.total, cost.unknown, cost.parts) == (None, why, {})


@given(st.sampled_from(sorted(catalog().types)), st.integers(1, 255), st.integers(75, 16384), st.booleans())
def test_the_bill_grows_in_step_with_the_nodes(kind: str, nodes: int, volume: int, public: bool) -> None:
    one, many = (
        hourly_cost(
            config(instanceType=kind, nodes=count, rootVolumeGib=volume, publicAddresses=public), "us-east-1"
        ).total
        for count in (1, nodes)
    )
    assert (one is None) == (many is None) == (catalog().types[kind].usd_per_hour is None)
    if one is not None:
        assert many == pytest.approx(one * nodes)
