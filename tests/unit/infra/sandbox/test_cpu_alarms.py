from __future__ import annotations

import pytest

from infra.sandbox.cpu_alarms import state_of

#: AWS's own table for 3 of 3, as far as three periods tell: 0 well, 1 breaching, None missing.
TABLE = [
    ((0, 1, 1), ("OK", "OK", "OK", "OK")),
    ((None, None, 0), ("OK", "OK", "OK", "OK")),
    ((None, None, None), ("INSUFFICIENT_DATA", None, "ALARM", "OK")),
    ((1, 1, 1), ("ALARM", "ALARM", "ALARM", "ALARM")),
    ((None, 1, None), ("ALARM", None, "ALARM", "OK")),
]


@pytest.mark.parametrize(("points", "states"), TABLE)
def test_what_an_alarm_makes_of_missing_points(points: tuple[int | None, ...], states: tuple[str | None, ...]) -> None:
    said = [
        state_of(points, lambda point: point == 1, 3, missing)
        for missing in ("missing", "ignore", "breaching", "notBreaching")
    ]
    assert tuple(said) == states


def test_m_of_n_goes_off_with_a_point_that_is_well_among_them() -> None:
    assert state_of((1, 0, 1), lambda point: point == 1, 2, "notBreaching") == "ALARM"
