from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from infra.ends import End
from training.status import Status, lines

GOLDEN = Path(__file__).parent / "golden"
AT = datetime(2026, 11, 24, 5, 0, tzinfo=UTC)
LATER = AT + timedelta(hours=1)

UP = Status(
    "stack",
    "dev",
    ("i-1 running g6.xlarge", "i-2 running g6.xlarge"),
    since=AT,
    usd_per_hour=1.6419,
    usd_spent=0.821,
    usd_at_most=6.568,
    ends=(End("lease", "armed", LATER, "on 2 of 2"), End("AWS schedule", "missing", detail="fleet up makes it")),
    runs=("run-7f3a",),
)


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("up", UP),
        ("nothing", Status("stack", "dev", (), usd_per_hour=0.0)),
        (
            "reserved",
            Status(
                "stack",
                "dev",
                (),
                usd_per_hour=110.08,
                left=("reservation cr-1: 2 of 2 x p5.48xlarge unused, $110.08 an hour",),
                next="fleet up -s dev goes on from it, fleet down -s dev ends it",
            ),
        ),
        ("unasked", Status("stack", "dev", (), unknown=("us-east-1: fsx DescribeFileSystems: AccessDenied",))),
        (
            "unknown",
            replace(
                UP,
                usd_per_hour=None,
                usd_spent=None,
                usd_at_most=None,
                ends=(End("lease", "UNKNOWN", None, "on 0 of 2: no node could be asked"),),
                runs=(),
                unknown=("node-000 (198.51.100.4:22)  no answer in 10 s",),
            ),
        ),
        ("own_hosts", Status("hosts", "lab", ("198.51.100.1 rank 0",))),
    ],
)
def test_a_status_reads_as_it_always_did(name: str, status: Status) -> None:
    shown = re.sub(r"\(\S.* left\)", "(... left)", "\n".join(lines(status)))
    assert shown + "\n" == (GOLDEN / f"status_{name}.txt").read_text()


def test_the_fleet_ends_at_the_first_end_that_is_armed() -> None:
    ends = (End("a", "missing", AT), End("b", "armed", LATER), End("c", "armed", LATER + timedelta(hours=1)))
    assert replace(UP, ends=ends).ends_at == LATER
    assert replace(UP, ends=()).ends_at is None
