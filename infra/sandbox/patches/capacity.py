"""What AWS asks of a launch before it makes a machine: that the zone has the type, the placement group exists, the
reservation has room and is open, the quota allows it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.instances import Instance
from moto.ec2.responses import EC2Response

from infra.sandbox.patches import placement, quotas, reservations
from infra.sandbox.patches.reservations import BLOCK

# Nothing starts in a capacity block in its last half hour, and what runs is ended.
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/capacity-blocks-how.html
BLOCK_CLOSES = timedelta(minutes=30)
# What RunInstances makes where no type is named.
DEFAULT_TYPE = "m1.small"


class NoCapacity(Exception):
    """InsufficientInstanceCapacity, which AWS sends as HTTP 500: moto's own errors of EC2 are all 400."""


def check(response: EC2Response, params: dict[str, Any]) -> None:
    """Raises AWS's refusal of a launch."""
    backend, kind = response.ec2_backend, str(params.get("InstanceType") or DEFAULT_TYPE)
    count, market, zone = int(params.get("MinCount") or 1), market_of(params), zone_of(backend, params)
    quotas.check_zone(backend, kind, zone)
    placement.check(backend, params)
    _check_addresses(backend, params, count)
    reservation_id = reservations.target(params)
    if reservation_id:
        _check_reservation(backend, reservations.find(backend, reservation_id), kind, zone, market, count)
    elif market == BLOCK:
        raise EC2ClientError("InvalidParameterValue", "A capacity block is launched into by its reservation's ID.")
    else:
        quotas.check(backend, kind, market, count, reservations.reserved(backend))


def _check_addresses(backend: Any, params: dict[str, Any], count: int) -> None:
    """All machines of the request have room in the subnet, or none is made. efa-only takes no address."""
    cards = params.get("NetworkInterfaces") or [{}]
    wanted = count * sum(card.get("InterfaceType") != "efa-only" for card in cards)
    subnet_id = params.get("SubnetId") or cards[0].get("SubnetId")
    if subnet_id and backend.get_subnet(subnet_id).available_ip_address_count < wanted:
        message = f"There are not enough free addresses in subnet '{subnet_id}' to satisfy the requested number of "
        raise EC2ClientError("InsufficientFreeAddressesInSubnet", message + "instances.")


def _check_reservation(
    backend: Any, reservation: dict[str, Any], kind: str, zone: str, market: str, count: int
) -> None:
    state, name = reservations.state_of(reservation), reservation["CapacityReservationId"]
    if (reservation["ReservationType"] == BLOCK) != (market == BLOCK):
        message = f"{name} is of type {reservation['ReservationType']} and does not take the market type {market}."
        raise EC2ClientError("InvalidParameterValue", message)
    for what, wanted, has in (
        ("instance type", kind, reservation["InstanceType"]),
        ("Availability Zone", zone, reservation["AvailabilityZone"]),
    ):
        if wanted and wanted != has:
            message = f"The {what} {wanted} does not match that of the reservation {name}, {has}."
            raise EC2ClientError("InvalidParameterValue", message)
    if market == BLOCK and state != "expired" and not _is_open(reservation):
        message = f"{name} has capacity from its start to 30 minutes before its end."
        raise NoCapacity(message)
    if state != "active":
        raise EC2ClientError("InvalidCapacityReservationState", f"The capacity reservation {name} is {state}.")
    if reservations.free(backend, reservation) < count:
        message = "The requested quantity exceeds the available capacity of the specified Capacity Reservation."
        raise EC2ClientError("ReservationCapacityExceeded", message)


def _is_open(block: dict[str, Any]) -> bool:
    return bool(block["StartsAt"] <= reservations.now() < block["EndsAt"] - BLOCK_CLOSES)


def market_of(params: dict[str, Any]) -> str:
    return (params.get("InstanceMarketOptions") or {}).get("MarketType") or "on-demand"


def zone_of(backend: Any, params: dict[str, Any]) -> str:
    """Where a launch leads: by its subnet, else as it says, else empty."""
    cards = params.get("NetworkInterfaces") or [{}]
    subnet = params.get("SubnetId") or cards[0].get("SubnetId")
    if subnet:
        return str(backend.get_subnet(subnet).availability_zone)
    return (params.get("Placement") or {}).get("AvailabilityZone") or ""


def place(instance: Instance, params: dict[str, Any]) -> None:
    instance.placement.group_name = (params.get("Placement") or {}).get("GroupName") or ""
    reservations.specify(instance, params)
    # moto calls every market spot.
    instance.lifecycle = None if market_of(params) == "on-demand" else market_of(params)
