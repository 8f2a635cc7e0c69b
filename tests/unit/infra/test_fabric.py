"""Against what EC2 itself says of each type (moto ships a dump of DescribeInstanceTypes)."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import moto
import pytest

from infra.catalog import catalog
from infra.fabric import layout

FACTS: dict[str, dict[str, Any]] = json.loads(
    gzip.decompress((Path(moto.__file__).parent / "ec2/resources/instance_types.json.gz").read_bytes())
)
EFA_TYPES = [name for name, kind in catalog().types.items() if kind.efa]


@pytest.mark.parametrize(
    ("name", "first", "rest"),
    [
        ("g6e.8xlarge", (0, 0, "efa"), []),
        ("p4d.24xlarge", (0, 0, "efa"), [(card, 1, "efa-only") for card in range(1, 4)]),
        ("p5.48xlarge", (0, 0, "efa"), [(card, 1, "efa-only") for card in range(1, 32)]),
        ("p5en.48xlarge", (0, 0, "efa"), [(card, 1, "efa-only") for card in range(1, 16)]),
        ("p6-b200.48xlarge", (0, 0, "efa"), [(card, 1, "efa-only") for card in range(1, 8)]),
        ("p6-b300.48xlarge", (0, 0, "interface"), [(card, 0, "efa-only") for card in range(1, 17)]),
    ],
)
def test_each_generation_is_wired_its_own_way(name: str, first: tuple, rest: list[tuple]) -> None:
    found = [(one.card, one.device, one.kind) for one in layout(FACTS[name]["NetworkInfo"])]
    assert found == [first, *rest]


@pytest.mark.parametrize("name", EFA_TYPES)
def test_all_efa_of_a_type_is_used_and_no_more(name: str) -> None:
    network = FACTS[name]["NetworkInfo"]
    found = layout(network)
    cards = {card["NetworkCardIndex"]: card for card in network["NetworkCards"]}
    assert sum("efa" in one.kind for one in found) == network["EfaInfo"]["MaximumEfaInterfaces"]
    assert (found[0].device, found[0].kind == "efa-only") == (0, False)
    for one in found:
        assert one.kind in cards[one.card]["InterfaceTypes"]
        assert one.device < cards[one.card]["MaximumNetworkInterfaces"]


def test_the_catalog_agrees_with_ec2() -> None:
    for name, kind in catalog().types.items():
        network = FACTS[name]["NetworkInfo"]
        assert kind.network_cards == len(network["NetworkCards"]), name
        assert kind.efa == (network.get("EfaInfo") or {}).get("MaximumEfaInterfaces", 0), name
