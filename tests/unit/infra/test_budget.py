from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.budget import ONE_BOOT, bounded, capped, within_budget
from infra.catalog import catalog
from infra.cost import hourly_cost
from infra.errors import BadInput
from infra.prices import shipped
from infra.settings import GRACE, StackConfig

PRICED = sorted(name for name, kind in catalog().types.items() if kind.usd_per_hour)


def config(**fields: object) -> StackConfig:
    return StackConfig.model_validate(
        {"instanceType": "p5.48xlarge", "nodes": 2, "efa": False, "lifetime": "8h", **fields}
    )


def settled(region: str = "us-east-1", **fields: object) -> StackConfig:
    asked = config(**fields)
    return within_budget(asked, hourly_cost(asked, shipped(region, asked.instance_type)))


@pytest.mark.parametrize(
    ("budget", "lifetime"),
    [
        (None, timedelta(hours=8)),
        (1e12, timedelta(hours=8)),
        (600, timedelta(hours=5, minutes=21)),  # 600 / 110.1338 = 5 h 26 min to the schedule, 5 min after the lease
        (100, timedelta(minutes=49)),
    ],
)
def test_a_budget_becomes_a_deadline_and_never_a_longer_one(budget: float | None, lifetime: timedelta) -> None:
    assert settled(budget=budget).lifetime == lifetime


@given(st.sampled_from(PRICED), st.integers(1, 256), st.floats(0.01, 1e6), st.integers(10, 14 * 24 * 60))
def test_no_fleet_can_outlive_its_budget(kind: str, nodes: int, budget: float, minutes: int) -> None:
    asked = config(instanceType=kind, nodes=nodes, budget=budget, lifetime=f"{minutes}m")
    cost = hourly_cost(asked, shipped("us-east-1", kind))
    assert cost.total is not None
    try:
        allowed = within_budget(asked, cost)
    except BadInput:
        assert cost.total * ((ONE_BOOT + GRACE) / timedelta(hours=1)) > budget
        return
    assert allowed.lifetime <= asked.lifetime
    if allowed.lifetime < asked.lifetime:
        assert allowed.lifetime >= ONE_BOOT
        assert cost.total * ((allowed.lifetime + GRACE) / timedelta(hours=1)) <= budget * 1.000001
    assert allowed.model_copy(update={"lifetime": asked.lifetime}) == asked


@pytest.mark.parametrize(
    ("region", "fields", "said"),
    [
        (
            "us-east-1",
            {"budget": 20},
            "swift-fleet:budget  $20.00 is below one boot: 2 x p5.48xlarge cost $110.13 an hour, and a boot with its "
            "end takes 17 min. Give at least $31.21, or take a cheaper fleet.",
        ),
        (
            "eu-west-1",
            {"budget": 200},
            "swift-fleet:budget  a budget needs a price, and no price list for eu-west-1 is shipped. Take the budget "
            "out and trust the lifetime, or take a type with a price.",
        ),
        (
            "us-east-1",
            {"instanceType": "p5e.48xlarge", "budget": 2000},
            "swift-fleet:budget  a budget needs a price, and p5e.48xlarge has no On-Demand list price. Take the budget "
            "out and trust the lifetime, or take a type with a price.",
        ),
        (
            "us-east-1",
            {"maxUsdPerHour": 100},
            "swift-fleet:maxUsdPerHour  it costs $110.13 an hour, more than $100.00. Take a cheaper type or fewer "
            "nodes, or raise it.",
        ),
    ],
)
def test_what_no_budget_can_hold_is_refused_in_one_line(region: str, fields: dict[str, object], said: str) -> None:
    with pytest.raises(BadInput) as refused:
        settled(region, **fields)
    assert str(refused.value) == said


def test_the_least_that_is_named_is_enough() -> None:
    assert settled(budget=31.21).lifetime == ONE_BOOT


@pytest.mark.parametrize(
    ("stacks", "runs", "counts"), [(None, None, None), (None, 5, 5), (5, None, 5), (5, 7, 5), (7, 5, 5)]
)
def test_of_the_stacks_budget_and_the_runs_the_smaller_counts(
    stacks: float | None, runs: float | None, counts: float | None
) -> None:
    assert capped(config(budget=stacks), runs) == config(budget=counts)


def test_a_fleet_that_is_up_is_looked_at_though_its_price_is_not_known_any_more() -> None:
    asked = config(budget=200)
    assert bounded(asked, hourly_cost(asked, shipped("eu-west-1", asked.instance_type))) == asked
