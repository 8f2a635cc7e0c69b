"""Reading AWS's price list: the answers are the sandbox's, which has AWS's shape and its traps."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest

from infra.catalog import catalog
from infra.goods import Good, address, files, instance, lustre, nat_gateway, volume
from infra.prices import dearest, price_of
from infra.sandbox.pricelist import answer

DAY = catalog().price_date
EAST = "us-east-1"


def listed(good: Good, **more: str) -> list[dict[str, Any]]:
    filters = [{"Field": "regionCode", "Value": good.region}, *({"Field": f, "Value": v} for f, v in good.filters)]
    said = answer("GetProducts", {"ServiceCode": good.service, "Filters": json.dumps(filters), **more})
    return [json.loads(one) for one in said["PriceList"]]


@pytest.mark.parametrize(
    ("good", "usd"),
    [
        # g6e.xlarge for $0.20 and p5.48xlarge for $9.60 let a peer's limit of $8 fire near $74 (spore-host/spawn #533)
        (instance(EAST, "g6e.xlarge"), 1.861),
        (instance(EAST, "p5.48xlarge"), 55.04),
        (volume(EAST), 0.08),
        (address(EAST), 0.005),
        (nat_gateway(EAST), 0.045),
        *zip(files(EAST), (0.30, 0.03, 0.06), strict=True),
        (lustre(EAST, "SCRATCH_2"), 0.14),
        (lustre(EAST, "PERSISTENT_2", 1000), 0.6),
    ],
    ids=lambda value: value.name if isinstance(value, Good) else "",
)
def test_a_price_is_the_lists_own_with_its_day(good: Good, usd: float) -> None:
    price = price_of(good, listed(good))
    assert (price.usd, price.source, price.as_of) == (usd, "AWS Price List, us-east-1", DAY)


def test_neither_windows_nor_a_dedicated_machine_nor_a_reservations_slot_passes_for_it() -> None:
    good = instance(EAST, "g6.xlarge")
    everything = listed(Good(good.name, EAST, "AmazonEC2", (("instanceType", "g6.xlarge"),), good.usage, "Hrs"))
    usages = {one["product"]["attributes"]["usagetype"] for one in everything}
    assert {"Reservation:g6.xlarge", "UnusedBox:g6.xlarge", "DedicatedUsage:g6.xlarge"} < usages
    assert [one["product"]["attributes"]["operatingSystem"] for one in listed(good)] == ["Linux"]


@pytest.mark.parametrize(
    ("good", "why"),
    [
        (instance("eu-west-1", "g6.xlarge"), "AWS lists no price of g6.xlarge in eu-west-1"),
        (instance(EAST, "p5e.48xlarge"), "AWS lists no price of p5e.48xlarge in us-east-1"),
        (volume(EAST, "io2"), "AWS lists no price of EBS io2 in us-east-1"),
    ],
)
def test_what_the_list_does_not_have_is_unknown(good: Good, why: str) -> None:
    price = price_of(good, listed(good))
    assert (price.usd, price.unknown) == (None, why)


def test_of_two_prices_none_is_guessed() -> None:
    good = instance(EAST, "g6.xlarge")
    loose = Good(good.name, EAST, good.service, (("instanceType", "g6.xlarge"),), good.usage, "Hrs")
    assert price_of(loose, listed(loose)) == price_of(loose, reversed(listed(loose)))
    assert price_of(loose, listed(loose)).unknown.startswith("AWS lists 2 prices of g6.xlarge in us-east-1: $0.8048")


def test_nothing_that_is_free_is_a_price() -> None:
    good = instance(EAST, "g6.xlarge")
    free = json.loads(json.dumps(listed(good)).replace("0.8048000000", "0.0000000000"))
    assert price_of(good, free).usd is None


def test_the_list_comes_in_pages() -> None:
    said = answer("GetProducts", {"ServiceCode": "AmazonEC2", "MaxResults": "2"})
    assert (len(said["PriceList"]), said["NextToken"]) == (2, "2")
    rest = answer("GetProducts", {"ServiceCode": "AmazonVPC", "MaxResults": "2", "NextToken": "2"})
    assert (len(rest["PriceList"]), "NextToken" in rest) == (1, False)


def test_of_a_spot_price_the_dearest_of_its_hours_counts() -> None:
    at = datetime(2026, 11, 24, 3, tzinfo=UTC)
    rows = [
        {"SpotPrice": usd, "AvailabilityZone": f"us-east-1{zone}", "Timestamp": at.replace(hour=hour)}
        for usd, zone, hour in (("9.8", "a", 3), ("10.5", "b", 1), ("4.0", "b", 2))
    ]
    price = dearest(rows, "p5.4xlarge", EAST)
    assert (price.usd, price.as_of) == (10.5, date(2026, 11, 24))
    assert price.source == "spot price history, dearest of 24 h in us-east-1b"
    assert dearest([], "p5.4xlarge", EAST).unknown == "AWS tells no spot price of p5.4xlarge in us-east-1"
