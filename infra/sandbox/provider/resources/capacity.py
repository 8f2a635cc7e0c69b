"""Room for machines: placement groups and capacity reservations (terraform-provider-aws ec2_placement_group.go,
ec2_capacity_reservation.go)."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from infra.sandbox.provider import tags
from infra.sandbox.provider.resources.base import Resource
from infra.sandbox.provider.schema import Autoname, Failure, ResourceType, Timeouts, flag, integer, text
from infra.sandbox.provider.session import Aws
from infra.sandbox.provider.values import UNKNOWN, Props
from infra.sandbox.provider.waits import Deadline, or_none, tolerating, until

GROUP_GONE = "InvalidPlacementGroup.Unknown"
# A group's waits have a fixed five minutes.
GROUP_WAIT = 300
RESERVATION_GONE = ("InvalidCapacityReservationId.NotFound", "InvalidReservationID.NotFound")
PLATFORMS = (
    "Linux/UNIX",
    "Red Hat Enterprise Linux",
    "SUSE Linux",
    "Windows",
    "Windows with SQL Server",
    "Windows with SQL Server Enterprise",
    "Windows with SQL Server Standard",
    "Windows with SQL Server Web",
)


def _group_rules(inputs: Props) -> list[Failure]:
    found = []
    for name, strategy in (("partitionCount", "partition"), ("spreadLevel", "spread")):
        if inputs.get(name) and inputs.get("strategy") not in (strategy, UNKNOWN):
            found.append((name, f"{name} must not be set when strategy = {inputs.get('strategy')!r}"))
    return found


class PlacementGroup(Resource):
    type = ResourceType(
        token="aws:ec2/placementGroup:PlacementGroup",
        inputs={
            "name": text(computed=True, force_new=True),
            "strategy": text(required=True, force_new=True, enum=("cluster", "partition", "spread")),
            "partitionCount": integer(computed=True, force_new=True, bounds=(0, 7)),
            "spreadLevel": text(computed=True, force_new=True, enum=("host", "rack")),
        },
        outputs=("arn", "placementGroupId"),
        autoname=Autoname("name"),
        tagged=True,
        validate=_group_rules,
    )

    def create(self, aws: Aws, inputs: Props, deadline: Deadline) -> str:
        optional = {"PartitionCount": inputs.get("partitionCount"), "SpreadLevel": inputs.get("spreadLevel")}
        self.client(aws, inputs).create_placement_group(
            GroupName=inputs["name"],
            Strategy=inputs["strategy"],
            TagSpecifications=tags.specification("placement-group", inputs["tagsAll"]),
            **{key: value for key, value in optional.items() if value},
        )
        return str(inputs["name"])

    def settle(self, aws: Aws, id: str, inputs: Props, deadline: Deadline) -> None:
        ec2 = self.client(aws, inputs)
        until(lambda: _group(ec2, id), deadline.fixed(GROUP_WAIT), f"EC2 Placement Group ({id}) to become available")

    def read(self, aws: Aws, id: str, known: Props) -> Props | None:
        found = _group(self.client(aws, known), id)
        if found is None:
            return None
        return {
            "arn": aws.arn("ec2", f"placement-group/{id}", known.get("region", "")),
            "name": found["GroupName"],
            "strategy": found["Strategy"],
            "partitionCount": found.get("PartitionCount", 0),
            "spreadLevel": found.get("SpreadLevel", ""),
            "placementGroupId": found["GroupId"],
            "tagsAll": tags.from_aws(found.get("Tags")),
        }

    def delete(self, aws: Aws, id: str, state: Props, deadline: Deadline) -> None:
        ec2 = self.client(aws, state)
        with tolerating(GROUP_GONE):
            # InUse is not waited out: the group must go after all that is in it.
            ec2.delete_placement_group(GroupName=id)
            until(lambda: not _group(ec2, id), deadline.fixed(GROUP_WAIT), f"EC2 Placement Group ({id}) to be deleted")

    def tagged_id(self, id: str, state: Props) -> str:
        return str(state["placementGroupId"])


def _group(ec2: Any, name: str) -> Any:
    answer = or_none(lambda: ec2.describe_placement_groups(GroupNames=[name]), GROUP_GONE)
    found = [each for each in (answer or {}).get("PlacementGroups", []) if each["State"] != "deleted"]
    return found[0] if found else None


def _moment(value: str) -> str | None:
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        return f"expected an RFC3339 date, got {value!r}"
    return None if parsed.tzinfo else f"expected an RFC3339 date with its zone, got {value!r}"


def _same_moment(one: Any, other: Any) -> bool:
    return datetime.fromisoformat(str(one)) == datetime.fromisoformat(str(other))


class CapacityReservation(Resource):
    type = ResourceType(
        token="aws:ec2/capacityReservation:CapacityReservation",
        inputs={
            "availabilityZone": text(required=True, force_new=True),
            "instanceType": text(required=True, force_new=True),
            "instancePlatform": text(required=True, force_new=True, enum=PLATFORMS),
            "instanceCount": integer(required=True),
            "instanceMatchCriteria": text(default="open", force_new=True, enum=("open", "targeted")),
            "endDateType": text(default="unlimited", enum=("unlimited", "limited")),
            "endDate": text(check=_moment, same=_same_moment),
            "ebsOptimized": flag(default=False, force_new=True),
            "ephemeralStorage": flag(default=False, force_new=True),
            "tenancy": text(default="default", force_new=True, enum=("default", "dedicated")),
            # A later change of these two is accepted and never sent.
            "placementGroupArn": text(),
            "outpostArn": text(),
        },
        outputs=("arn", "ownerId"),
        tagged=True,
        timeouts=Timeouts(create=600, update=600, delete=600),
    )

    def create(self, aws: Aws, inputs: Props, deadline: Deadline) -> str:
        optional = {
            "EndDate": _date(inputs),
            "PlacementGroupArn": inputs.get("placementGroupArn"),
            "OutpostArn": inputs.get("outpostArn"),
        }
        made = self.client(aws, inputs).create_capacity_reservation(
            ClientToken=str(uuid.uuid4()),
            AvailabilityZone=inputs["availabilityZone"],
            InstanceType=inputs["instanceType"],
            InstancePlatform=inputs["instancePlatform"],
            InstanceCount=inputs["instanceCount"],
            InstanceMatchCriteria=inputs["instanceMatchCriteria"],
            EndDateType=inputs["endDateType"],
            EbsOptimized=inputs["ebsOptimized"],
            EphemeralStorage=inputs["ephemeralStorage"],
            Tenancy=inputs["tenancy"],
            TagSpecifications=tags.specification("capacity-reservation", inputs["tagsAll"]),
            **{key: value for key, value in optional.items() if value},
        )
        return str(made["CapacityReservation"]["CapacityReservationId"])

    def settle(self, aws: Aws, id: str, inputs: Props, deadline: Deadline) -> None:
        ec2 = self.client(aws, inputs)
        until(lambda: _is_active(ec2, id), deadline, f"EC2 Capacity Reservation ({id}) to become active")

    def read(self, aws: Aws, id: str, known: Props) -> Props | None:
        found = _reservation(self.client(aws, known), id)
        if found is None:
            return None
        ends = found.get("EndDate")
        return {
            "arn": found["CapacityReservationArn"],
            "ownerId": found["OwnerId"],
            "availabilityZone": found["AvailabilityZone"],
            "instanceType": found["InstanceType"],
            "instancePlatform": found["InstancePlatform"],
            "instanceCount": found["TotalInstanceCount"],
            "instanceMatchCriteria": found["InstanceMatchCriteria"],
            "endDateType": found["EndDateType"],
            "endDate": ends.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if ends else None,
            "ebsOptimized": bool(found.get("EbsOptimized")),
            "ephemeralStorage": bool(found.get("EphemeralStorage")),
            "tenancy": found["Tenancy"],
            "placementGroupArn": found.get("PlacementGroupArn"),
            "outpostArn": found.get("OutpostArn"),
            "tagsAll": tags.from_aws(found.get("Tags")),
        }

    def update(self, aws: Aws, id: str, old: Props, new: Props, changed: frozenset[str], deadline: Deadline) -> None:
        if not changed & {"instanceCount", "endDate", "endDateType"}:
            return
        ec2, ends = self.client(aws, new), _date(new)
        ec2.modify_capacity_reservation(
            CapacityReservationId=id,
            InstanceCount=new["instanceCount"],
            EndDateType=new["endDateType"],
            **({"EndDate": ends} if ends else {}),
        )
        until(lambda: _is_active(ec2, id), deadline, f"EC2 Capacity Reservation ({id}) to become active")

    def delete(self, aws: Aws, id: str, state: Props, deadline: Deadline) -> None:
        ec2 = self.client(aws, state)
        with tolerating(*RESERVATION_GONE):
            ec2.cancel_capacity_reservation(CapacityReservationId=id)
            until(lambda: not _reservation(ec2, id), deadline, f"EC2 Capacity Reservation ({id}) to be cancelled")


def _date(inputs: Props) -> datetime | None:
    return datetime.fromisoformat(inputs["endDate"]) if inputs.get("endDate") else None


def _reservation(ec2: Any, id: str) -> Any:
    """None when it is cancelled or expired too, which the provider counts as gone."""
    answer = or_none(lambda: ec2.describe_capacity_reservations(CapacityReservationIds=[id]), *RESERVATION_GONE)
    found = (answer or {}).get("CapacityReservations", [])
    return found[0] if found and found[0]["State"] not in ("cancelled", "expired") else None


def _is_active(ec2: Any, id: str) -> bool:
    found = _reservation(ec2, id)
    if found is None:
        raise RuntimeError(f"waiting for EC2 Capacity Reservation ({id}) active: it is cancelled, expired or gone")
    return bool(found["State"] == "active")
