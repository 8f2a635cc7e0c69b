"""The provider's own settings (`aws:region`, `aws:endpoints`, ...), and the guard that keeps it off real AWS."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

DEFAULT_MAX_RETRIES = 25


class BadSettings(ValueError):
    """A setting that this provider can't run with."""


@dataclass(frozen=True)
class Settings:
    """endpoints: service -> URL, each on loopback. max_retries: tries of one API call; 0 means the default, 25."""

    region: str
    endpoints: Mapping[str, str]
    access_key: str = ""
    secret_key: str = ""
    token: str = ""
    default_tags: Mapping[str, str] = field(default_factory=dict)
    max_retries: int = DEFAULT_MAX_RETRIES
    skip_credentials_validation: bool = False
    skip_requesting_account_id: bool = False


def parse(given: Mapping[str, Any]) -> Settings:
    """Settings from the provider's inputs, where everything but text travels as JSON in a string.

    Raises BadSettings for a missing region, missing endpoints, or an endpoint that is not on loopback.
    """
    if not given.get("region"):
        raise BadSettings("aws:region is not set: `pulumi config set aws:region us-east-1`")
    default_tags = _decoded(given, "defaultTags") or {}
    return Settings(
        region=str(given["region"]),
        endpoints=_endpoints(_decoded(given, "endpoints")),
        access_key=str(given.get("accessKey", "")),
        secret_key=str(given.get("secretKey", "")),
        token=str(given.get("token", "")),
        default_tags={str(k): str(v) for k, v in (default_tags.get("tags") or {}).items()},
        max_retries=int(_decoded(given, "maxRetries") or 0) or DEFAULT_MAX_RETRIES,
        skip_credentials_validation=_decoded(given, "skipCredentialsValidation") is True,
        skip_requesting_account_id=_decoded(given, "skipRequestingAccountId") is True,
    )


def _decoded(given: Mapping[str, Any], name: str) -> Any:
    value = given.get(name)
    if not isinstance(value, str) or not value:
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise BadSettings(f"aws:{name} is not JSON: {error}") from error


def _endpoints(given: Any) -> dict[str, str]:
    tables = given if isinstance(given, list) else [given] if isinstance(given, dict) else []
    found = {service: url for table in tables for service, url in table.items() if url}
    if not found:
        raise BadSettings(
            "aws:endpoints is not set. This provider serves the embedded cloud only and never talks to AWS: "
            "for AWS, put the published provider (`pulumi plugin install resource aws`) in its place"
        )
    for service, url in found.items():
        if not on_loopback(url):
            raise BadSettings(
                f"aws:endpoints.{service} is {url}, which is not on loopback. "
                "This provider serves the embedded cloud only and never talks to AWS"
            )
    return found


def on_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
