"""Network interfaces of a launch: each keeps its card and type, has an address of its own unless it is efa-only, and
fits the type of the machine."""

from __future__ import annotations

from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import elastic_network_interfaces
from moto.ec2.models.instance_types import INSTANCE_TYPES
from moto.ec2.models.instances import Instance

from infra.sandbox.patches.hook import replace

EFA = ("efa", "efa-only")

_prep_nics = Instance.prep_nics
_attachment_init = elastic_network_interfaces.Attachment.__init__


def install() -> None:
    replace(Instance, "prep_nics", prep_nics)
    replace(elastic_network_interfaces.Attachment, "__init__", attachment_init)


def check(params: dict[str, Any]) -> None:
    """Raises AWS's refusal of interfaces that can't be launched together, or not on this type."""
    nics = params.get("NetworkInterfaces") or []
    if len(nics) > 1 and any(nic.get("AssociatePublicIpAddress") for nic in nics):
        # The text is AWS's, as quoted in karpenter-provider-aws PR 5666.
        message = (
            "The associatePublicIPAddress parameter cannot be specified when launching with multiple network "
            "interfaces."
        )
        raise EC2ClientError("InvalidParameterCombination", message)
    for key, what in (("SubnetId", "subnet ID"), ("SecurityGroupIds", "security groups")):
        if nics and params.get(key):
            message = f"Network interfaces and an instance-level {what} may not be specified on the same request"
            raise EC2ClientError("InvalidParameterCombination", message)
    _check_type(str(params.get("InstanceType") or ""), nics)


def _check_type(kind: str, nics: list[dict[str, Any]]) -> None:
    """The counts are those of DescribeInstanceTypes. Of the first refusal code and words are AWS's; how AWS words the
    others was not found."""
    network = INSTANCE_TYPES.get(kind, {}).get("NetworkInfo")
    if not network or not nics:
        return
    most, cards = network.get("MaximumNetworkInterfaces", 1), network.get("MaximumNetworkCards", 1)
    if len(nics) > most:
        message = f"Interface count {len(nics)} exceeds the limit for {kind}"
        raise EC2ClientError("AttachmentLimitExceeded", message)
    if any(int(nic.get("NetworkCardIndex") or 0) >= cards for nic in nics):
        raise EC2ClientError("InvalidParameterValue", f"{kind} has {cards} network cards.")
    fabric = [nic for nic in nics if nic.get("InterfaceType") in EFA]
    if len(fabric) > network.get("EfaInfo", {}).get("MaximumEfaInterfaces", 0):
        allowed = network.get("EfaInfo", {}).get("MaximumEfaInterfaces", 0)
        raise EC2ClientError("InvalidParameterCombination", f"{kind} has room for {allowed} EFA interfaces.")
    if any(_key(nic) == 0 and nic.get("InterfaceType") == "efa-only" for nic in nics):
        raise EC2ClientError("InvalidParameterCombination", "The primary network interface can't be efa-only.")


def prep_nics(self: Instance, nic_spec: list[dict[str, Any]], **kwargs: Any) -> None:
    """moto keys interfaces by device index alone and so loses all cards but one: give each (card, device) a key of its
    own while it works, then put back what was asked for. An interface beside the first gets an address of its subnet,
    where moto rolls dice; efa-only has none. With several there is no automatic public address."""
    asked: dict[int, tuple[int, int, str]] = {}
    specs = []
    for nic in nic_spec:
        card, device = int(nic.get("NetworkCardIndex") or 0), int(nic.get("DeviceIndex") or 0)
        kind, key = nic.get("InterfaceType") or "interface", _key(nic)
        asked[key] = (card, device, kind)
        specs.append({**nic, "DeviceIndex": key, **(_address(self, nic, kind) if key else {})})
    if len(specs) > 1:
        kwargs["associate_public_ip"] = False
    _prep_nics(self, specs, **kwargs)
    for key, made in self.nics.items():
        if key in asked:
            made.network_card_index, made.device_index, made.interface_type = asked[key]  # type: ignore[attr-defined]
            if asked[key][2] == "efa-only":
                made.private_ip_address, made.private_ip_addresses = None, []


def _address(instance: Instance, nic: dict[str, Any], kind: str) -> dict[str, str]:
    if kind == "efa-only" or nic.get("PrivateIpAddress") or nic.get("NetworkInterfaceId"):
        return {}
    subnet = instance.ec2_backend.get_subnet(nic.get("SubnetId") or instance.subnet_id)
    return {"PrivateIpAddress": subnet.get_available_subnet_ip(instance=instance)}


def attachment_init(self: Any, eni: Any) -> None:
    _attachment_init(self, eni)
    self.network_card_index = getattr(eni, "network_card_index", 0)


def outlives(nic: dict[str, Any]) -> bool:
    """AWS deletes the interfaces that it made at launch with the instance, unless told otherwise."""
    return bool(nic.get("NetworkInterfaceId")) or nic.get("DeleteOnTermination") in (False, "false")


def _key(nic: dict[str, Any]) -> int:
    return int(nic.get("NetworkCardIndex") or 0) * 100 + int(nic.get("DeviceIndex") or 0)
