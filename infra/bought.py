"""A reservation or capacity block that exists already: where it is, and whether this fleet fits into it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from infra.cloud import Cloud, named_by
from infra.errors import BadInput
from infra.place import Place
from infra.settings import PREFIX, StackConfig

#: AWS begins to terminate what runs in a capacity block this long before its end (EC2 User Guide, monitor blocks).
BLOCK_ENDS_EARLY = timedelta(minutes=30)


@dataclass(frozen=True)
class Bought:
    """state: AWS's word; free: machines that nobody uses; starts and ends: UTC, None where it has none."""

    id: str
    place: Place
    state: str
    free: int
    is_block: bool
    starts: datetime | None
    ends: datetime | None


def read_bought(cloud: Cloud, reservation_id: str) -> Bought:
    """Raises BadInput where there is none of this id, CloudRefused where AWS can't be asked."""
    with named_by(cloud, "capacityReservationId", reservation_id):
        found = cloud.client("ec2").describe_capacity_reservations(CapacityReservationIds=[reservation_id])
    return parse(found["CapacityReservations"][0])


def parse(one: dict[str, Any]) -> Bought:
    return Bought(
        id=one["CapacityReservationId"],
        place=Place(one["InstanceType"], one["AvailabilityZone"]),
        state=one["State"],
        free=one["AvailableInstanceCount"],
        is_block=one.get("ReservationType") == "capacity-block",
        starts=one.get("StartDate"),
        ends=one.get("EndDate"),
    )


def check(
    bought: Bought, config: StackConfig, missing: int, now: datetime, *, coming_back: int = 0, stands: bool = False
) -> None:
    """BadInput, in one line, where the fleet can't be made in it. missing: nodes that don't run in it yet.

    coming_back: places that are to be freed for them. stands: the fleet has its deadline, by which it was let in.
    """
    kind = "capacity-block" if bought.is_block else "reservation"
    if kind != config.capacity:
        raise _unusable(bought.id, f"is a {kind}, the stack says capacity: {config.capacity}")
    if bought.place.instance_type != config.instance_type:
        raise _unusable(bought.id, f"is of {bought.place.instance_type}, the stack's type is {config.instance_type}")
    if bought.starts and bought.starts > now:
        raise _unusable(bought.id, f"begins at {bought.starts:%Y-%m-%d %H:%M} UTC", "Try again then.")
    if bought.state != "active":
        raise _unusable(bought.id, f"is {bought.state}")
    if bought.free + coming_back < missing:
        raise _unusable(
            bought.id,
            # AWS's own code, by which `fleet replace` knows that it may wait.
            f"has {bought.free} machines free, {missing - coming_back} are needed (ReservationCapacityExceeded)",
            "Free some or take fewer nodes; EC2 gives a freed place back after minutes.",
        )
    ends = bought.ends
    if ends and bought.is_block:
        ends -= BLOCK_ENDS_EARLY
    if missing and not stands and ends and ends < now + config.lifetime:
        left = int((ends - now).total_seconds() // 60)
        early = ", 30 minutes before its end" if bought.is_block else ""
        raise _unusable(
            bought.id,
            f"ends the fleet at {ends:%Y-%m-%d %H:%M} UTC{early}: before its lifetime is over",
            f"Set swift-fleet:lifetime to at most {max(left, 0)}m.",
        )


def refuse_placeholders(config: StackConfig, where: str) -> None:
    """BadInput where an id is still the one that stacks are shipped with: nothing of AWS's has it."""
    for key in ("capacity_reservation_id", "subnet_id", "vpc_id", "security_group_id", "file_system_id"):
        value = getattr(config, key)
        if value and not value.partition("-")[2].strip("0"):
            name = f"{PREFIX}{type(config).model_fields[key].alias}"
            raise BadInput(f"{name} is still {value}, which is nobody's", where=where, do="Write yours in its place.")


def _unusable(reservation_id: str, why: str, do: str = "Check swift-fleet:capacityReservationId.") -> BadInput:
    return BadInput(why, where=reservation_id, do=do)
