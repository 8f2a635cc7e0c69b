"""Which image a fleet's nodes are made of, and what they can't be made of."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import moto
import pytest

from infra.cloud import Cloud
from infra.errors import BadInput, CloudRefused
from infra.fabric import read_type
from infra.image import Image, image_of, newest, parameter, parse, unfit
from infra.kinds import Node
from infra.place import Place
from infra.sandbox.faults import Faults, Rule
from infra.settings import StackConfig

from .served import served

FACTS: dict[str, dict[str, Any]] = json.loads(
    gzip.decompress((Path(moto.__file__).parent / "ec2/resources/instance_types.json.gz").read_bytes())
)
HERE = Place("m7i.xlarge", "us-east-1a")
LAUNCHED = datetime(2026, 11, 24, tzinfo=UTC)
GOOD = Image("ami-0123456789abcdef0", "available", "x86_64", 75)


@pytest.fixture(scope="module")
def faults() -> Faults:
    return Faults()


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory, faults: Faults) -> Iterator[Cloud]:
    with served(tmp_path_factory.mktemp("image"), faults) as cloud:
        yield cloud


def config(**keys: Any) -> StackConfig:
    return StackConfig.model_validate({"instanceType": "m7i.xlarge", **keys})


def nodes(*images: str, place: Place = HERE) -> list[Node]:
    """The first is the youngest."""
    return [
        Node(f"i-{age}", "running", place.instance_type, place.zone, LAUNCHED - timedelta(hours=age), image=image)
        for age, image in enumerate(images)
    ]


def asked(cloud: Cloud, there: list[Node], missing: int, **keys: Any) -> str:
    return image_of(cloud, config(**keys), HERE, read_type(cloud, "m7i.xlarge"), there, missing)


# The parameter of AWS's newest ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "architecture"),
    [("m7i.xlarge", "x86_64"), ("p5.48xlarge", "x86_64"), ("g5g.xlarge", "arm64")],
)
def test_the_parameter_is_that_of_the_types_architecture(name: str, architecture: str) -> None:
    path = "/aws/service/deeplearning/ami/{}/base-oss-nvidia-driver-gpu-amazon-linux-2023/latest/ami-id"
    assert parameter(FACTS[name]) == path.format(architecture)


def test_a_type_for_which_aws_makes_no_such_image_is_refused() -> None:
    with pytest.raises(
        BadInput, match="^mac1.metal  is for x86_64_mac, for which AWS has no Deep Learning image. Name"
    ):
        parameter(FACTS["mac1.metal"])


def test_a_region_without_the_image_says_so(cloud: Cloud, faults: Faults) -> None:
    faults.set([Rule("GetParameter", "ParameterNotFound", 400, "Parameter not found.")])
    with pytest.raises(
        CloudRefused, match="us-east-1 has no Deep Learning image of AWS's: no parameter /aws/.* by swift"
    ):
        newest(cloud, FACTS["m7i.xlarge"])
    faults.set([])


# What nodes can't be made of -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (GOOD, None),
        (None, "is no image in us-east-1 that this account can use: unknown, deregistered, or not shared with it"),
        (Image("ami-1", "pending", "x86_64", 75), "is pending, not available"),
        (Image("ami-1", "available", "arm64", 75), "is for arm64, m7i.xlarge for x86_64"),
        (Image("ami-1", "available", "x86_64", None), "has its root disk not on EBS, as nodes do"),
    ],
)
def test_why_a_node_cannot_be_made_of_an_image(image: Image | None, said: str | None) -> None:
    why = unfit(image, "us-east-1", FACTS["m7i.xlarge"])
    assert (why and why[0]) == said
    assert why is None or "swift-fleet:" in " ".join(why)


def test_an_image_that_is_larger_than_the_nodes_disk_is_refused_also_where_they_run(cloud: Cloud) -> None:
    today = newest(cloud, FACTS["m7i.xlarge"])
    said = f"^{today}  has a root disk of 75 GiB, swift-fleet:rootVolumeGib is 74. Set it to 75 or more.$"
    for there in ([], nodes(today)):
        assert asked(cloud, there, 1, rootVolumeGib=75, ami=today) == today
        with pytest.raises(BadInput, match=said):
            asked(cloud, there, 1, rootVolumeGib=74, ami=today)


def test_the_root_disk_is_found_among_an_images_disks() -> None:
    disks = [
        {"DeviceName": "/dev/sdb", "Ebs": {"VolumeSize": 500}},
        {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 8}},
    ]
    one = {"ImageId": "ami-1", "State": "available", "Architecture": "arm64", "RootDeviceName": "/dev/xvda"}
    assert parse(one | {"RootDeviceType": "ebs", "BlockDeviceMappings": disks}) == Image(
        "ami-1", "available", "arm64", 8
    )
    assert parse(one | {"RootDeviceType": "instance-store"}).root_gib is None


# One image for the fleet ---------------------------------------------------------------------------------------------


def test_the_first_up_takes_awss_newest_and_later_ones_what_the_oldest_machine_is_of(cloud: Cloud) -> None:
    today = newest(cloud, FACTS["m7i.xlarge"])
    assert asked(cloud, [], 2) == today
    assert asked(cloud, nodes("ami-new", "ami-old"), 0) == "ami-old"
    assert asked(cloud, nodes("ami-old"), 0, ami=today) == today


def test_nothing_is_asked_of_the_image_of_a_whole_fleet_that_stays(cloud: Cloud) -> None:
    gone = "ami-0123456789abcdef0"
    assert asked(cloud, nodes(gone, gone), 0) == gone
    assert asked(cloud, nodes(gone, gone), 0, ami=gone) == gone


@pytest.mark.parametrize("zone", ["us-east-1a", "us-east-1b"])
def test_machines_that_are_to_be_made_of_an_image_that_is_gone_are_refused(cloud: Cloud, zone: str) -> None:
    gone = "ami-0123456789abcdef0"
    there = nodes(gone, place=Place("m7i.xlarge", zone))
    missing = 1 if zone == HERE.zone else 0  # to another zone none is missing, and all are made anew
    with pytest.raises(
        BadInput, match="^ami-0123.*  the fleet's nodes are of this image, .* fleet down, then fleet up,"
    ):
        asked(cloud, there, missing)
    with pytest.raises(BadInput, match=r"^ami-0123\w+  is no image in us-east-1 .*\. Check swift-fleet:ami\.$"):
        asked(cloud, there, missing, ami=gone)
    with pytest.raises(BadInput, match=r"^ami-0123\w+  is no image in us-east-1"):
        asked(cloud, nodes("ami-other"), 0, ami=gone)


def test_an_id_that_is_none_and_an_image_that_is_deregistered_are_refused_alike(cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    other = parse(ec2.describe_images(Filters=[{"Name": "name", "Values": ["al2023*x86_64"]}])["Images"][0]).id
    assert asked(cloud, [], 1, ami=other) == other
    ec2.deregister_image(ImageId=other)
    for identity in (other, "ami-012345678"):
        with pytest.raises(BadInput, match=f"^{identity}  is no image in us-east-1"):
            asked(cloud, [], 1, ami=identity)


def test_where_aws_cannot_be_asked_the_image_is_not_said_to_be_missing(cloud: Cloud, faults: Faults) -> None:
    faults.set([Rule("DescribeImages", "Denied")])
    with pytest.raises(CloudRefused, match="ec2:DescribeImages is not allowed"):
        asked(cloud, [], 1)
    faults.set([])
