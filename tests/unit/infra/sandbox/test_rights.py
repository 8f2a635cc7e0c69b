from __future__ import annotations

import json
from typing import Any

import pytest

from infra.guardrails import right_to_terminate
from infra.sandbox.rights import allows

TERMINATE = "ec2:TerminateInstances"


def policy(**statement: Any) -> str:
    return json.dumps({"Statement": [{"Effect": "Allow", "Action": TERMINATE, "Resource": "*", **statement}]})


@pytest.mark.parametrize(
    ("documents", "allowed"),
    [
        ([right_to_terminate("dev")], True),
        ([right_to_terminate("other")], False),
        ([], False),
        ([policy()], True),
        ([policy(Action=["ec2:Describe*", "ec2:terminate*"])], True),
        ([policy(Action="ec2:StopInstances")], False),
        ([policy(Condition={"StringEquals": {"aws:RequestedRegion": "us-east-1"}})], False),
        ([policy(), policy(Effect="Deny")], False),
    ],
)
def test_a_role_may_terminate_what_its_policies_say(documents: list[str], allowed: bool) -> None:
    assert allows(documents, TERMINATE, {"swift-fleet:stack": "dev"}) is allowed
