"""What a launch comes to, beyond what stands in its request: type, zone, market and reservation, with its template and
subnet looked up. Fault rules match on these, so that "no p5.48xlarge in us-east-1a" is one rule whatever asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moto.core import DEFAULT_ACCOUNT_ID
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import ec2_backends

from infra.sandbox.patches import instances
from infra.sandbox.requests import Call

_TARGET = "CapacityReservationSpecification.CapacityReservationTarget.CapacityReservationId"


def of(call: Call) -> Mapping[str, str]:
    """The request's parameters, with InstanceType, AvailabilityZone, MarketType and CapacityReservationId for what
    launches. Call it with moto's lock held."""
    if call.service != "ec2" or call.action not in ("RunInstances", "StartInstances"):
        return call.params
    try:
        found = _started(call.params) if call.action == "StartInstances" else _launched(call)
    except (EC2ClientError, ValueError):  # moto will refuse the request itself
        return call.params
    return {**call.params, **{key: value for key, value in found.items() if value}}


def _started(params: Mapping[str, str]) -> dict[str, str]:
    instance = instances.find(params.get("InstanceId.1", ""))
    if instance is None:
        return {}
    return {
        "InstanceType": instance.instance_type,
        "AvailabilityZone": str(instance.availability_zone),
        "CapacityReservationId": getattr(instance, "capacity_reservation_id", None) or "",
    }


def _launched(call: Call) -> dict[str, str]:
    params, backend = call.params, ec2_backends[DEFAULT_ACCOUNT_ID][call.region]
    named = {key: params.get(f"LaunchTemplate.{key}") for key in ("LaunchTemplateId", "LaunchTemplateName", "Version")}
    asked = {key: value for key, value in named.items() if value}
    template: Any = backend._get_template_from_args(asked).data if asked else {}

    def said(path: str) -> str:
        """From the request, else from the template."""
        value: Any = template
        for key in path.split("."):
            value = (value or {}).get(key)
        return params.get(path) or str(value or "")

    cards = template.get("NetworkInterfaces") or [{}]
    subnet = said("SubnetId") or params.get("NetworkInterface.1.SubnetId") or cards[0].get("SubnetId")
    return {
        "InstanceType": said("InstanceType"),
        "AvailabilityZone": backend.get_subnet(subnet).availability_zone
        if subnet
        else said("Placement.AvailabilityZone"),
        "MarketType": said("InstanceMarketOptions.MarketType"),
        "CapacityReservationId": said(_TARGET),
    }
