"""What an EC2 instance accepts: its inputs, and the rules between them (terraform-provider-aws ec2_instance.go)."""

from __future__ import annotations

import base64
import binascii

from infra.sandbox.provider.resources.rules import ipv4_address
from infra.sandbox.provider.schema import (
    Failure,
    Field,
    ResourceType,
    Timeouts,
    block,
    blocks,
    flag,
    integer,
    names,
    string_map,
    text,
)
from infra.sandbox.provider.values import UNKNOWN, Props

USER_DATA_LIMIT = 16384
IOPS_TYPES = ("io1", "io2", "gp3")

_VOLUME = {
    "volumeSize": integer(computed=True),
    "volumeType": text(computed=True, enum=("standard", "gp2", "gp3", "io1", "io2", "sc1", "st1")),
    "iops": integer(computed=True),
    "throughput": integer(computed=True),
    "deleteOnTermination": flag(default=True),
    "tags": string_map(computed=True),
    "tagsAll": string_map(computed=True, settable=False),
    "volumeId": text(computed=True, settable=False),
}
_ROOT = {
    **_VOLUME,
    "encrypted": flag(computed=True, force_new=True),
    "kmsKeyId": text(computed=True, force_new=True),
    "deviceName": text(computed=True, settable=False),
}
_DISK = {
    **_VOLUME,
    "deviceName": text(required=True),
    "encrypted": flag(computed=True),
    "kmsKeyId": text(computed=True),
    "snapshotId": text(computed=True),
}
_METADATA = {
    "httpEndpoint": text(default="enabled", enum=("enabled", "disabled")),
    "httpProtocolIpv6": text(default="disabled", enum=("enabled", "disabled")),
    "httpPutResponseHopLimit": integer(computed=True, bounds=(1, 64)),
    "httpTokens": text(computed=True, enum=("optional", "required")),
    "instanceMetadataTags": text(computed=True, enum=("enabled", "disabled")),
}
_RESERVATION = {
    "capacityReservationPreference": text(computed=True, enum=("open", "none", "capacity-reservations-only")),
    "capacityReservationTarget": block(
        {
            "capacityReservationId": text(conflicts=("capacityReservationResourceGroupArn",)),
            "capacityReservationResourceGroupArn": text(conflicts=("capacityReservationId",)),
        },
        computed=True,
    ),
}
_TEMPLATE = {
    "id": text(computed=True, force_new=True, conflicts=("name",)),
    "name": text(computed=True, force_new=True, conflicts=("id",)),
    # Resolved and compared with the instance's own version: Instance.replaces.
    "version": text(default="$Default"),
}
_MARKET = {
    "marketType": text(computed=True, enum=("spot", "capacity-block", "interruptible-capacity-reservation")),
    "spotOptions": block(
        {
            "instanceInterruptionBehavior": text(computed=True, enum=("hibernate", "stop", "terminate")),
            "maxPrice": text(computed=True),
            "spotInstanceType": text(computed=True, enum=("one-time", "persistent")),
            "validUntil": text(computed=True),
        },
        computed=True,
    ),
}

INPUTS: dict[str, Field] = {
    "ami": text(computed=True, force_new=True),
    "instanceType": text(computed=True),
    "launchTemplate": block(_TEMPLATE),
    "subnetId": text(computed=True, force_new=True),
    "availabilityZone": text(computed=True, force_new=True),
    "vpcSecurityGroupIds": names(computed=True),
    "securityGroups": names(computed=True, force_new=True),
    "associatePublicIpAddress": flag(computed=True, force_new=True),
    "privateIp": text(computed=True, force_new=True, check=ipv4_address),
    "sourceDestCheck": flag(default=True),
    "keyName": text(computed=True, force_new=True),
    "iamInstanceProfile": text(computed=True),
    "userData": text(conflicts=("userDataBase64",), length=(0, USER_DATA_LIMIT)),
    "userDataBase64": text(computed=True, conflicts=("userData",)),
    "userDataReplaceOnChange": flag(default=False, read_back=False),
    "placementGroup": text(computed=True, force_new=True, conflicts=("placementGroupId",)),
    "placementGroupId": text(computed=True, force_new=True, conflicts=("placementGroup",)),
    "placementPartitionNumber": integer(computed=True, force_new=True),
    "tenancy": text(computed=True, force_new=True, enum=("default", "dedicated", "host")),
    "capacityReservationSpecification": block(_RESERVATION, computed=True),
    "instanceMarketOptions": block(_MARKET, computed=True, force_new=True),
    "disableApiStop": flag(computed=True),
    "disableApiTermination": flag(computed=True),
    "forceDestroy": flag(default=False, read_back=False),
    "getPasswordData": flag(default=False, read_back=False),
    "instanceInitiatedShutdownBehavior": text(computed=True),
    "ebsOptimized": flag(computed=True, force_new=True),
    "monitoring": flag(computed=True),
    "metadataOptions": block(_METADATA, computed=True),
    "rootBlockDevice": block(_ROOT, computed=True),
    "ebsBlockDevices": blocks(_DISK, computed=True, force_new=True),
    "volumeTags": string_map(),
}


