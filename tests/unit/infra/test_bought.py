from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from infra.bought import Bought, check, refuse_placeholders
from infra.errors import BadInput
from infra.place import Place
from infra.settings import StackConfig

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ID = "cr-0123456789abcdef0"
BLOCK = Bought(
    ID,
    Place("p5.48xlarge", "us-east-1a"),
    "active",
    4,
    is_block=True,
    starts=NOW - timedelta(hours=1),
    ends=NOW + timedelta(hours=23),
)
RESERVATION = replace(BLOCK, is_block=False, starts=None, ends=None)


def config(capacity: str = "capacity-block", **keys: object) -> StackConfig:
    asked = {"instanceType": "p5.48xlarge", "nodes": 4, "capacity": capacity, "capacityReservationId": ID}
    return StackConfig.model_validate(asked | keys)


def test_a_fleet_that_fits_is_let_through() -> None:
    check(BLOCK, config(lifetime="22h30m"), 4, NOW)
    check(RESERVATION, config("reservation", lifetime="14d"), 4, NOW)


@pytest.mark.parametrize(
    ("bought", "asked", "said"),
    [
        (replace(BLOCK, starts=NOW + timedelta(hours=2)), config(), "begins at 2026-11-24 14:00 UTC"),
        (BLOCK, config(lifetime="23h"), "ends the fleet at 2026-11-25 10:30 UTC, 30 minutes before its end"),
        (BLOCK, config(lifetime="23h"), "lifetime to at most 1350m"),
        (replace(BLOCK, free=3), config(), "has 3 machines free, 4 are needed (ReservationCapacityExceeded)"),
        (replace(BLOCK, state="expired"), config(), "is expired"),
        (BLOCK, config("reservation"), "is a capacity-block, the stack says capacity: reservation"),
        (RESERVATION, config(), "is a reservation, the stack says capacity: capacity-block"),
        (BLOCK, config(instanceType="p4d.24xlarge"), "is of p5.48xlarge, the stack's type is p4d.24xlarge"),
        (replace(RESERVATION, ends=NOW + timedelta(hours=1)), config("reservation"), "ends the fleet at"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(bought: Bought, asked: StackConfig, said: str) -> None:
    with pytest.raises(BadInput, match=ID) as caught:
        check(bought, asked, 4, NOW)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_nodes_that_run_in_it_already_need_no_room() -> None:
    check(replace(BLOCK, free=0, ends=NOW + timedelta(hours=1)), config(), 0, NOW)


def test_a_place_that_is_freed_for_the_new_node_counts_as_free() -> None:
    check(replace(BLOCK, free=0), config(), 1, NOW, coming_back=1)
    with pytest.raises(BadInput, match="has 0 machines free, 1 are needed"):
        check(replace(BLOCK, free=0), config(), 2, NOW, coming_back=1)


def test_a_fleet_that_stands_goes_by_its_own_deadline() -> None:
    late = NOW + timedelta(hours=10)
    check(BLOCK, config(lifetime="20h"), 1, late, stands=True)
    with pytest.raises(BadInput, match="before its lifetime is over"):
        check(BLOCK, config(lifetime="20h"), 1, late)


def test_an_id_that_is_still_the_shipped_stacks_is_refused_by_its_key() -> None:
    refuse_placeholders(config(), "stack p5-block")
    with pytest.raises(BadInput, match="swift-fleet:capacityReservationId is still cr-00000000000000000"):
        refuse_placeholders(config(capacityReservationId="cr-00000000000000000"), "stack p5-block")
