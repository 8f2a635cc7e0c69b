"""Checks of texts that several types share: CIDR blocks, ARNs, lengths."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

from infra.sandbox.provider.schema import Field, text


def ipv4_network(value: str) -> str | None:
    return _network(value, 4)


def ipv6_network(value: str) -> str | None:
    return _network(value, 6)


def _network(value: str, version: int) -> str | None:
    try:
        parsed = ipaddress.ip_network(value)
    except ValueError as error:
        return f"{value!r} is not a valid IPv{version} CIDR block: {error}"
    if parsed.version != version or "/" not in value:
        return f"{value!r} is not a valid IPv{version} CIDR block"
    return None


def vpc_network(value: str) -> str | None:
    wrong = ipv4_network(value)
    if wrong:
        return wrong
    length = ipaddress.ip_network(value).prefixlen
    return None if 16 <= length <= 28 else f"expected a network of /16 to /28, got /{length}"


def ipv4_address(value: str) -> str | None:
    try:
        ipaddress.IPv4Address(value)
    except ValueError as error:
        return f"expected a valid IPv4 address, got {value}: {error}"
    return None


def arn(value: str) -> str | None:
    return None if value.startswith("arn:") and value.count(":") >= 5 else f"{value!r} is not an ARN"


def not_beginning(prefix: str) -> Callable[[str], str | None]:
    return lambda value: f"{value!r} must not begin with {prefix}" if value.startswith(prefix) else None


def named(longest: int, check: Callable[[str], str | None] | None = None) -> dict[str, Field]:
    """`name` and `namePrefix` as most types have them; a prefix leaves room for 26 characters."""
    common = {"computed": True, "force_new": True, "check": check}
    return {
        "name": text(conflicts=("namePrefix",), length=(1, longest), **common),
        "namePrefix": text(conflicts=("name",), length=(1, longest - 26), **{**common, "read_back": False}),
    }
