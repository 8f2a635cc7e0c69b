"""Machine images that a fleet asks for today, and the public SSM parameters that name them. moto brings neither the
Deep Learning AMIs nor a way to plant a parameter under the reserved prefix /aws/service.
https://docs.aws.amazon.com/dlami/latest/devguide/find-dlami-id.html
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime

from moto.ec2.models import EC2Backend
from moto.ec2.models.amis import Ami, AmiBackend
from moto.ssm.models import Parameter, ParameterDict

from infra.sandbox.patches.hook import replace

_DLAMI_OWNER, _AMAZON, _CANONICAL = "898082745236", "137112412989", "099720109477"
_RELEASED = datetime(2026, 11, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Image:
    """`parameter` is its path under /aws/service/."""

    name: str
    parameter: str
    root_device: str
    owner: str = _DLAMI_OWNER
    architecture: str = "x86_64"

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
            images.append(Image(f"{title} ({shown}) 20261101", path, device, architecture=arch))
        path = f"ami-amazon-linux-latest/al2023-ami-kernel-default-{arch}"
        images.append(Image(f"al2023-ami-2023.9.20261101.0-kernel-6.12-{arch}", path, "/dev/xvda", _AMAZON, arch))
        debian = "amd64" if arch == "x86_64" else arch
        path = f"canonical/ubuntu/server/24.04/stable/current/{debian}/hvm/ebs-gp3/ami-id"
        name = f"ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-{debian}-server-20261101"
        images.append(Image(name, path, "/dev/sda1", _CANONICAL, arch))
    return images


IMAGES = _images()
_load_amis = AmiBackend._load_amis
_check_loading_status = ParameterDict._check_loading_status


def install() -> None:
    replace(EC2Backend, "_load_amis", load_amis)
    replace(ParameterDict, "_check_loading_status", check_loading_status)


def load_amis(self: EC2Backend) -> None:
    _load_amis(self)
    for image in IMAGES:
        image_id = image.id_in(self.region_name)
        ami = Ami(
            self,
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
            region_name=f"{self.region_name}a",
        )
        self.amis[image_id] = ami


def check_loading_status(self: ParameterDict, key: str) -> None:
    if not getattr(self, "images_planted", False):
        self.images_planted = True  # type: ignore[attr-defined]
        for image in IMAGES:
            name = f"/aws/service/{image.parameter}"
            parameter = Parameter(  # type: ignore[abstract]
                account_id=self.account_id,
                name=name,
                value=image.id_in(self.region_name),
                parameter_type="String",
                description=None,
                allowed_pattern=None,
                keyid=None,
                last_modified_date=_RELEASED,
                version=1,
                data_type="aws:ec2:image",
            )
            dict.setdefault(self, name, [parameter])
    _check_loading_status(self, str(key or ""))
