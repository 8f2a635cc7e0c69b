from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.budget import ONE_BOOT, bounded, capped, grown, within_budget
from infra.catalog import catalog
from infra.cost import HourlyCost, hourly_cost
from infra.errors import BadInput
from infra.kinds import Node
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


NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def running(count: int, ago: timedelta = timedelta(hours=1), lifetime: timedelta | None = None) -> list[Node]:
    return [Node(f"i-{number}", "running", "g6.xlarge", "us-east-1a", NOW - ago, lifetime) for number in range(count)]


def ten_an_hour(nodes: int, **fields: object) -> tuple[StackConfig, HourlyCost]:
    """So many nodes of $10 an hour each."""
    return config(instanceType="g6.xlarge", nodes=nodes, **fields), HourlyCost({"instances": 10.0 * nodes}, "a list")


NINE_H_55 = timedelta(hours=9, minutes=55)


def test_what_a_budget_has_bought_already_buys_no_second_fleet_beside_it() -> None:
    asked, cost = ten_an_hour(10, budget=100, lifetime="12h")
    for decide in (within_budget, grown):
        with pytest.raises(BadInput) as refused:
            decide(asked, cost, running(1, lifetime=NINE_H_55), NOW)
        assert str(refused.value) == (
            "swift-fleet:budget  with 10 nodes it would cost up to $910.00 to its end at 2026-11-24 21:00 UTC, and its "
            "budget is $100.00. Raise it in the stack file first, or take fewer nodes."
        )


def test_a_fleet_that_grows_within_its_budget_says_what_it_comes_to() -> None:
    asked, cost = ten_an_hour(3, budget=100, lifetime="4h")
    old = running(1, lifetime=timedelta(hours=3, minutes=55))
    assert grown(asked, cost, old, NOW) == pytest.approx(40 + 2 * 30)
    assert within_budget(asked, cost, old, NOW).lifetime == bounded(asked, cost).lifetime
    asked, cost = ten_an_hour(1)
    assert grown(asked, cost, running(3, lifetime=NINE_H_55), NOW) is None


def test_a_node_in_place_of_one_that_is_lost_is_never_refused() -> None:
    asked, cost = ten_an_hour(4, budget=400, lifetime="12h")
    assert grown(asked, cost, running(3, lifetime=NINE_H_55), NOW) == pytest.approx(390)
    dearer = HourlyCost({"instances": 44.0}, "the spot price has moved")
    spot = asked.model_copy(update={"capacity": "spot"})
    assert within_budget(spot, dearer, running(3, lifetime=NINE_H_55), NOW)


def test_a_node_whose_end_nobody_knows_is_no_free_one() -> None:
    asked, cost = ten_an_hour(2, budget=100)
    with pytest.raises(BadInput, match="when i-0 ends is not known: it has no lifetime tag"):
        grown(asked, cost, running(1), NOW)
    assert within_budget(asked, cost, running(2), NOW), "nothing comes beside it"
    asked, cost = ten_an_hour(2)
    assert grown(asked, cost, running(1), NOW) is None
