from __future__ import annotations

import re

import pytest

from infra.catalog import InstanceType, catalog

TYPES = sorted(catalog().types.values(), key=lambda one: one.name)


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.name)
def test_a_type_is_whole(kind: InstanceType) -> None:
    assert re.fullmatch(r"[a-z]+\d[a-z0-9-]*\.(\d*x?large|metal)", kind.name)
    assert kind.vcpus > 0 and kind.memory_gib > 0 and kind.network_cards >= 1
    assert (kind.gpus > 0) == (kind.gpu_memory_gib > 0) == (kind.gpu != "none")
    assert kind.usd_per_hour is None or 0 < kind.usd_per_hour < 1000


def test_the_price_has_a_source_a_day_and_a_region() -> None:
    known = catalog()
    assert known.price_region in known.price_source
    assert known.price_date.year >= 2026


def test_within_a_family_more_gpus_never_cost_less() -> None:
    for one in TYPES:
        for other in TYPES:
            same = one.name.split(".")[0] == other.name.split(".")[0] and one.usd_per_hour and other.usd_per_hour
            if same and one.gpus < other.gpus and one.vcpus <= other.vcpus:
                assert one.usd_per_hour < other.usd_per_hour, (one.name, other.name)


def test_it_is_read_once() -> None:
    assert catalog() is catalog()
