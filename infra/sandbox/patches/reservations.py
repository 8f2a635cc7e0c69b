"""Capacity reservations, which moto does not have: bought at once (on demand), or ahead as a block (blocks.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import ec2_backends
from moto.ec2.responses import EC2Response
from moto.moto_api._internal import mock_random

from infra.sandbox.patches import quotas
from infra.sandbox.patches.hook import replace
from infra.sandbox.patches.kept import filtered, store, tag, tagged

BLOCK = "capacity-block"
#: A place comes back some time after its machine is gone: minutes on AWS.
#: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/capacity-blocks-launch.html
CLEANED_UP = timedelta(seconds=10)

# The cloud's clock, for reservations that end, and by how much it is ahead; whoever has one sets them.
now: Callable[[], datetime] = lambda: datetime.now(UTC)  # noqa: E731
ahead: Callable[[], timedelta] = lambda: timedelta(0)  # noqa: E731


def install() -> None:
    for action in (
        create_capacity_reservation,
        describe_capacity_reservations,
        modify_capacity_reservation,
        cancel_capacity_reservation,
        modify_instance_capacity_reservation_attributes,
    ):
        replace(EC2Response, action.__name__, action)


def create_capacity_reservation(self: EC2Response) -> ActionResult:
    get = self._get_param
    self.error_on_dryrun()
    backend = self.ec2_backend
    quotas.check_zone(backend, get("InstanceType"), get("AvailabilityZone"))
    quotas.check(backend, get("InstanceType"), "on-demand", int(get("InstanceCount")), reserved(backend))
    reservation = made(
        self,
        {
            "InstanceType": get("InstanceType"),
            "InstancePlatform": get("InstancePlatform"),
            "AvailabilityZone": get("AvailabilityZone"),
            "Tenancy": get("Tenancy") or "default",
            "EbsOptimized": bool(get("EbsOptimized")),
            "EphemeralStorage": bool(get("EphemeralStorage")),
            "TotalInstanceCount": int(get("InstanceCount")),
            "InstanceMatchCriteria": get("InstanceMatchCriteria") or "open",
            "EndDateType": get("EndDateType") or ("limited" if get("EndDate") else "unlimited"),
            "EndDate": get("EndDate"),
            "EndsAt": in_the_cloud(get("EndDate")),
            "PlacementGroupArn": get("PlacementGroupArn"),
            "ReservationType": "default",
            "StartDate": now(),
        },
    )
    tag(self, reservation["CapacityReservationId"], "capacity-reservation")
    return ActionResult({"CapacityReservation": shown(self, reservation)})


def made(response: EC2Response, content: dict[str, Any]) -> dict[str, Any]:
    """A reservation on record."""
    reservation_id = f"cr-{mock_random.get_random_hex(17)}"
    owner = f"arn:aws:ec2:{response.region}:{response.current_account}"
    reservation = {
        "CapacityReservationId": reservation_id,
        "CapacityReservationArn": f"{owner}:capacity-reservation/{reservation_id}",
        "OwnerId": response.current_account,
        "Tenancy": "default",
        "CreateDate": now(),
        "State": "active",
        **content,
    }
    store(response.ec2_backend, "reservations")[reservation_id] = reservation
    return reservation


def describe_capacity_reservations(self: EC2Response) -> ActionResult:
    ids = self._get_param("CapacityReservationIds") or []
    reservations = [find(self.ec2_backend, i) for i in ids] or list(store(self.ec2_backend, "reservations").values())
    return ActionResult({"CapacityReservations": filtered(self, [shown(self, r) for r in reservations])})


def modify_capacity_reservation(self: EC2Response) -> ActionResult:
    reservation = find(self.ec2_backend, self._get_param("CapacityReservationId"))
    if count := self._get_param("InstanceCount"):
        more = int(count) - int(reservation["TotalInstanceCount"])
        if more > 0 and reservation["ReservationType"] == "default":
            kind = reservation["InstanceType"]
            quotas.check(self.ec2_backend, kind, "on-demand", more, reserved(self.ec2_backend))
        reservation["TotalInstanceCount"] = int(count)
    for key in ("EndDate", "EndDateType", "InstanceMatchCriteria"):
        if value := self._get_param(key):
            reservation[key] = value
    if reservation["EndDateType"] == "unlimited":
        reservation["EndDate"] = None
    reservation["EndsAt"] = in_the_cloud(reservation["EndDate"])
    return ActionResult({"Return": True})


def cancel_capacity_reservation(self: EC2Response) -> ActionResult:
    find(self.ec2_backend, self._get_param("CapacityReservationId"))["State"] = "cancelled"
    return ActionResult({"Return": True})


def modify_instance_capacity_reservation_attributes(self: EC2Response) -> ActionResult:
    instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
    specify(instance, self.params)
    return ActionResult({"Return": True})


def target(params: dict[str, Any]) -> str | None:
    """The reservation that a launch names."""
    spec = params.get("CapacityReservationSpecification") or {}
    return (spec.get("CapacityReservationTarget") or {}).get("CapacityReservationId")


def specify(instance: Any, params: dict[str, Any]) -> None:
    said = params.get("CapacityReservationSpecification") or {}
    named, preference = said.get("CapacityReservationTarget"), said.get("CapacityReservationPreference")
    instance.capacity_reservation_id = target(params)
    # AWS shows `open` where nothing was said.
    told = {"CapacityReservationTarget": named} if named else {"CapacityReservationPreference": preference or "open"}
    instance.capacity_reservation_specification = told


def find(backend: Any, reservation_id: str) -> dict[str, Any]:
    reservation = store(backend, "reservations").get(reservation_id)
    if reservation is None:
        message = f"The capacity reservation ID '{reservation_id}' does not exist"
        raise EC2ClientError("InvalidCapacityReservationId.NotFound", message)
    return reservation


def in_the_cloud(moment: Any) -> datetime | None:
    """A moment that somebody wrote, who knows nothing of how far tests have moved the cloud's clock."""
    if not isinstance(moment, datetime):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) + ahead()


