from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from infra.errors import BadInput
from infra.sandbox.faults import Faults, Rule


def test_a_rule_hits_its_action_with_its_parameters_only() -> None:
    faults = Faults()
    rule = Rule("RunInstances", "InsufficientInstanceCapacity", match={"InstanceType": "p5.48xlarge"})
    faults.set([rule])
    assert faults.take("RunInstances", {"InstanceType": "p5.48xlarge"}) == rule
    assert faults.take("RunInstances", {"InstanceType": "g5.xlarge"}) is None
    assert faults.take("StartInstances", {"InstanceType": "p5.48xlarge"}) is None


def test_after_lets_some_pass_and_count_ends_it() -> None:
    faults = Faults()
    faults.set([Rule("*", "RequestLimitExceeded", after=1, count=2)])
    assert [bool(faults.take("X", {})) for _ in range(5)] == [False, True, True, False, False]


def test_a_rule_is_void_from_its_time_on() -> None:
    at = [datetime(2026, 1, 1, tzinfo=UTC)]
    faults = Faults(lambda: at[0])
    faults.set([Rule("RunInstances|StartInstances", "X", until="2026-01-01T00:20:00+00:00")])
    assert faults.take("StartInstances", {}) and not faults.take("StopInstances", {})
    at[0] += timedelta(minutes=20)
    assert faults.take("StartInstances", {}) is None and faults.rules() == []


def test_what_is_not_there_is_matched_by_an_empty_text() -> None:
    rule = Rule("*", "X", match={"CapacityReservationId": ""})
    assert rule.fits("RunInstances", {}) and not rule.fits("RunInstances", {"CapacityReservationId": "cr-1"})


def test_slow_alone_fails_nothing() -> None:
    faults = Faults()
    faults.set([Rule("X", slow=2.0), Rule("*", "Y", slow=0.5)])
    assert (faults.delay("X", {}), faults.delay("Z", {})) == (2.5, 0.5)
    assert faults.take("X", {}) == faults.rules()[1]


@pytest.mark.parametrize(
    "raw", [{"action": "X", "code": "Y", "cuont": 1}, {"action": "X"}, {"action": "X", "code": "Y", "until": "noon"}]
)
def test_what_is_no_rule_is_refused(raw: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="not a fault rule"):
        Rule.read(raw)
