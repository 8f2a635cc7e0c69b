"""DescribeSpotPriceHistory: moto's is $0.00001 everywhere, which would make any spot fleet look free.

Here a type costs 40 % of its On-Demand price in the region's first zone, 5 % of it more in each next one, and twelve
hours ago a tenth more than now. Nothing that ships says what spot really costs: at AWS it is asked.
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSpotPriceHistory.html
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.responses import EC2Response

from infra.catalog import catalog
from infra.sandbox.patches.hook import replace

FIRST, STEP, BEFORE = 0.40, 0.05, 1.10


def install() -> None:
    replace(EC2Response, "describe_spot_price_history", describe_spot_price_history)


def describe_spot_price_history(self: EC2Response) -> ActionResult:
    filters = self._filters_from_querystring()
    kinds = self._get_param("InstanceTypes") or filters.get("instance-type") or list(catalog().types)
    zone = self._get_param("AvailabilityZone")
    zones = [one.name for one in self.ec2_backend.describe_availability_zones()]
    rows: list[dict[str, Any]] = []
    now = datetime.now(UTC)
    for name in kinds:
        kind = catalog().types.get(name)
        if kind is None or kind.usd_per_hour is None:
            continue
        for place, one in enumerate(zones):
            if zone in (None, one):
                usd = kind.usd_per_hour * (FIRST + STEP * place)
                rows += [_row(name, one, usd, now - timedelta(hours=1))]
                rows += [_row(name, one, usd * BEFORE, now - timedelta(hours=12))]
    return ActionResult({"SpotPriceHistory": rows, "NextToken": ""})


def _row(name: str, zone: str, usd: float, at: datetime) -> dict[str, Any]:
    return {
        "InstanceType": name,
        "ProductDescription": "Linux/UNIX",
        "AvailabilityZone": zone,
        "SpotPrice": f"{usd:.6f}",
        "Timestamp": at,
    }
