from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from infra.billed import Found
from infra.ledger import Bill
from training.costs import Cost, Up
from training.costs import lines as cost_lines
from training.holdings import Holdings
from training.holdings import lines as holding_lines

GOLDEN = Path(__file__).parent / "golden"
AT = datetime(2026, 11, 24, 5, 0, tzinfo=UTC)

COST = Cost(
    stack="dev",
    fleet="2 x g6.xlarge, on-demand",
    parts={"instances": 1.6096, "EBS": 0.0438, "public IPv4": 0.01},
    usd_per_hour=1.6634,
    unknown="",
    price="AWS Price List, us-east-1, 2026-11-20 (4 days old)",
    not_counted=("EFS $0.30 a GB-month", "data out of AWS by the GB"),
    lifetime=timedelta(hours=4),
    ends_after=timedelta(hours=4, minutes=5),
    budget_usd=None,
    max_usd_per_hour=2.0,
)
UP = Up(2, AT, 1.25, AT + timedelta(hours=4, minutes=5), 6.79)


@pytest.mark.parametrize(
    ("name", "cost"),
    [
        ("down", COST),
        ("up", replace(COST, up=UP, budget_usd=7.0)),
        (
            "no_end",
            replace(COST, up=replace(UP, ends_at=None, usd_at_most=None, unknown="its AWS schedule is missing")),
        ),
        ("refused", replace(COST, refused="swift-fleet:maxUsdPerHour  it costs $1.66 an hour, more than $1.00.")),
        ("untold", replace(COST, up_unknown="AWS can't be asked: Unable to locate credentials")),
        ("no_price", replace(COST, parts={}, usd_per_hour=None, unknown="p5e.48xlarge has no On-Demand list price")),
    ],
)
def test_a_cost_reads_as_it_always_did(name: str, cost: Cost) -> None:
    assert "\n".join(cost_lines(cost)) + "\n" == (GOLDEN / f"cost_{name}.txt").read_text()


def found(kind: str, identity: str, detail: str, stack: str, since: datetime | None) -> Found:
    return Found("us-east-1", kind, identity, detail, stack, since)


BILLS = (
    Bill(found("file system", "fs-2", "FSx LUSTRE 1200 GiB", "", AT - timedelta(days=40)), None, "no price of FSx"),
    Bill(found("instance", "i-1", "g6.xlarge running, On-Demand", "dev", AT - timedelta(minutes=95)), 0.8048),
    Bill(found("elastic address", "eipalloc-1", "198.51.100.4, idle", "", None), 0.005),
)
HOLDINGS = Holdings(BILLS, ("us-east-1", "us-west-2"), prices=("AWS Price List, us-east-1, 2026-11-20",), of_all=True)


@pytest.mark.parametrize(
    ("name", "holdings"),
    [
        ("all", HOLDINGS),
        ("nothing", replace(HOLDINGS, bills=(), of_all=False)),
        ("unasked", replace(HOLDINGS, bills=(), unasked=("us-west-2: ec2 DescribeVolumes: UnauthorizedOperation",))),
        ("asleep", Holdings((), (), notes=("stack sandbox: its sandbox does not run, so nothing of it exists",))),
    ],
)
def test_what_bills_reads_as_it_always_did(name: str, holdings: Holdings) -> None:
    assert "\n".join(holding_lines(holdings, AT)) + "\n" == (GOLDEN / f"ps_{name}.txt").read_text()


def test_the_json_gives_each_row_and_counts_only_known_prices() -> None:
    told = HOLDINGS.as_json()
    assert told["usd_per_hour_known"] == pytest.approx(0.8098)
    assert [(row["stack"], row["usd_per_hour"]) for row in told["bills"]] == [
        (None, None),
        ("dev", 0.8048),
        (None, 0.005),
    ]
