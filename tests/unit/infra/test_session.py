from __future__ import annotations

from typing import Any

import pytest

from infra.errors import BadInput, CloudRefused, FleetError, Interrupted
from infra.session import _plain, half_made, translated

FAILED_UP = """
 code: 255
 stdout: Updating (dev):
 +  aws:ec2:Instance node-000 creating (0s) error: {first}
Diagnostics:
  aws:ec2:Instance (node-000):
    error: {first}
  pulumi:pulumi:Stack (swift-fleet-dev):
    error: update failed
 stderr:
"""


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        (
            FAILED_UP.format(first="InsufficientInstanceCapacity: no p5.48xlarge in us-east-1a"),
            CloudRefused,
            "stack dev  InsufficientInstanceCapacity: no p5.48xlarge in us-east-1a",
        ),
        ("error: update failed\n", CloudRefused, "stack dev  the engine was ended before it was done"),
        (" code: -9\n stderr:\n", CloudRefused, "stack dev  the engine was ended before it was done"),
        ("error: update canceled\n", Interrupted, "stack dev  the engine was interrupted"),
        ("error: incorrect passphrase", BadInput, "stack dev  wrong passphrase. Set PULUMI_CONFIG_PASSPHRASE or "),
        (
            "  stderr: error: PULUMI_ACCESS_TOKEN must be set\n",
            BadInput,
            "stack dev  Pulumi doesn't know where to keep",
        ),
        ("passphrase must be set with PULUMI_", BadInput, "stack dev  its secrets need a passphrase. Set PULUMI_"),
        (
            "    error: stacks/Pulumi.dev.yaml  swift-fleet:node  unknown key. Did you mean nodes?\n",
            CloudRefused,
            "stack dev  stacks/Pulumi.dev.yaml  swift-fleet:node  unknown key. Did you mean nodes?",
        ),
    ],
)
def test_what_the_engine_says_becomes_one_line(text: str, kind: type[FleetError], said: str) -> None:
    error = translated(RuntimeError(text), "dev")
    assert type(error) is kind
    assert str(error).startswith(said) and "\n" not in str(error)


def test_of_many_errors_three_are_shown_and_none_twice() -> None:
    text = "\n".join(f"  error: quota {n} is full" for n in (1, 1, 2, 3, 4))
    assert translated(RuntimeError(text), "dev").what == "quota 1 is full; quota 2 is full; quota 3 is full"


def test_the_engines_colours_are_taken_off() -> None:
    assert _plain("<{%reset%}>creating <{%fg 1%}>failed<{%reset%}>\n") == "creating failed"


STACK = {"type": "pulumi:pulumi:Stack", "outputs": {}}
WHOLE = {"type": "pulumi:pulumi:Stack", "outputs": {"nodes": [{"id": "i-1"}], "vpcId": "vpc-1"}}
BEFORE = {"type": "pulumi:pulumi:Stack", "outputs": {"nodes": [{"id": "i-0"}], "vpcId": "vpc-0", "fileSystemId": None}}
COMPONENT = {"type": "swift-fleet:infra:Network"}
VPC = {"type": "aws:ec2/vpc:Vpc", "id": "vpc-1", "custom": True}
FAILED = {"type": "aws:ec2/instance:Instance", "id": "i-1", "initErrors": ["it did not become running"]}


@pytest.mark.parametrize(
    ("recorded", "expected"),
    [
        ({}, False),
        ({"resources": [STACK, COMPONENT]}, False),
        ({"resources": [WHOLE, VPC]}, False),
        ({"resources": [STACK, VPC]}, True),
        ({"resources": [BEFORE, VPC]}, True),
        ({"resources": [WHOLE, VPC, FAILED]}, True),
        ({"resources": [STACK, VPC], "pending_operations": [{"type": "creating"}]}, False),
    ],
    ids=[
        "no stack",
        "nothing made",
        "up",
        "never up whole",
        "the outputs are of the fleet before",
        "one failed",
        "cut off: repaired otherwise",
    ],
)
def test_the_state_is_read_anew_where_what_it_tells_of_may_be_gone(recorded: dict[str, Any], expected: bool) -> None:
    assert half_made(recorded) is expected
