from __future__ import annotations

from pathlib import Path

import pytest

from infra.kinds import Thing
from infra.orphans import Found, Unasked
from training.sweeping import Swept, lines, sweep

VPC = Thing("VPC", "vpc-1", "10.77.0.0/16", "ghost")
GHOST = Found("123456789012", "us-east-1", "ghost", "unknown here", "no stack file is here for it", (), (VPC,), (VPC,))
KEPT = Found("123456789012", "us-east-1", "dev", "kept", "its stack file is here", (), (VPC,), ())
UNTOLD = Unasked("us-east-1", "cloudwatch DescribeAlarms *", "DescribeAlarms: AccessDenied: no")


@pytest.mark.parametrize(
    ("swept", "said"),
    [
        (Swept((KEPT,), (), asked=("us-east-1",)), "nothing to end; looked in us-east-1"),
        (Swept((GHOST,), (), asked=("us-east-1",)), "to end: 1 thing; looked in us-east-1. fleet sweep --yes"),
        (Swept((GHOST,), (), ("VPC vpc-1",), asked=("us-east-1",), yes=True), "ended 1 thing; looked in us-east-1"),
        (Swept((), (UNTOLD,), asked=("us-east-1",)), "nothing to end was found, and not all could be asked"),
    ],
)
def test_a_sweep_says_nothing_only_where_it_could_look(swept: Swept, said: str) -> None:
    """spawn #527: its list of what is left was always empty."""
    shown = lines(swept)
    assert shown[-1].startswith(said)
    assert ("us-east-1  UNKNOWN: cloudwatch DescribeAlarms *: DescribeAlarms: AccessDenied: no" in shown) == bool(
        swept.unasked
    )
    assert ("  VPC vpc-1 10.77.0.0/16" in shown) == (GHOST in swept.found)


def test_a_sandbox_that_does_not_run_is_not_started_to_be_looked_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLEET_SANDBOX_HOME", str(tmp_path / "home"))
    (tmp_path / "stacks").mkdir()
    shipped = Path(__file__).parents[3] / "stacks" / "Pulumi.sandbox.yaml"
    (tmp_path / "stacks" / shipped.name).write_text(shipped.read_text())
    swept = sweep(tmp_path)
    assert (swept.asked, swept.unasked) == ((), ())
    assert lines(swept)[0] == "note: stack sandbox: its sandbox does not run, so nothing of it exists"
    assert not (tmp_path / "home").exists()
