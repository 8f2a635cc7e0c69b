"""Which network interfaces a node gets: from what EC2 says of the type's cards, since each generation differs.

p5 and p6-b200 have EFA on every card, p6-b300's first card has none. The layout is the one that AWS's own templates
use (awsome-distributed-ai, AWS PCS, 2026-07; the User Guide's newer text puts every EFA on device 0): see
docs/aws-unverified.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.cloud import Cloud, translated
from infra.errors import CloudRefused


@dataclass(frozen=True)
class Interface:
    """kind: "interface" (ENA), "efa" (both), "efa-only" (no address: 32 cards would want 32 of them)."""

    card: int
    device: int
    kind: str


def layout(network: Mapping[str, Any]) -> tuple[Interface, ...]:
    """`NetworkInfo` of DescribeInstanceTypes -> the interfaces of a node that uses all of the type's EFA.

    The primary one, card 0 device 0, may not be efa-only (EC2 API, InstanceNetworkInterfaceSpecification).
    """
    return tuple(_layout(network))


def _layout(network: Mapping[str, Any]) -> Iterator[Interface]:
    left = int((network.get("EfaInfo") or {}).get("MaximumEfaInterfaces", 0))
    cards = sorted(network["NetworkCards"], key=lambda card: card["NetworkCardIndex"])
    first, rest = cards[0], cards[1:]
    first_has_efa = left > 0 and "efa" in first.get("InterfaceTypes", ())
    yield Interface(first["NetworkCardIndex"], 0, "efa" if first_has_efa else "interface")
    left -= first_has_efa
    for card in rest:
        kinds = card.get("InterfaceTypes", ())
        if left > 0 and ("efa-only" in kinds or "efa" in kinds):
            device = 1 if first_has_efa and card["MaximumNetworkInterfaces"] > 1 else 0
            yield Interface(card["NetworkCardIndex"], device, "efa-only" if "efa-only" in kinds else "efa")
            left -= 1


def addressed(interfaces: Sequence[Interface]) -> int:
    """How many addresses of its subnet a node takes; without a layout of its own it has one interface."""
    return sum(one.kind != "efa-only" for one in interfaces) or 1


def read_type(cloud: Cloud, instance_type: str) -> Mapping[str, Any]:
    """The type as EC2 describes it. CloudRefused where it can't be asked."""
    with translated():
        found = cloud.client("ec2").describe_instance_types(InstanceTypes=[instance_type])["InstanceTypes"]
    return dict(found[0])


def interfaces_of(kind: Mapping[str, Any], region: str) -> tuple[Interface, ...]:
    """Of a type as EC2 describes it. CloudRefused where it has no EFA."""
    if not kind["NetworkInfo"].get("EfaSupported"):
        raise CloudRefused(f"{kind['InstanceType']} has no EFA in {region}", do="Leave out swift-fleet:efa.")
    return layout(kind["NetworkInfo"])
