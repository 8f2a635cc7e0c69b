"""Moves the ends that AWS holds beside the schedules: the reservation's, and the lifetime that each node's tag tells a
sweep of.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime, timedelta

from infra.bought import BLOCK_ENDS_EARLY, read_bought
from infra.cloud import Cloud, translated
from infra.durations import show_duration
from infra.nodes import LIFETIME_TAG
from infra.sweep import live
from infra.tags import STACK_TAG


def block_end(cloud: Cloud, reservation_id: str | None) -> datetime | None:
    """When AWS begins to end what runs in that capacity block; None for what has no such end."""
    bought = read_bought(cloud, reservation_id) if reservation_id else None
    return bought.ends - BLOCK_ENDS_EARLY if bought and bought.is_block and bought.ends else None


def reserved_until(cloud: Cloud, stack: str) -> dict[str, datetime]:
    """The stack's own reservations, by id, and when each ends."""
    asked = [{"Name": f"tag:{STACK_TAG}", "Values": [stack]}, {"Name": "state", "Values": ["active"]}]
    with translated():
        found = cloud.client("ec2").describe_capacity_reservations(Filters=asked)["CapacityReservations"]
    return {one["CapacityReservationId"]: one["EndDate"] for one in found if one.get("EndDate")}


def move_reservations(cloud: Cloud, until: Mapping[str, datetime]) -> None:
    """One that ended under nodes that run would be made anew by the next `up`, empty, and billed beside them."""
    with translated():
        for one, end in until.items():
            cloud.client("ec2").modify_capacity_reservation(
                CapacityReservationId=one, EndDateType="limited", EndDate=end
            )


def tag_lifetimes(cloud: Cloud, stack: str, lifetimes: Mapping[str, timedelta]) -> None:
    """Instance id -> its lifetime, counted from its launch. Those that say so already are left alone."""
    there = live(cloud, stack)
    ids: dict[str, list[str]] = defaultdict(list)
    for one, lifetime in lifetimes.items():
        if one in there and there[one].lifetime != lifetime:
            ids[show_duration(lifetime)].append(one)
    with translated():
        for text, together in ids.items():
            cloud.client("ec2").create_tags(Resources=together, Tags=[{"Key": LIFETIME_TAG, "Value": text}])
