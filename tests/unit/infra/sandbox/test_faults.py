from __future__ import annotations

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


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(BadInput, match="not a fault rule"):
        Rule.read({"action": "X", "code": "Y", "cuont": 1})
