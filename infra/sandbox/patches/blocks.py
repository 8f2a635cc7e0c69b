"""Capacity blocks: machines for a fixed time, paid ahead. moto has none.

Offered is one that starts in the next half hour and one that starts at the next 11:30 UTC, in the first zone that has
the type, at the list price of the hours. AWS's own price is another: only its API tells it.
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/capacity-blocks-how.html
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.responses import EC2Response
from moto.moto_api._internal import mock_random

from infra.catalog import catalog
from infra.sandbox.patches import quotas, reservations
from infra.sandbox.patches.hook import replace
from infra.sandbox.patches.kept import store, tag

LARGEST = 64
DAY_TURNS = timedelta(hours=11, minutes=30)


def install() -> None:
    for action in (describe_capacity_block_offerings, purchase_capacity_block):
        replace(EC2Response, action.__name__, action)


def describe_capacity_block_offerings(self: EC2Response) -> ActionResult:
    kind, count = self._get_param("InstanceType"), int(self._get_param("InstanceCount") or 1)
    hours = int(self._get_param("CapacityDurationHours"))
    zone = next(iter(quotas.zones_of(self.ec2_backend, kind)), "")
    if count > LARGEST or hours % 24 or not zone:
        return ActionResult({"CapacityBlockOfferings": []})
    earliest, latest = self._get_param("StartDateRange"), self._get_param("EndDateRange")
    offered = []
    for start in _starts():
        end = start + timedelta(hours=hours)
        shown_start, shown_end = start - reservations.ahead(), end - reservations.ahead()
        if (earliest and shown_start < _utc(earliest)) or (latest and shown_end > _utc(latest)):
            continue
        offering = {
            "CapacityBlockOfferingId": f"cb-0{mock_random.get_random_hex(16)}",
            "InstanceType": kind,
            "AvailabilityZone": zone,
            "InstanceCount": count,
            "StartDate": shown_start,
            "EndDate": shown_end,
            "CapacityBlockDurationHours": hours,
            "UpfrontFee": f"{_usd_per_hour(kind) * count * hours:.2f}",
            "CurrencyCode": "USD",
            "Tenancy": "default",
        }
        store(self.ec2_backend, "offerings")[offering["CapacityBlockOfferingId"]] = offering
        offered.append(offering)
    return ActionResult({"CapacityBlockOfferings": offered})


def purchase_capacity_block(self: EC2Response) -> ActionResult:
    offering = store(self.ec2_backend, "offerings").get(self._get_param("CapacityBlockOfferingId"))
    if offering is None:
        message = "The Capacity Block offering does not exist or can't be bought any more."
        raise EC2ClientError("InvalidCapacityBlockOfferingId.NotFound", message)
    self.error_on_dryrun()
    reservation = reservations.made(
        self,
        {
            "InstanceType": offering["InstanceType"],
            "InstancePlatform": self._get_param("InstancePlatform"),
            "AvailabilityZone": offering["AvailabilityZone"],
            "TotalInstanceCount": offering["InstanceCount"],
            "InstanceMatchCriteria": "targeted",
            "EndDateType": "limited",
            "ReservationType": reservations.BLOCK,
            "StartsAt": offering["StartDate"] + reservations.ahead(),
            "EndsAt": offering["EndDate"] + reservations.ahead(),
        },
    )
    tag(self, reservation["CapacityReservationId"], "capacity-reservation")
    return ActionResult({"CapacityReservation": reservations.shown(self, reservation)})


def _starts() -> list[datetime]:
    now = reservations.now()
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    turn = today + DAY_TURNS
    soon = today + timedelta(minutes=30) * ((now - today) // timedelta(minutes=30) + 1)
    return [soon, turn if turn > soon else turn + timedelta(days=1)]


def _usd_per_hour(kind: str) -> float:
    known = catalog().types.get(kind)
    return (known.usd_per_hour if known else None) or 0.0


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
