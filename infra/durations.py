"""Spans of time as a stack file writes them: 90m, 4h, 1d12h."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_UNITS = {"m": 60, "h": 3600, "d": 86400}
#: Every fleet ends: longer than this, one is no fleet of one job.
LONGEST = timedelta(days=14)


def parse_duration(value: Any) -> timedelta:
    """4h, 1d12h, 90m. Raises ValueError for what is none."""
    if isinstance(value, timedelta):
        return value
    parts = re.fullmatch(r"(?:(\d+)d)?\s*(?:(\d+)h)?\s*(?:(\d+)m)?", str(value).strip())
    if not parts or not any(parts.groups()):
        raise ValueError("is no duration: write 90m, 4h or 1d12h")
    return timedelta(seconds=sum(int(n or 0) * _UNITS[u] for n, u in zip(parts.groups(), "dhm", strict=True)))


def show_duration(span: timedelta) -> str:
    """4h, 1d12h, 90m: as a stack file writes it."""
    minutes = int(span.total_seconds() // 60)
    days, rest = divmod(minutes, 1440)
    hours, minutes = divmod(rest, 60)
    return "".join(f"{n}{u}" for n, u in ((days, "d"), (hours, "h"), (minutes, "m")) if n) or "0m"


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(show_duration),
    WithJsonSchema({"type": "string", "pattern": r"^(?=\d)(\d+d)?\s*(\d+h)?\s*(\d+m)?$"}),
]
