from __future__ import annotations

import pytest

from infra.quotas import Quota, code_for


@pytest.mark.parametrize(
    ("kind", "market", "code"),
    [
        ("p5.48xlarge", "on-demand", "L-417A185B"),
        ("p6-b200.48xlarge", "on-demand", "L-417A185B"),
        ("p4de.24xlarge", "spot", "L-7212CCBC"),
        ("p5en.48xlarge", "spot", "L-C4BD4855"),
        ("p6-b300.48xlarge", "spot", None),
        ("g6e.xlarge", "on-demand", "L-DB2E81BA"),
        ("gr6.4xlarge", "spot", "L-3819A6DF"),
        ("m7i.xlarge", "on-demand", "L-1216C47A"),
        ("p5.48xlarge", "capacity-block", None),
        ("p5.48xlarge", "reservation", None),
    ],
)
def test_a_type_counts_towards_the_quota_of_its_family_and_market(kind: str, market: str, code: str | None) -> None:
    found = code_for(kind, market)
    assert (found[0] if found else None) == code


def test_a_shortage_names_the_quota_what_is_there_and_what_is_needed() -> None:
    quota = Quota("L-417A185B", "Running On-Demand P instances", limit=384, used=192)
    assert quota.shortage(192) is None
    assert quota.shortage(384) == (
        'the quota "Running On-Demand P instances" (L-417A185B) is 384 vCPUs, 192 in use, 384 needed'
    )
