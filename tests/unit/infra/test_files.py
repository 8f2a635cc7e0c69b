"""An existing file system against a real EFS API (moto's): taken up, or refused in one line that says what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from moto import mock_aws

from infra.cloud import Cloud
from infra.errors import BadInput
from infra.files import ExistingFiles, read_files
from infra.settings import StackConfig

ZONE = "us-east-1a"


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with mock_aws():
        yield Cloud("us-east-1", access_key="test", secret_key="test")


def files(cloud: Cloud, name: str = "", **more: Any) -> str:
    tags = {"swift-fleet:stack": name, "swift-fleet:kept": "true"} if name else {}
    tags |= more.pop("tags", {})
    said = [{"Key": key, "Value": value} for key, value in tags.items() if value]
    made = cloud.client("efs").create_file_system(CreationToken=str(len(tags)) + str(more), Tags=said, **more)
    return str(made["FileSystemId"])


def network(cloud: Cloud, zone: str = ZONE, stack: str = "") -> tuple[str, str, str]:
    """(VPC, subnet, security group), the last by the stack's tag where there is one."""
    ec2 = cloud.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.1.1.0/24", AvailabilityZone=zone)["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName="g", Description="g", VpcId=vpc)["GroupId"]
    if stack:
        ec2.create_tags(Resources=[group], Tags=[{"Key": "swift-fleet:stack", "Value": stack}])
    return vpc, subnet, group


def mounted(cloud: Cloud, system: str, **where: str) -> str:
    """A mount target; its VPC."""
    vpc, subnet, group = network(cloud, **where)
    cloud.client("efs").create_mount_target(FileSystemId=system, SubnetId=subnet, SecurityGroups=[group])
    return vpc


def taken_up(cloud: Cloud, system: str, vpc: str | None = None) -> ExistingFiles | None:
    config = StackConfig.model_validate({"instanceType": "g6.xlarge", "fileSystemId": system})
    return read_files(cloud, config, "dev", ZONE, vpc)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda cloud: "fs-0123456789abcdef0", "does not exist in us-east-1"),
        (lambda cloud: files(cloud, "dev", tags={"swift-fleet:kept": ""}), "belongs to this stack and ends with it"),
        (lambda cloud: files(cloud, "pt", tags={"swift-fleet:kept": ""}), "belongs to stack pt and ends with it"),
        (lambda cloud: files(cloud, AvailabilityZoneName="us-east-1b"), "is in us-east-1b alone"),
    ],
)
def test_what_can_not_be_taken_up_is_refused(cloud: Cloud, make: Callable[[Cloud], str], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        taken_up(cloud, make(cloud))


def test_a_mount_target_is_made_unless_the_zone_has_one_that_is_not_ours(cloud: Cloud) -> None:
    system = files(cloud)
    assert taken_up(cloud, system) == ExistingFiles(system, ANY, own=False, target=True)
    vpc = mounted(cloud, system, zone="us-east-1b")
    assert taken_up(cloud, system, vpc) == ExistingFiles(system, ANY, own=False, target=True)
    with pytest.raises(BadInput, match=f"has mount targets in {vpc}, the fleet is in a VPC of its own"):
        taken_up(cloud, system)
    near = files(cloud, PerformanceMode="maxIO")
    assert taken_up(cloud, near, mounted(cloud, near)) == ExistingFiles(near, ANY, own=False, target=False)


def test_a_mount_target_of_this_stack_stays_its_own(cloud: Cloud) -> None:
    system = files(cloud, "pt")
    mounted(cloud, system, stack="dev")
    assert taken_up(cloud, system) == ExistingFiles(system, ANY, own=False, target=True)


def test_a_stack_that_retains_takes_up_what_was_kept_for_it_and_no_others(cloud: Cloud) -> None:
    config = StackConfig.model_validate({"instanceType": "g6.xlarge", "retain": True})
    files(cloud, "pt")
    assert read_files(cloud, config, "dev", ZONE, None) is None
    system = files(cloud, "dev", PerformanceMode="maxIO")
    assert read_files(cloud, config, "dev", ZONE, None) == ExistingFiles(system, ANY, own=True)
    files(cloud, "dev", ThroughputMode="elastic")
    with pytest.raises(BadInput, match=r"are kept for stack dev\. Name one by swift-fleet:fileSystemId"):
        read_files(cloud, config, "dev", ZONE, None)


class _Any:
    def __eq__(self, other: object) -> bool:
        return True


ANY: Any = _Any()
