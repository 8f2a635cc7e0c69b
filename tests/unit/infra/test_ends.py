from __future__ import annotations

from datetime import UTC, datetime

import pytest

from infra.ends import parse_at


def test_a_one_time_expression_is_a_moment() -> None:
    assert parse_at("at(2026-11-24T18:45:00)") == datetime(2026, 11, 24, 18, 45, tzinfo=UTC)


@pytest.mark.parametrize(
    "expression", ["rate(5 minutes)", "cron(0 12 * * ? *)", "at(2026-11-24)", "at(2026-11-24T18:45:00) ", ""]
)
def test_any_other_expression_is_none_of_ours(expression: str) -> None:
    assert parse_at(expression) is None
