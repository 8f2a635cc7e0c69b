"""What the nodes may do in S3, by an evaluation of the policy as IAM does it: what the prefixes name, nothing else."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from infra.buckets import Buckets, right_to

KEYS = ["data", "data/", "data/a.jsonl", "data2", "data2/a", "dat", "runs/x/y", "runs", "other", "data/runs/x"]
places = st.builds(
    lambda bucket, key: f"s3://{bucket}" + (f"/{key}" if key else ""),
    st.sampled_from(["one", "two"]),
    st.sampled_from(["", *KEYS]),
)


def allows(policy: str, action: str, resource: str, prefix: str = "") -> bool:
    if not policy:
        return False
    return any(
        action in _listed(one["Action"])
        and any(fnmatchcase(resource, pattern) for pattern in _listed(one["Resource"]))
        and any(
            fnmatchcase(prefix, pattern)
            for pattern in one.get("Condition", {"StringLike": {"s3:prefix": "*"}})["StringLike"]["s3:prefix"]
        )
        for one in json.loads(policy)["Statement"]
    )


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def below(bucket: str, key: str, named: tuple[str, ...]) -> bool:
    return any(
        f"s3://{bucket}" == place or f"s3://{bucket}/{key}" == place or f"s3://{bucket}/{key}".startswith(f"{place}/")
        for place in named
    )


@given(st.lists(places, max_size=3), st.lists(places, max_size=3))
def test_what_is_named_may_be_touched_as_it_is_named_and_nothing_else(read: list[str], write: list[str]) -> None:
    buckets = Buckets(read=tuple(read), write=tuple(write))
    policy = right_to(buckets)
    for bucket in ("one", "two", "three"):
        for key in KEYS:
            arn = f"arn:aws:s3:::{bucket}/{key}"
            assert allows(policy, "s3:GetObject", arn) is below(bucket, key, buckets.read)
            assert allows(policy, "s3:PutObject", arn) is below(bucket, key, buckets.write)
            named = (*buckets.read, *buckets.write)
            assert allows(policy, "s3:ListBucket", f"arn:aws:s3:::{bucket}", key) is below(bucket, key, named)


@given(st.lists(places, max_size=3), st.lists(places, max_size=3))
def test_no_statement_has_a_wildcard_action_or_every_bucket(read: list[str], write: list[str]) -> None:
    for one in json.loads(right_to(Buckets(read=tuple(read), write=tuple(write))) or '{"Statement": []}')["Statement"]:
        assert one["Effect"] == "Allow"
        assert not any("*" in action or "Delete" in action for action in _listed(one["Action"]))
        assert all(arn.startswith(("arn:aws:s3:::one", "arn:aws:s3:::two")) for arn in _listed(one["Resource"]))


@pytest.mark.parametrize(
    "place",
    ["bucket/data", "s3://", "s3://b", "s3://*/data", "s3://bucket/*", "s3://bucket/${aws:username}", "s3://B/x"],
)
def test_what_is_no_place_or_would_widen_the_right_is_refused(place: str) -> None:
    with pytest.raises(ValidationError, match="should match pattern"):
        Buckets(read=(place,))
