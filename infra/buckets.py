"""S3 for data in and results out: what of which buckets the nodes' role may touch. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

#: Bucket names as S3 has them; in a key neither wildcards nor policy variables, which would widen the right.
_PLACE = r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^*?$\s]*)?$"
READ = ["s3:GetObject"]
WRITE = ["s3:PutObject", "s3:AbortMultipartUpload"]

Place = Annotated[str, Field(pattern=_PLACE), AfterValidator(lambda value: value.rstrip("/"))]


class Buckets(BaseModel):
    """read, write: "s3://bucket/prefix", with all that is below it; a bucket alone is all of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    read: Annotated[tuple[Place, ...], Field(max_length=16)] = ()
    write: Annotated[tuple[Place, ...], Field(max_length=16)] = ()

    def __bool__(self) -> bool:
        return bool(self.read or self.write)


def right_to(buckets: Buckets) -> str:
    """The policy, "" where nothing is named: to list, read and write below these prefixes.

    `aws s3 sync` needs no more.
    """
    if not buckets:
        return ""
    statements = [_list(bucket, prefixes) for bucket, prefixes in _by_bucket({*buckets.read, *buckets.write})]
    for actions, places in ((READ, buckets.read), (WRITE, buckets.write)):
        if places:
            statements.append({"Effect": "Allow", "Action": actions, "Resource": _objects(places)})
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def _list(bucket: str, prefixes: list[str]) -> dict[str, Any]:
    statement: dict[str, Any] = {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{bucket}"}
    if "" not in prefixes:
        asked = [one for prefix in prefixes for one in (prefix, f"{prefix}/*")]
        statement["Condition"] = {"StringLike": {"s3:prefix": asked}}
    return statement


def _objects(places: Iterable[str]) -> list[str]:
    """The object of that name, and what is below it: not `data2` with `data`."""
    found = []
    for place in sorted(set(places)):
        bucket, prefix = _parts(place)
        found += [f"arn:aws:s3:::{bucket}/{prefix}", f"arn:aws:s3:::{bucket}/{prefix}/*"] if prefix else []
        found += [] if prefix else [f"arn:aws:s3:::{bucket}/*"]
    return found


def _by_bucket(places: Iterable[str]) -> list[tuple[str, list[str]]]:
    found: dict[str, list[str]] = {}
    for place in sorted(places):
        bucket, prefix = _parts(place)
        found.setdefault(bucket, []).append(prefix)
    return list(found.items())


def _parts(place: str) -> tuple[str, str]:
    bucket, _, prefix = place.removeprefix("s3://").partition("/")
    return bucket, prefix
