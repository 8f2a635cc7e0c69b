"""Which image nodes are made of, one for all: the stack file's, or AWS's newest on the day of the fleet's first up.

Asked of AWS; nothing is changed. What no node could be made of is refused in one line before anything is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.cloud import Cloud, translated
from infra.errors import BadInput, CloudRefused
from infra.kinds import Node
from infra.place import Place
from infra.settings import PREFIX, StackConfig

#: AWS's Deep Learning base image: driver, EFA, SSM agent; Amazon Linux has mount.efs as a package (docs/decisions/003).
#: Its release notes list an ARM64 one beside it, for g5g, p6e-gb200 and p6e-gb300.
PARAMETER = "/aws/service/deeplearning/ami/{}/base-oss-nvidia-driver-gpu-amazon-linux-2023/latest/ami-id"
ARCHITECTURES = ("x86_64", "arm64")


@dataclass(frozen=True)
class Image:
    """An image as AWS has it. root_gib: the least that its root disk takes, None where that is no EBS volume."""

    id: str
    state: str
    architecture: str
    root_gib: int | None


def image_of(
    cloud: Cloud, config: StackConfig, place: Place, kind: Mapping[str, Any], there: Sequence[Node], missing: int
) -> str:
    """The image of the fleet. kind: its type as EC2 describes it. there: its machines; missing: how many more it needs.

    Raises BadInput where a node is to be made and can't be made of it, CloudRefused where AWS can't be asked.
    """
    oldest = min(there, key=lambda node: (node.launched_at, node.id), default=None)
    image = config.ami or (oldest.image if oldest else newest(cloud, kind))
    moves = any(Place(node.instance_type, node.zone) != place for node in there)
    if missing or moves or any(node.image != config.ami for node in there if config.ami):
        refuse(cloud, config, kind, image, of_nodes=oldest is not None and not config.ami)
    return image


def refuse(cloud: Cloud, config: StackConfig, kind: Mapping[str, Any], image: str, of_nodes: bool = False) -> None:
    """Raises BadInput where no node can be made of the image. of_nodes: those that run were, and nobody named it."""
    found = read_image(cloud, image)
    why = unfit(found, cloud.region, kind)
    if why and of_nodes:
        raise BadInput(
            f"the fleet's nodes are of this image, and no more can be: it {why[0]}",
            where=image,
            do=f"fleet down, then fleet up, takes AWS's newest; {PREFIX}ami names another, and replaces every node.",
        )
    if why:
        raise BadInput(why[0], where=image, do=why[1])
    if found and found.root_gib and found.root_gib > config.root_volume_gib:
        raise BadInput(
            f"has a root disk of {found.root_gib} GiB, {PREFIX}rootVolumeGib is {config.root_volume_gib}",
            where=image,
            do=f"Set it to {found.root_gib} or more.",
        )


def unfit(image: Image | None, region: str, kind: Mapping[str, Any]) -> tuple[str, str] | None:
    """Why no node of the type, as EC2 describes it, can be made of the image, and what to do; None where one can.

    image: None where AWS shows none.
    """
    check = f"Check {PREFIX}ami."
    theirs = " or ".join(_architectures(kind))
    if image is None:
        return f"is no image in {region} that this account can use: unknown, deregistered, or not shared with it", check
    if image.state != "available":
        return f"is {image.state}, not available", check
    if image.architecture not in _architectures(kind):
        what = f"is for {image.architecture}, {kind['InstanceType']} for {theirs}"
        return what, f"Name one for {theirs} by {PREFIX}ami."
    if image.root_gib is None:
        return "has its root disk not on EBS, as nodes do", check
    return None


def parameter(kind: Mapping[str, Any]) -> str:
    """The public SSM parameter of AWS's newest image for a type as EC2 describes it. BadInput where there is none."""
    there = _architectures(kind)
    for one in ARCHITECTURES:
        if one in there:
            return PARAMETER.format(one)
    raise BadInput(
        f"is for {' or '.join(there)}, for which AWS has no Deep Learning image",
        where=kind["InstanceType"],
        do=f"Name one of yours by {PREFIX}ami.",
    )


def newest(cloud: Cloud, kind: Mapping[str, Any]) -> str:
    """AWS's image of today. CloudRefused where its region has none, or AWS can't be asked."""
    name = parameter(kind)
    try:
        with translated():
            return str(cloud.client("ssm").get_parameter(Name=name)["Parameter"]["Value"])
    except CloudRefused as error:
        if "ParameterNotFound" not in error.what:
            raise
        what = f"{cloud.region} has no Deep Learning image of AWS's: no parameter {name}"
        raise CloudRefused(what, do=f"Name one of yours by {PREFIX}ami.") from error


def read_image(cloud: Cloud, identity: str) -> Image | None:
    """AWS shows nothing of an image that is private to another account, nor of one that was deregistered while its
    machines run, and refuses an id that it has never had."""
    try:
        with translated():
            # It hides what is deprecated, which can be launched all the same, and what is disabled, unless asked.
            answer = cloud.client("ec2").describe_images(
                ImageIds=[identity], IncludeDeprecated=True, IncludeDisabled=True
            )
    except CloudRefused as error:
        if "InvalidAMIID" not in error.what:
            raise
        return None
    return parse(answer["Images"][0]) if answer["Images"] else None


def _architectures(kind: Mapping[str, Any]) -> list[str]:
    return list(kind["ProcessorInfo"]["SupportedArchitectures"])


def parse(one: Mapping[str, Any]) -> Image:
    """An image of DescribeImages."""
    disks = {disk["DeviceName"]: disk.get("Ebs", {}) for disk in one.get("BlockDeviceMappings", [])}
    on_ebs = one.get("RootDeviceType") == "ebs"
    root_gib = int(disks.get(one.get("RootDeviceName"), {}).get("VolumeSize", 0)) if on_ebs else None
    return Image(one["ImageId"], one["State"], one["Architecture"], root_gib)
