from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from infra.lived import Lived, told
from infra.nodes import LIFETIME_TAG

BEGAN = datetime(2026, 11, 24, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)


def machine(state: str, reason: str = "", lifetime: str = "2h", launched: datetime = BEGAN) -> dict[str, Any]:
    tags = [{"Key": LIFETIME_TAG, "Value": lifetime}] if lifetime else []
    return {"LaunchTime": launched, "State": {"Name": state}, "StateTransitionReason": reason, "Tags": tags}


AT_HALF_PAST = "User initiated (2026-11-24 09:30:00 {})"
ENDED = machine("terminated", AT_HALF_PAST.format("GMT"))


@pytest.mark.parametrize(
    ("machines", "said"),
    [
        ([], None),
        ([machine("running"), machine("terminated")], Lived(BEGAN)),
        ([machine("shutting-down")], Lived(BEGAN)),
        ([ENDED], Lived(BEGAN, BEGAN + 1.5 * HOUR)),
        (
            [ENDED | {"StateTransitionReason": "User initiated (2026-11-24 09:30:00 UTC)"}],
            Lived(BEGAN, BEGAN + 1.5 * HOUR),
        ),
        ([machine("terminated")], Lived(BEGAN, BEGAN + 2 * HOUR + timedelta(minutes=5), at_most=True)),
        ([machine("terminated", lifetime="soon")], None),
        (
            [ENDED, machine("terminated", "Server.SpotInstanceTermination", launched=BEGAN - HOUR)],
            Lived(BEGAN - HOUR, BEGAN + 1.5 * HOUR, at_most=True),
        ),
    ],
)
def test_a_fleet_that_ended_by_itself_billed_until_then_and_not_until_somebody_looks(
    machines: list[dict[str, Any]], said: Lived | None
) -> None:
    assert told(machines, BEGAN) == said


def test_the_machines_of_the_fleet_before_are_not_this_ones() -> None:
    before = machine("terminated", "User initiated (2026-11-24 07:59:59 GMT)", launched=BEGAN - 3 * HOUR)
    assert told([before, ENDED], BEGAN) == Lived(BEGAN, BEGAN + 1.5 * HOUR)
    assert told([before], BEGAN) is None