def state_of(reservation: dict[str, Any]) -> str:
    if reservation["State"] != "active":
        return str(reservation["State"])
    if reservation["EndsAt"] and reservation["EndsAt"] <= now():
        return "expired"
    return "scheduled" if reservation.get("StartsAt") and reservation["StartsAt"] > now() else "active"


def reserved(backend: Any) -> dict[str, tuple[str, int]]:
    """What counts towards a quota whether it is used or not: reservation -> (type, machines)."""
    return {
        name: (each["InstanceType"], int(each["TotalInstanceCount"]))
        for name, each in store(backend, "reservations").items()
        if each["ReservationType"] == "default" and state_of(each) == "active"
    }


def blocks() -> Iterator[tuple[Any, dict[str, Any]]]:
    """Every capacity block, with moto's backend of its region."""
    for regions in list(ec2_backends.values()):
        for backend in list(regions.values()):
            for each in list(store(backend, "reservations").values()):
                if each["ReservationType"] == BLOCK:
                    yield backend, each


def inside(backend: Any, reservation_id: str) -> list[Any]:
    """The machines that hold a place in it."""
    return [
        instance
        for instance in backend.all_instances()
        if getattr(instance, "capacity_reservation_id", None) == reservation_id
        and instance.state not in ("terminated", "stopped")
    ]


def free(backend: Any, reservation: dict[str, Any]) -> int:
    name, total = reservation["CapacityReservationId"], int(reservation["TotalInstanceCount"])
    return max(0, total - len(inside(backend, name)) - len(_not_back_yet(backend, name)))


def _not_back_yet(backend: Any, reservation_id: str) -> list[Any]:
    """The machines that are gone, and whose places are not there again."""
    since = now() - CLEANED_UP
    return [
        instance
        for instance in backend.all_instances()
        if getattr(instance, "capacity_reservation_id", None) == reservation_id
        and getattr(instance, "ended_at", since) > since
    ]


def shown(response: EC2Response, reservation: dict[str, Any]) -> dict[str, Any]:
    state = state_of(reservation)
    left = free(response.ec2_backend, reservation) if state == "active" else 0
    made = reservation["CreateDate"] - ahead()
    current = reservation | {"State": state, "AvailableInstanceCount": left, "CreateDate": made}
    if reservation["ReservationType"] == BLOCK:
        current |= {"StartDate": reservation["StartsAt"] - ahead(), "EndDate": reservation["EndsAt"] - ahead()}
    return tagged(response, current, reservation["CapacityReservationId"])
