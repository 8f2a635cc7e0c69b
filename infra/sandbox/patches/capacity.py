"""Placement groups and capacity reservations, which moto does not have."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend
from moto.ec2.models.instances import Instance
from moto.ec2.responses import EC2Response
from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE, EC2_RESOURCE_TO_PREFIX
from moto.moto_api._internal import mock_random

from infra.sandbox.patches.hook import replace

# The cloud's clock, for reservations that end; whoever has one sets it.
now: Callable[[], datetime] = lambda: datetime.now(UTC)  # noqa: E731


_do_resources_exist = EC2Backend.do_resources_exist


def install() -> None:
    for action in (
        create_placement_group,
        describe_placement_groups,
        delete_placement_group,
        create_capacity_reservation,
        describe_capacity_reservations,
        modify_capacity_reservation,
        cancel_capacity_reservation,
        modify_instance_capacity_reservation_attributes,
    ):
        replace(EC2Response, action.__name__, action)
    replace(EC2Backend, "do_resources_exist", do_resources_exist)
    for kind, prefix in (("placement-group", "pg"), ("capacity-reservation", "cr")):
        EC2_RESOURCE_TO_PREFIX[kind], EC2_PREFIX_TO_RESOURCE[prefix] = prefix, kind


# On launch ---------------------------------------------------------------------------------------------------------


def check(response: EC2Response, params: dict[str, Any]) -> None:
    """Refuses a launch into a group or a reservation that does not exist or is full, as AWS does."""
    backend = response.ec2_backend
    group = (params.get("Placement") or {}).get("GroupName")
    if group and group not in _store(backend, "groups"):
        raise _unknown_group(group)
    reservation_id = _target(params)
    if not reservation_id:
        return
    reservation = _reservation(backend, reservation_id)
    if _state(reservation) != "active":
        raise EC2ClientError("InvalidCapacityReservationState", f"The capacity reservation is {_state(reservation)}.")
    if params.get("InstanceType") != reservation["InstanceType"]:
        raise EC2ClientError("InvalidParameterValue", "The instance type does not match that of the reservation.")
    if _free(backend, reservation) < int(params.get("MinCount") or 1):
        message = "The requested quantity exceeds the available capacity of the specified Capacity Reservation."
        raise EC2ClientError("ReservationCapacityExceeded", message)


def place(instance: Instance, params: dict[str, Any]) -> None:
    instance.placement.group_name = (params.get("Placement") or {}).get("GroupName") or ""
    _specify(instance, params)


def _specify(instance: Any, params: dict[str, Any]) -> None:
    said = params.get("CapacityReservationSpecification") or {}
    target, preference = said.get("CapacityReservationTarget"), said.get("CapacityReservationPreference")
    instance.capacity_reservation_id = _target(params)
    # AWS shows `open` where nothing was said.
    shown = {"CapacityReservationTarget": target} if target else {"CapacityReservationPreference": preference or "open"}
    instance.capacity_reservation_specification = shown


def _target(params: dict[str, Any]) -> str | None:
    spec = params.get("CapacityReservationSpecification") or {}
    return (spec.get("CapacityReservationTarget") or {}).get("CapacityReservationId")


# Placement groups --------------------------------------------------------------------------------------------------


def create_placement_group(self: EC2Response) -> ActionResult:
    name, groups = self._get_param("GroupName"), _store(self.ec2_backend, "groups")
    self.error_on_dryrun()
    if name in groups:
        raise EC2ClientError("InvalidPlacementGroup.Duplicate", f"The placement group '{name}' already exists.")
    group_id = f"pg-{mock_random.get_random_hex(17)}"
    groups[name] = {
        "GroupName": name,
        "GroupId": group_id,
        "State": "available",
        "Strategy": self._get_param("Strategy") or "cluster",
        "PartitionCount": self._get_param("PartitionCount"),
        "SpreadLevel": self._get_param("SpreadLevel"),
        "GroupArn": f"arn:aws:ec2:{self.region}:{self.current_account}:placement-group/{name}",
    }
    _tag(self, group_id, "placement-group")
    return ActionResult({"PlacementGroup": _tagged(self, groups[name], group_id)})


def describe_placement_groups(self: EC2Response) -> ActionResult:
    groups = _store(self.ec2_backend, "groups")
    names, ids = self._get_param("GroupNames") or [], self._get_param("GroupIds") or []
    for name in names:
        if name not in groups:
            raise _unknown_group(name)
    shown = [
        _tagged(self, group, group["GroupId"])
        for group in groups.values()
        if (not names or group["GroupName"] in names) and (not ids or group["GroupId"] in ids)
    ]
    return ActionResult({"PlacementGroups": _filtered(self, shown)})


def delete_placement_group(self: EC2Response) -> ActionResult:
    name, groups = self._get_param("GroupName"), _store(self.ec2_backend, "groups")
    if name not in groups:
        raise _unknown_group(name)
    if any(i.placement.group_name == name and i.state != "terminated" for i in self.ec2_backend.all_instances()):
        message = f"The placement group '{name}' is in use and may not be deleted."
        raise EC2ClientError("InvalidPlacementGroup.InUse", message)
    del groups[name]
    return ActionResult({})


def _unknown_group(name: str) -> EC2ClientError:
    return EC2ClientError("InvalidPlacementGroup.Unknown", f"The Placement Group '{name}' is unknown.")


# Capacity reservations ---------------------------------------------------------------------------------------------


def create_capacity_reservation(self: EC2Response) -> ActionResult:
    get = self._get_param
    self.error_on_dryrun()
    reservation_id = f"cr-{mock_random.get_random_hex(17)}"
    owner = f"arn:aws:ec2:{self.region}:{self.current_account}"
    reservation = {
        "CapacityReservationId": reservation_id,
        "CapacityReservationArn": f"{owner}:capacity-reservation/{reservation_id}",
        "OwnerId": self.current_account,
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
        "PlacementGroupArn": get("PlacementGroupArn"),
        "ReservationType": "default",
        "CreateDate": now(),
        "StartDate": now(),
        "State": "active",
    }
    _store(self.ec2_backend, "reservations")[reservation_id] = reservation
    _tag(self, reservation_id, "capacity-reservation")
    return ActionResult({"CapacityReservation": _shown(self, reservation)})


def describe_capacity_reservations(self: EC2Response) -> ActionResult:
    ids = self._get_param("CapacityReservationIds") or []
    reservations = [_reservation(self.ec2_backend, i) for i in ids] or list(
        _store(self.ec2_backend, "reservations").values()
    )
    return ActionResult({"CapacityReservations": _filtered(self, [_shown(self, r) for r in reservations])})


def modify_capacity_reservation(self: EC2Response) -> ActionResult:
    reservation = _reservation(self.ec2_backend, self._get_param("CapacityReservationId"))
    if count := self._get_param("InstanceCount"):
        reservation["TotalInstanceCount"] = int(count)
    for key in ("EndDate", "EndDateType", "InstanceMatchCriteria"):
        if value := self._get_param(key):
            reservation[key] = value
    return ActionResult({"Return": True})


def cancel_capacity_reservation(self: EC2Response) -> ActionResult:
    _reservation(self.ec2_backend, self._get_param("CapacityReservationId"))["State"] = "cancelled"
    return ActionResult({"Return": True})


def modify_instance_capacity_reservation_attributes(self: EC2Response) -> ActionResult:
    instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
    _specify(instance, self.params)
    return ActionResult({"Return": True})


def _reservation(backend: Any, reservation_id: str) -> dict[str, Any]:
    reservation = _store(backend, "reservations").get(reservation_id)
    if reservation is None:
        message = f"The capacity reservation ID '{reservation_id}' does not exist"
        raise EC2ClientError("InvalidCapacityReservationId.NotFound", message)
    return reservation


def _state(reservation: dict[str, Any]) -> str:
    ends = reservation.get("EndDate")
    if reservation["State"] == "active" and isinstance(ends, datetime):
        ends = ends if ends.tzinfo else ends.replace(tzinfo=UTC)
        if ends <= now():
            return "expired"
    return str(reservation["State"])


def _free(backend: Any, reservation: dict[str, Any]) -> int:
    used = [
        instance
        for instance in backend.all_instances()
        if getattr(instance, "capacity_reservation_id", None) == reservation["CapacityReservationId"]
        and instance.state not in ("terminated", "stopped")
    ]
    return int(reservation["TotalInstanceCount"]) - len(used)


def _shown(response: EC2Response, reservation: dict[str, Any]) -> dict[str, Any]:
    state = _state(reservation)
    free = _free(response.ec2_backend, reservation) if state == "active" else 0
    current = reservation | {"State": state, "AvailableInstanceCount": free}
    return _tagged(response, current, reservation["CapacityReservationId"])


def do_resources_exist(self: EC2Backend, resource_ids: list[str]) -> bool:
    """CreateTags asks moto this, which does not know our two kinds."""
    ours = {group["GroupId"] for group in _store(self, "groups").values()} | set(_store(self, "reservations"))
    return _do_resources_exist(self, [i for i in resource_ids if i not in ours])


# Common to both ----------------------------------------------------------------------------------------------------


def _store(backend: Any, kind: str) -> dict[str, dict[str, Any]]:
    if not hasattr(backend, "sandbox_capacity"):
        backend.sandbox_capacity = {"groups": {}, "reservations": {}}
    return backend.sandbox_capacity[kind]  # type: ignore[no-any-return]


def _tag(response: EC2Response, resource_id: str, kind: str) -> None:
    if tags := response._parse_tag_specification().get(kind):
        response.ec2_backend.create_tags([resource_id], tags)


def _tagged(response: EC2Response, item: dict[str, Any], resource_id: str) -> dict[str, Any]:
    tags = response.ec2_backend.tags.get(resource_id, {})
    shown = {key: value for key, value in item.items() if value is not None}
    return shown | {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}


def _filtered(response: EC2Response, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    filters = response._filters_from_querystring()
    return [item for item in items if all(_passes(item, name, values) for name, values in filters.items())]


def _passes(item: dict[str, Any], name: str, values: Any) -> bool:
    tags = {tag["Key"]: tag["Value"] for tag in item["Tags"]}
    if name.startswith("tag:"):
        return tags.get(name.removeprefix("tag:")) in values
    if name == "tag-key":
        return any(key in values for key in tags)
    # `group-name` is GroupName, `instance-type` InstanceType
    return str(item.get("".join(word.capitalize() for word in name.split("-")))) in values