def validate(inputs: Props) -> list[Failure]:
    """The rules between an instance's inputs."""
    return [*_user_data(inputs), *_devices(inputs), *_reservation(inputs), *_template(inputs)]


def _user_data(inputs: Props) -> list[Failure]:
    encoded = inputs.get("userDataBase64")
    if encoded in (None, UNKNOWN):
        return []
    try:
        base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        return [("userDataBase64", f"expected userDataBase64 to be base64: {error}")]
    return []


def _devices(inputs: Props) -> list[Failure]:
    found: list[Failure] = []
    root = inputs.get("rootBlockDevice") or {}
    named = {"rootBlockDevice": root} if isinstance(root, dict) else {}
    disks = inputs.get("ebsBlockDevices") or []
    named |= {f"ebsBlockDevices[{at}]": disk for at, disk in enumerate(disks) if isinstance(disk, dict)}
    for path, device in named.items():
        kind = device.get("volumeType")
        if kind not in (None, UNKNOWN) and device.get("iops") and kind not in IOPS_TYPES:
            found.append((f"{path}.iops", f"iops attribute not supported for volumeType {kind}"))
        if kind not in (None, UNKNOWN) and device.get("throughput") and kind != "gp3":
            found.append((f"{path}.throughput", f"throughput attribute not supported for volumeType {kind}"))
        if device.get("tags") and inputs.get("volumeTags"):
            found.append(
                (f"{path}.tags", f"Conflicting configuration arguments: {path}.tags conflicts with volumeTags")
            )
    return found


def _reservation(inputs: Props) -> list[Failure]:
    said = inputs.get("capacityReservationSpecification")
    if not isinstance(said, dict) or len(said) == 1:
        return []
    reason = "exactly one of capacityReservationPreference, capacityReservationTarget must be given"
    return [("capacityReservationSpecification", f"Invalid combination of arguments: {reason}")]


def _template(inputs: Props) -> list[Failure]:
    said = inputs.get("launchTemplate")
    if not isinstance(said, dict) or "id" in said or "name" in said:
        return []
    return [("launchTemplate", "Invalid combination of arguments: exactly one of id, name must be given, got none")]


TYPE = ResourceType(
    token="aws:ec2/instance:Instance",
    inputs=INPUTS,
    outputs=(
        "arn",
        "instanceState",
        "publicIp",
        "publicDns",
        "privateDns",
        "primaryNetworkInterfaceId",
        "instanceLifecycle",
        "spotInstanceRequestId",
        "outpostArn",
        "passwordData",
    ),
    tagged=True,
    at_least_one_of=(("ami", "launchTemplate"), ("instanceType", "launchTemplate")),
    elsewhere=(
        "cpuOptions",
        "creditSpecification",
        "enablePrimaryIpv6",
        "enclaveOptions",
        "ephemeralBlockDevices",
        "hibernation",
        "hostId",
        "hostResourceGroupArn",
        "ipv6AddressCount",
        "ipv6Addresses",
        "maintenanceOptions",
        "networkInterfaces",
        "primaryNetworkInterface",
        "privateDnsNameOptions",
        "secondaryNetworkInterfaces",
        "secondaryPrivateIps",
    ),
    timeouts=Timeouts(create=600, update=600, delete=1200),
    validate=validate,
)
