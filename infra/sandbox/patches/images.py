"""Machine images that a fleet asks for today, the public SSM parameters that name them, and what can't be launched.
moto brings neither the Deep Learning AMIs nor a way to plant a parameter under the reserved prefix /aws/service, and
looks at no image's state or architecture.
https://docs.aws.amazon.com/dlami/latest/devguide/find-dlami-id.html
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html (InvalidAMIID)
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from moto.core import DEFAULT_ACCOUNT_ID
from moto.ec2.exceptions import EC2ClientError, UnvailableAMIIdError
from moto.ec2.models import EC2Backend, ec2_backends
from moto.ec2.models.amis import Ami, AmiBackend
from moto.ssm.models import Parameter, ParameterDict, ssm_backends

from infra.sandbox.patches.hook import replace

_DLAMI_OWNER, _AMAZON, _CANONICAL = "898082745236", "137112412989", "099720109477"
_RELEASED = datetime(2026, 11, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Image:
    """`parameter` is its path under /aws/service/; root_gib: of its snapshot."""

    name: str
    parameter: str
    root_device: str
    owner: str = _DLAMI_OWNER
    architecture: str = "x86_64"
    root_gib: int = 75

    def id_in(self, region: str) -> str:
        return "ami-0" + hashlib.sha256(f"{region} {self.name}".encode()).hexdigest()[:16]


def _images() -> list[Image]:
    images = []
    for arch in ("x86_64", "arm64"):
        title = (
            "Deep Learning Base OSS Nvidia Driver GPU AMI"
            if arch == "x86_64"
            else "Deep Learning ARM64 Base OSS Nvidia Driver GPU AMI"
        )
        for system, shown, device in (
            ("amazon-linux-2023", "Amazon Linux 2023", "/dev/xvda"),
            ("ubuntu-22.04", "Ubuntu 22.04", "/dev/sda1"),
            ("ubuntu-24.04", "Ubuntu 24.04", "/dev/sda1"),
        ):
            path = f"deeplearning/ami/{arch}/base-oss-nvidia-driver-gpu-{system}/latest/ami-id"
            images.append(Image(f"{title} ({shown}) {_RELEASED:%Y%m%d}", path, device, architecture=arch))
        path = f"ami-amazon-linux-latest/al2023-ami-kernel-default-{arch}"
        images.append(Image(f"al2023-ami-2023.9.20261101.0-kernel-6.12-{arch}", path, "/dev/xvda", _AMAZON, arch, 8))
        debian = "amd64" if arch == "x86_64" else arch
        path = f"canonical/ubuntu/server/24.04/stable/current/{debian}/hvm/ebs-gp3/ami-id"
        name = f"ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-{debian}-server-20261101"
        images.append(Image(name, path, "/dev/sda1", _CANONICAL, arch, 8))
    return images


IMAGES = _images()
_load_amis = AmiBackend._load_amis
_describe_images = AmiBackend.describe_images
_block_device_mappings: Any = Ami.block_device_mappings
_check_loading_status = ParameterDict._check_loading_status


def install() -> None:
    replace(EC2Backend, "_load_amis", load_amis)
    replace(EC2Backend, "describe_images", describe_images)
    replace(Ami, "block_device_mappings", property(block_device_mappings))
    replace(ParameterDict, "_check_loading_status", check_loading_status)


def load_amis(self: EC2Backend) -> None:
    _load_amis(self)
    for image in IMAGES:
        _plant_image(self, image)


def _plant_image(backend: EC2Backend, image: Image) -> None:
    image_id = image.id_in(backend.region_name)
    ami = Ami(
        backend,
        image_id,
        name=image.name,
        description=image.name,
        owner_id=image.owner,
        owner_alias="amazon",
        public=True,
        virtualization_type="hvm",
        architecture=image.architecture,
        creation_date=_RELEASED,
        image_location=f"amazon/{image.name}",
        hypervisor="xen",
        root_device_type="ebs",
        root_device_name=image.root_device,
        region_name=f"{backend.region_name}a",
    )
    ami.root_gib = image.root_gib  # type: ignore[attr-defined]
    backend.amis[image_id] = ami


def block_device_mappings(self: Ami) -> list[dict[str, Any]]:
    """moto's are of 15 GiB, whatever the image."""
    disks: list[dict[str, Any]] = _block_device_mappings.fget(self)
    for disk in disks:
        disk["Ebs"]["VolumeSize"] = getattr(self, "root_gib", disk["Ebs"]["VolumeSize"])
    return disks


def describe_images(self: EC2Backend, ami_ids: list[str] | None = None, **asked: Any) -> list[Ami]:
    for one in ami_ids or []:
        if one.startswith("ami-") and not re.fullmatch(r"ami-([0-9a-f]{8}|[0-9a-f]{17})", one):
            raise EC2ClientError("InvalidAMIID.Malformed", f'Invalid id: "{one}"')
    return _describe_images(self, ami_ids, **asked)


def check(backend: EC2Backend, params: Mapping[str, Any]) -> None:
    """RunInstances' no to an image that is there, or was."""
    image = backend.amis.get(params.get("ImageId", ""))
    if params.get("ImageId") in backend.deleted_amis or (image and image.state != "available"):
        raise UnvailableAMIIdError(params["ImageId"])
    kinds = backend.describe_instance_types([params["InstanceType"]]) if params.get("InstanceType") else []
    theirs = kinds[0]["ProcessorInfo"]["SupportedArchitectures"] if kinds else []
    if image and theirs and image.architecture not in theirs:
        raise EC2ClientError(
            "InvalidParameterValue",
            f"The architecture '{','.join(theirs)}' of the specified instance type does not match the architecture "
            f"'{image.architecture}' of the specified AMI. Specify an instance type and an AMI that have matching "
            "architectures, and try again. You can use 'describe-instance-types' or 'describe-images' to discover the "
            "architecture of the instance type or AMI.",
        )


def publish(region: str, release: str) -> None:
    """Deep Learning images of another release, which the public parameters name from here on."""
    parameters = ssm_backends[DEFAULT_ACCOUNT_ID][region]._parameters
    check_loading_status(parameters, "")
    for image in IMAGES:
        if image.owner == _DLAMI_OWNER:
            newer = dataclasses.replace(image, name=image.name.replace(f"{_RELEASED:%Y%m%d}", release))
            _plant_image(ec2_backends[DEFAULT_ACCOUNT_ID][region], newer)
            _plant_parameter(parameters, newer)


def check_loading_status(self: ParameterDict, key: str) -> None:
    if not getattr(self, "images_planted", False):
        self.images_planted = True  # type: ignore[attr-defined]
        for image in IMAGES:
            _plant_parameter(self, image)
    _check_loading_status(self, str(key or ""))


def _plant_parameter(parameters: ParameterDict, image: Image) -> None:
    name = f"/aws/service/{image.parameter}"
    earlier: list[Parameter] = dict.get(parameters, name, [])
    parameter = Parameter(  # type: ignore[abstract]
        account_id=parameters.account_id,
        name=name,
        value=image.id_in(parameters.region_name),
        parameter_type="String",
        description=None,
        allowed_pattern=None,
        keyid=None,
        last_modified_date=_RELEASED,
        version=len(earlier) + 1,
        data_type="aws:ec2:image",
    )
    dict.__setitem__(parameters, name, [*earlier, parameter])
