"""What a launch template accepts (terraform-provider-aws ec2_launch_template.go)."""

from __future__ import annotations

import re
from typing import Any

from infra.sandbox.provider.diff import same_in_order
from infra.sandbox.provider.schema import (
    Autoname,
    Failure,
    Field,
    ResourceType,
    block,
    blocks,
    flag,
    integer,
    names,
    string_map,
    strings,
    text,
)
from infra.sandbox.provider.values import UNKNOWN, Props

_NAME = re.compile(r"[A-Za-z0-9()./_-]+")


def _name(value: str) -> str | None:
    return None if _NAME.fullmatch(value) else f"{value!r} may have letters, digits and ( ) . / _ - only"


def true_or_false(value: str) -> str | None:
    return None if value in ("true", "false", "") else f'expected "true", "false" or "", got {value!r}'


def _flag_as_text() -> Field:
    """A boolean that can be left out: the published type takes it as text, and refuses 0 and 1."""
    return text(check=true_or_false)


def _listed(fields: dict[str, Field]) -> Field:
    return blocks(fields, same=lambda old, new: same_in_order(fields, old, new))


_EBS = {
    "volumeSize": integer(),
    "volumeType": text(enum=("standard", "gp2", "gp3", "io1", "io2", "sc1", "st1")),
    "iops": integer(),
    "throughput": integer(bounds=(125, 2000)),
    "encrypted": _flag_as_text(),
    "kmsKeyId": text(),
    "snapshotId": text(),
    "deleteOnTermination": _flag_as_text(),
}
_INTERFACE = {
    "deviceIndex": integer(),
    "networkCardIndex": integer(),
    "interfaceType": text(enum=("interface", "efa", "efa-only")),
    "subnetId": text(),
    "securityGroups": names(),
    "associatePublicIpAddress": _flag_as_text(),
    "deleteOnTermination": _flag_as_text(),
    "networkInterfaceId": text(),
    "privateIpAddress": text(),
    "ipv4AddressCount": integer(),
    "ipv4Addresses": strings(),
    "description": text(),
}
_METADATA = {
    "httpEndpoint": text(computed=True, enum=("enabled", "disabled")),
    "httpProtocolIpv6": text(computed=True, enum=("enabled", "disabled")),
    "httpPutResponseHopLimit": integer(computed=True, bounds=(1, 64)),
    "httpTokens": text(computed=True, enum=("optional", "required")),
    "instanceMetadataTags": text(computed=True, enum=("enabled", "disabled")),
}
_SPOT = {
    "blockDurationMinutes": integer(),
    "instanceInterruptionBehavior": text(enum=("hibernate", "stop", "terminate")),
    "maxPrice": text(),
    "spotInstanceType": text(enum=("one-time", "persistent")),
    "validUntil": text(computed=True),
}
_TARGET = {
    "capacityReservationId": text(conflicts=("capacityReservationResourceGroupArn",)),
    "capacityReservationResourceGroupArn": text(conflicts=("capacityReservationId",)),
}
_PLACEMENT = {
    "affinity": text(),
    "availabilityZone": text(),
    "groupId": text(conflicts=("groupName",)),
    "groupName": text(conflicts=("groupId",)),
    "hostId": text(),
    "hostResourceGroupArn": text(),
    "partitionNumber": integer(),
    "spreadDomain": text(),
    "tenancy": text(enum=("default", "dedicated", "host")),
}

# What is sent as LaunchTemplateData: a change of any makes a version. maintenanceOptions is missing from the published
# list, so that a change of it alone does nothing.
CONTENT: dict[str, Field] = {
    "blockDeviceMappings": _listed(
        {"deviceName": text(), "noDevice": text(), "virtualName": text(), "ebs": block(_EBS)},
    ),
    "capacityReservationSpecification": block(
        {
            "capacityReservationPreference": text(enum=("open", "none", "capacity-reservations-only")),
            "capacityReservationTarget": block(_TARGET),
        }
    ),
    "cpuOptions": block(
        {
            "amdSevSnp": text(enum=("enabled", "disabled")),
            "coreCount": integer(),
            "threadsPerCore": integer(),
            "nestedVirtualization": text(enum=("enabled", "disabled")),
        }
    ),
    "creditSpecification": block({"cpuCredits": text(enum=("standard", "unlimited"))}),
    "disableApiStop": flag(),
    "disableApiTermination": flag(),
    "ebsOptimized": _flag_as_text(),
    "enclaveOptions": block({"enabled": flag()}),
    "hibernationOptions": block({"configured": flag(required=True)}),
    "iamInstanceProfile": block({"arn": text(conflicts=("name",)), "name": text(conflicts=("arn",))}),
    "imageId": text(),
    "instanceInitiatedShutdownBehavior": text(enum=("stop", "terminate")),
    "instanceMarketOptions": block(
        {"marketType": text(enum=("spot", "capacity-block")), "spotOptions": block(_SPOT)},
    ),
    "instanceType": text(),
    "keyName": text(),
    "metadataOptions": block(_METADATA, computed=True),
    "monitoring": block({"enabled": flag()}),
    "networkInterfaces": _listed(_INTERFACE),
    "placement": block(_PLACEMENT),
    "securityGroupNames": names(conflicts=("vpcSecurityGroupIds",)),
    "tagSpecifications": _listed({"resourceType": text(), "tags": string_map()}),
    "userData": text(),
    "vpcSecurityGroupIds": names(conflicts=("securityGroupNames",)),
}


def validate(inputs: Props) -> list[Failure]:
    spot: Any = inputs.get("instanceMarketOptions") or {}
    minutes = (spot.get("spotOptions") or {}).get("blockDurationMinutes") if isinstance(spot, dict) else None
    if minutes in (None, UNKNOWN) or int(minutes) % 60 == 0:
        return []
    path = "instanceMarketOptions.spotOptions.blockDurationMinutes"
    return [(path, f"expected {path} to be divisible by 60, got {minutes}")]


TYPE = ResourceType(
    token="aws:ec2/launchTemplate:LaunchTemplate",
    inputs={
        "name": text(computed=True, force_new=True, conflicts=("namePrefix",), length=(3, 125), check=_name),
        "namePrefix": text(
            computed=True, force_new=True, read_back=False, conflicts=("name",), length=(3, 99), check=_name
        ),
        "description": text(length=(0, 255)),
        "defaultVersion": integer(computed=True, conflicts=("updateDefaultVersion",), bounds=(1, 10000)),
        "updateDefaultVersion": flag(read_back=False, conflicts=("defaultVersion",)),
        "maintenanceOptions": block({"autoRecovery": text(enum=("default", "disabled"))}),
        **CONTENT,
    },
    outputs=("arn", "latestVersion"),
    autoname=Autoname("name", 125),
    tagged=True,
    elsewhere=(
        "instanceRequirements",
        "kernelId",
        "licenseSpecifications",
        "networkPerformanceOptions",
        "privateDnsNameOptions",
        "ramDiskId",
        "secondaryInterfaces",
    ),
    validate=validate,
)
