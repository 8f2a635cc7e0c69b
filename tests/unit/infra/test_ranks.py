"""Ranks go by neighbourhood in the network: decided by where the machines hang, and kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.ranks import by_neighbourhood, kept


@pytest.mark.parametrize(
    ("where", "order"),
    [
        ([], []),
        ([("top", "a"), ("top", "b"), ("top", "a")], [0, 2, 1]),
        ([("top", "a"), ("top", "a"), ("top", "a")], [0, 1, 2]),
        # the second layer before the third: 3 shares more with 0 than 1 does
        ([("t", "m1", "a"), ("t", "m2", "b"), ("t", "m2", "c"), ("t", "m1", "d"), ("t", "m2", "b")], [0, 3, 1, 4, 2]),
        # a name under another parent is another network node
        ([("x", "a"), ("y", "a"), ("x", "a")], [0, 2, 1]),
        # four layers, as newer types have, beside three
        ([("t", "m", "a", "w"), ("t", "n", "b"), ("t", "m", "a", "v")], [0, 2, 1]),
        # nothing is known of one: nothing is moved
        ([("top", "a"), (), ("top", "a")], [0, 1, 2]),
        ([("top", "a"), ("top", "b"), ()], [0, 1, 2]),
    ],
)
def test_who_shares_the_nearest_network_node_stands_together(where: list[tuple[str, ...]], order: list[int]) -> None:
    assert by_neighbourhood(where) == order


PATHS = st.lists(st.tuples(*[st.sampled_from("ab")] * 3), min_size=1, max_size=12)


@given(PATHS)
def test_every_layer_is_whole_and_number_0_is_rank_0(where: list[tuple[str, ...]]) -> None:
    order = by_neighbourhood(where)
    assert sorted(order) == list(range(len(where))) and order[0] == 0
    for depth in (1, 2, 3):
        along = [where[number][:depth] for number in order]
        changes = sum(one != next_one for one, next_one in zip(along, along[1:], strict=False))
        assert changes == len(set(along)) - 1


@given(PATHS)
def test_within_a_network_node_the_numbers_stay_in_order(where: list[tuple[str, ...]]) -> None:
    order = by_neighbourhood(where)
    for path in set(where):
        here = [number for number in order if where[number] == path]
        assert here == sorted(here)


@pytest.mark.parametrize(
    ("order", "count", "now"),
    [([0, 2, 1], 3, [0, 2, 1]), ([0, 2, 1], 5, [0, 2, 1, 3, 4]), ([0, 3, 1, 2], 3, [0, 1, 2]), ([0.0, 1.0], 2, [0, 1])],
)
def test_what_was_decided_stays_for_those_that_stay(order: list[int], count: int, now: list[int]) -> None:
    assert kept(order, count) == now
