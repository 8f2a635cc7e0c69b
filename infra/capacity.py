"""Room for all nodes or for none: the part of the program that is asked first.

Of several on-demand nodes a targeted reservation for all of them (atomic, with an end date); it bills like the nodes
that fill it, from the moment it is granted, so nothing slow may stand between it and them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pulumi
import pulumi_aws as aws

from infra.place import Place
from infra.settings import StackConfig

PLATFORM = "Linux/UNIX"


@dataclass
class CapacityArgs:
    """reserve: whether to reserve first. reservation_id: one that exists. ends_at: UTC, the reservation's end, which
    ends its bill and no node. together: in a cluster placement group.
    """

    nodes: int
    place: Place
    reserve: bool
    reservation_id: str | None
    market: str | None
    together: bool
    ends_at: datetime
    tags: Mapping[str, str]


class Capacity(pulumi.ComponentResource):
    """`launch`: the arguments of each instance that bind it to this room, and `ready`: what must be there first."""

    def __init__(self, name: str, args: CapacityArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("swift-fleet:infra:Capacity", name, {}, opts)
        tags = {"Name": name, **args.tags}
        self.launch: dict[str, Any] = {}
        self.ready: list[pulumi.Resource] = []
        group = None
        if args.together:
            group = aws.ec2.PlacementGroup(
                f"{name}-together", strategy="cluster", tags=tags, opts=pulumi.ResourceOptions(parent=self)
            )
            self.launch["placement_group"] = group.name
            self.ready.append(group)
        target: pulumi.Input[str] | None = args.reservation_id
        if args.reserve:
            reservation = aws.ec2.CapacityReservation(
                "room",
                instance_count=args.nodes,
                instance_type=args.place.instance_type,
                availability_zone=args.place.zone,
                instance_platform=PLATFORM,
                instance_match_criteria="targeted",
                end_date_type="limited",
                end_date=f"{args.ends_at:%Y-%m-%dT%H:%M:%SZ}",
                placement_group_arn=group.arn if group else None,
                tags=tags,
                opts=pulumi.ResourceOptions(parent=self, ignore_changes=["endDate"]),
            )
            target = reservation.id
            self.ready.append(reservation)
        if target is not None:
            # By target alone: the provider takes either it or a preference; a launch that targets uses nothing else.
            self.launch["capacity_reservation_specification"] = {
                "capacity_reservation_target": {"capacity_reservation_id": target}
            }
        if args.market == "spot":
            options = {"spot_instance_type": "one-time", "instance_interruption_behavior": "terminate"}
            self.launch["instance_market_options"] = {"market_type": "spot", "spot_options": options}
        elif args.market:
            self.launch["instance_market_options"] = {"market_type": args.market}
        self.register_outputs({})


def capacity_args(
    config: StackConfig, place: Place, tags: Mapping[str, str], ends_at: datetime, *, reserved: bool = False
) -> CapacityArgs:
    """reserved: whether a node that runs targets a reservation, which then stays though it is the last one."""
    return CapacityArgs(
        nodes=config.nodes,
        place=place,
        # One node is all or nothing by itself.
        reserve=config.capacity == "on-demand" and (config.nodes > 1 or reserved),
        reservation_id=config.capacity_reservation_id,
        market={"spot": "spot", "capacity-block": "capacity-block"}.get(config.capacity),
        # A capacity block lies close together by itself; spot in a group is refused only where it may stop, ours ends.
        together=config.wants_efa and config.capacity != "capacity-block",
        ends_at=ends_at,
        tags=tags,
    )
