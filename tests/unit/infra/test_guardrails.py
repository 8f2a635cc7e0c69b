from __future__ import annotations

import json

from infra.guardrails import right_to_terminate


def test_the_right_to_terminate_ends_at_the_stacks_own_tag() -> None:
    (statement,) = json.loads(right_to_terminate("dev"))["Statement"]
    assert statement["Action"] == "ec2:TerminateInstances"
    assert statement["Condition"] == {"StringEquals": {"ec2:ResourceTag/swift-fleet:stack": "dev"}}
