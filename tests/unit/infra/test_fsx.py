"""A Lustre file system that is there, against a real FSx API (moto's, mended): taken up, refused, found, ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra import sweep
from infra.cloud import Cloud
from infra.errors import BadInput
from infra.fsx import ExistingLustre, read_lustre
from infra.sandbox.faults import Faults
from infra.settings import StackConfig

from .served import served

SERVERS = {"DeploymentType": "SCRATCH_2"}


@dataclass
class Account:
    cloud: Cloud
    vpc: str
    subnet: str
    group: str

    def files(self, tags: dict[str, str] | None = None, **asked: Any) -> dict[str, Any]:
        said = [{"Key": f"swift-fleet:{key}", "Value": value} for key, value in (tags or {"note": "x"}).items()]
        request = {
            "FileSystemType": "LUSTRE",
            "StorageCapacity": 1200,
            "SubnetIds": [self.subnet],
            "SecurityGroupIds": [self.group],
            "LustreConfiguration": SERVERS,
            "Tags": said,
        }
        return dict(self.cloud.client("fsx").create_file_system(**request | asked)["FileSystem"])

    def taken_up(self, vpc: str | None = None, **keys: Any) -> ExistingLustre | None:
        here = {"subnetId": "subnet-0123456789abcdef0", "securityGroupId": "sg-0123456789abcdef0"}
        config = StackConfig.model_validate({"instanceType": "g6.xlarge", "storage": "fsx", **here, **keys})
        return read_lustre(self.cloud, config, "dev", vpc or self.vpc)


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with served(tmp_path_factory.mktemp("aws"), Faults()) as cloud:
        ec2 = cloud.client("ec2")
        vpc = ec2.create_vpc(CidrBlock="127.91.0.0/16")["Vpc"]["VpcId"]
        subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="127.91.1.0/24", AvailabilityZone="us-east-1a")["Subnet"]
        group = ec2.create_security_group(VpcId=vpc, GroupName="nodes", Description="nodes")["GroupId"]
        every = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[every])
        yield Account(cloud, vpc, subnet["SubnetId"], group)


@pytest.mark.parametrize(
    ("make", "vpc", "said"),
    [
        (lambda account: "fs-0123456789abcdef0", None, "does not exist in us-east-1. Check swift-fleet:fileSystemId"),
        (lambda account: account.files({"stack": "dev"})["FileSystemId"], None, "belongs to this stack and ends with"),
        (lambda account: account.files({"stack": "pt"})["FileSystemId"], None, "belongs to stack pt and ends with it"),
        (lambda account: account.files()["FileSystemId"], "vpc-2", "the fleet in vpc-2. Set swift-fleet:subnetId"),
    ],
)
def test_what_can_not_be_mounted_is_refused(
    account: Account, make: Callable[[Account], str], vpc: str | None, said: str
) -> None:
    with pytest.raises(BadInput) as caught:
        account.taken_up(vpc, fileSystemId=make(account))
    assert said in str(caught.value)


def test_one_that_is_there_is_mounted_by_the_name_that_aws_gave_it(account: Account) -> None:
    made = account.files()
    name = made["LustreConfiguration"]["MountName"]
    found = account.taken_up(fileSystemId=made["FileSystemId"])
    assert found == ExistingLustre(made["FileSystemId"], made["DNSName"], name, own=False)


def test_a_stack_that_retains_takes_back_its_own_in_the_same_subnet_alone(account: Account) -> None:
    assert account.taken_up(retain=True) is None
    made = account.files({"stack": "dev", "kept": "true"})
    again = account.taken_up(retain=True, subnetId=account.subnet)
    assert again is not None and (again.id, again.own) == (made["FileSystemId"], True)
    with pytest.raises(BadInput, match=f"is kept for this stack, in another subnet. Set .*{account.subnet}"):
        account.taken_up(retain=True)
    account.cloud.client("fsx").delete_file_system(FileSystemId=made["FileSystemId"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fsxGib": 1200}, "fsxGib  .* has 2400, and"),
        ({"fsxDeployment": "PERSISTENT_2"}, "fsxDeployment  .* SCRATCH_2"),
    ],
)
def test_no_edit_of_a_stack_file_takes_the_files_of_a_fleet_that_is_up(
    account: Account, change: dict[str, Any], said: str
) -> None:
    made = account.files({"stack": "dev"}, StorageCapacity=2400)
    try:
        assert account.taken_up(fsxGib=4800) is None
        with pytest.raises(BadInput, match=said):
            account.taken_up(**{"fsxGib": 2400} | change)
    finally:
        account.cloud.client("fsx").delete_file_system(FileSystemId=made["FileSystemId"])


def test_a_sweep_finds_it_by_its_tag_and_ends_it_unless_it_is_kept(account: Account) -> None:
    kept = account.files({"stack": "gone", "kept": "true"})["FileSystemId"]
    lost = account.files({"stack": "gone"})["FileSystemId"]
    assert [thing.id for thing in sweep.end(account.cloud, "gone")] == [lost]
    left = [(one.asked, one.kept) for one in sweep.look(account.cloud, "gone") if one.kept or one.found]
    assert [(asked, [thing.id for thing in things]) for asked, things in left] == [
        ("fsx DescribeFileSystems tag:swift-fleet:stack=gone", [kept])
    ]


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"StorageCapacity": 3000}, "BadRequest"),
        ({"LustreConfiguration": {"DeploymentType": "PERSISTENT_2"}}, "InvalidPerUnitStorageThroughput"),
        ({"SecurityGroupIds": []}, "InvalidNetworkSettings"),
    ],
)
def test_the_sandbox_refuses_what_aws_refuses(account: Account, asked: dict[str, Any], code: str) -> None:
    with pytest.raises(ClientError) as error:
        account.files(**asked)
    assert error.value.response["Error"]["Code"] == code
