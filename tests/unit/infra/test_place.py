from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.place import NO_ROOM, Attempt, Place, in_words, no_room, places
from infra.settings import StackConfig

OFFERED = {"g6.xlarge": {"us-east-1b", "us-east-1a"}, "g6e.xlarge": {"us-east-1a", "us-east-1c"}}
PRICES = {"g6.xlarge": 0.8048, "g6e.xlarge": 1.861}


def config(**keys: object) -> StackConfig:
    return StackConfig.model_validate({"instanceType": "g6.xlarge"} | keys)


def price(place: Place) -> float | None:
    return PRICES.get(place.instance_type)


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ({}, ["g6.xlarge in us-east-1a", "g6.xlarge in us-east-1b"]),
        ({"zone": "us-east-1b"}, ["g6.xlarge in us-east-1b"]),
        ({"zone": "us-east-1c"}, []),
        (
            {"candidates": {"zones": ["us-east-1b", "us-east-1a"]}},
            ["g6.xlarge in us-east-1b", "g6.xlarge in us-east-1a"],
        ),
        (
            {"instanceType": "g6e.xlarge", "candidates": {"instanceTypes": ["g6.xlarge"], "zones": ["us-east-1a"]}},
            ["g6.xlarge in us-east-1a", "g6e.xlarge in us-east-1a"],
        ),
        (
            {"candidates": {"instanceTypes": ["g6e.xlarge"]}},
            [
                "g6.xlarge in us-east-1a",
                "g6.xlarge in us-east-1b",
                "g6e.xlarge in us-east-1a",
                "g6e.xlarge in us-east-1c",
            ],
        ),
    ],
)
def test_places_are_types_by_zones_cheapest_first(keys: dict[str, object], found: list[str]) -> None:
    assert [str(place) for place in places(config(**keys), OFFERED, price)] == found


def test_a_type_without_a_known_price_comes_last() -> None:
    asked = config(candidates={"instanceTypes": ["g6e.xlarge"], "zones": ["us-east-1a"]})
    only = places(asked, OFFERED, lambda place: 1.861 if place.instance_type == "g6e.xlarge" else None)
    assert [place.instance_type for place in only] == ["g6e.xlarge", "g6.xlarge"]


@given(st.dictionaries(st.sampled_from(["g6.xlarge", "g6e.xlarge"]), st.sets(st.sampled_from("abcdef"))))
def test_no_place_is_invented(offered: dict[str, set[str]]) -> None:
    for place in places(config(candidates={"instanceTypes": ["g6e.xlarge"]}), offered, price):
        assert place.zone in offered[place.instance_type]


@pytest.mark.parametrize("code", NO_ROOM)
def test_awss_refusals_for_want_of_room_are_known_in_what_the_engine_says(code: str) -> None:
    said = f"operation error EC2: RunInstances, https response error StatusCode: 500, api error {code}: We currently"
    assert no_room(said) == code
    assert code in str(Attempt(Place("g6.xlarge", "us-east-1a"), code))


def test_an_answer_is_the_code_and_awss_words_without_the_engines_about_them() -> None:
    said = "creating EC2 Capacity Reservation: api error InsufficientInstanceCapacity: There is not enough room"
    place = Place("g6.xlarge", "us-east-1a")
    answer = Attempt(place, "InsufficientInstanceCapacity", said=said).answer
    assert answer == "InsufficientInstanceCapacity: There is not enough room"
    assert Attempt(place, "VcpuLimitExceeded", "the quota is 8").answer == "VcpuLimitExceeded: the quota is 8"
    assert Attempt(place, "Unsupported").answer == "Unsupported: the type is not offered there"


def test_a_machine_that_found_no_room_while_it_was_pending_is_one_too() -> None:
    said = "unexpected state 'terminated', wanted target 'running'. last error: Server.{}: There was insufficient"
    assert no_room(said.format("InsufficientInstanceCapacity")) == "InsufficientInstanceCapacity"
    assert no_room(said.format("InternalError")) is None


@pytest.mark.parametrize(
    "said",
    [
        "api error UnauthorizedOperation: You are not",
        "api error InvalidAMIID.NotFound: The image",
        "api error UnsupportedOperation: The operation",
        "api error InvalidParameterValue: Unsupported value for the parameter",
        "api error Client.InvalidParameterValue: InsufficientCapacity is no state",
        "",
    ],
)
def test_other_refusals_are_not_walked_away_from(said: str) -> None:
    assert no_room(said) is None


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({}, "on-demand"),
        ({"capacity": "spot", "zone": "us-east-1b"}, "spot, in us-east-1b"),
        (
            {"nodes": 2, "candidates": {"instanceTypes": ["g6e.xlarge"], "zones": ["us-east-1a", "us-east-1b"]}},
            "on-demand, in us-east-1a or us-east-1b, or as g6e.xlarge",
        ),
        (
            {
                "instanceType": "p5.48xlarge",
                "nodes": 2,
                "capacity": "capacity-block",
                "capacityReservationId": "cr-0123456789abcdef0",
            },
            "capacity block cr-0123456789abcdef0, EFA",
        ),
    ],
)
def test_how_a_fleet_is_bought_is_said_in_one_line(keys: dict[str, object], said: str) -> None:
    asked = config(**keys)
    assert in_words(asked, asked.instance_type) == said
