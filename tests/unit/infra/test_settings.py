from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.durations import parse_duration, show_duration
from infra.errors import BadInput
from infra.settings import StackConfig, from_pulumi
from infra.stack_files import known_stacks, load_stack, write_nodes

ROOT = Path(__file__).parents[3]


def project(folder: Path, *lines: str, stack: str = "dev") -> Path:
    (folder / "stacks").mkdir(exist_ok=True)
    text = "\n".join(["config:", "  aws:region: us-east-1", *(f"  swift-fleet:{line}" for line in lines)])
    (folder / "stacks" / f"Pulumi.{stack}.yaml").write_text(text + "\n")
    return folder


def test_an_idle_end_is_off_by_0_and_not_by_null_which_pulumi_refuses(tmp_path: Path) -> None:
    project(tmp_path, "instanceType: g6.xlarge", "idleMinutes: 0")
    assert load_stack(tmp_path, "dev")[0].idle_minutes == 0
    assert "idleMinutes  Input should be a valid integer" in refusal(
        tmp_path, "instanceType: g6.xlarge", "idleMinutes:"
    )


def refusal(folder: Path, *lines: str) -> str:
    project(folder, *lines)
    with pytest.raises(BadInput) as caught:
        load_stack(folder, "dev")
    return str(caught.value).replace(f"{folder}/stacks/", "")


def test_a_stack_that_names_its_type_alone_gets_the_defaults(tmp_path: Path) -> None:
    config, rest = load_stack(project(tmp_path, "instanceType: g6.xlarge"), "dev")
    assert config == StackConfig(instanceType="g6.xlarge")
    assert (config.nodes, config.lifetime, config.ssh_user, config.shared_files) == (
        1,
        timedelta(hours=4),
        "ec2-user",
        True,
    )
    assert rest == {"aws:region": "us-east-1"}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("lifetme: 4h", "swift-fleet:lifetme  unknown key. Did you mean lifetime?"),
        ("instance_type: g6.xlarge", "swift-fleet:instance_type  unknown key. Did you mean instanceType?"),
        (
            "fsxGib: 3000",
            "swift-fleet:fsxGib  must be 1200 or a multiple of 2400, such as 2400 or 4800 (given: 3000).",
        ),
        ("fsxThroughput: 200", "swift-fleet:fsxThroughput  must be one of 125, 250, 500, 1000 (given: 200)."),
        ("storage: s3", "swift-fleet:storage  Input should be 'efs' or 'fsx' (given: 's3')."),
        ("nodes: 0", "swift-fleet:nodes  Input should be greater than or equal to 1 (given: 0)."),
        ("nodes: 257", "swift-fleet:nodes  Input should be less than or equal to 256 (given: 257)."),
        ("lifetime: 4", "swift-fleet:lifetime  is no duration: write 90m, 4h or 1d12h (given: 4)."),
        ("lifetime: 9m", "swift-fleet:lifetime  must be between 10m and 14d: every fleet ends (given: '9m')."),
        ("lifetime: 15d", "swift-fleet:lifetime  must be between 10m and 14d: every fleet ends (given: '15d')."),
        (
            "idleMinutes: 5",
            "swift-fleet:idleMinutes  must be 0 for never, or at least 15: a node is looked at every 5 minutes "
            "(given: 5).",
        ),
        (
            "operatorCidr: 203.0.113.7/24",
            "swift-fleet:operatorCidr  is no IPv4 network: 203.0.113.7/24 has host bits set (given: '203.0.113.7/24').",
        ),
        ("vpcCidr: 10.0.0.0/25", "swift-fleet:vpcCidr  must be a /16 to /24 (given: '10.0.0.0/25')."),
        ("vpcCidr: 10.0.0.0/8", "swift-fleet:vpcCidr  must be a /16 to /24 (given: '10.0.0.0/8')."),
        (
            "ami: ami-xyz",
            "swift-fleet:ami  String should match pattern '^ami-[0-9a-f]{8,17}$' (given: 'ami-xyz').",
        ),
        (
            "operatorCidr: 128.0.0.0/1",
            "swift-fleet:operatorCidr  opens SSH to much of the internet: give your own network, such as "
            "203.0.113.7/32, or say sshFromAnywhere: true (given: '128.0.0.0/1').",
        ),
        (
            "sharedPath: shared",
            "swift-fleet:sharedPath  String should match pattern '^~?(/[A-Za-z0-9._-]+)+$' (given: 'shared').",
        ),
        ("sshPort: 0", "swift-fleet:sshPort  Input should be greater than or equal to 1 (given: 0)."),
        (
            "sharedFiles: maybe",
            "swift-fleet:sharedFiles  Input should be a valid boolean, unable to interpret input (given: 'maybe').",
        ),
    ],
)
def test_a_wrong_line_is_refused_with_its_line_and_what_is_allowed(tmp_path: Path, line: str, said: str) -> None:
    assert refusal(tmp_path, "instanceType: g6.xlarge", line) == f"Pulumi.dev.yaml:4  {said}"


def test_a_misspelt_type_is_told_the_nearest_one(tmp_path: Path) -> None:
    said = refusal(tmp_path, "instanceType: p5.48xlarg")
    assert said == (
        "Pulumi.dev.yaml:3  swift-fleet:instanceType  is no instance type of the catalog. "
        "Did you mean p5.48xlarge? (given: 'p5.48xlarg')."
    )


def test_a_type_is_needed(tmp_path: Path) -> None:
    assert refusal(tmp_path, "nodes: 2") == "Pulumi.dev.yaml  swift-fleet:instanceType  is missing. Add it."


def test_a_stack_that_does_not_exist_is_told_the_nearest_or_all(tmp_path: Path) -> None:
    project(tmp_path, "instanceType: g6.xlarge", stack="dev")
    project(tmp_path, "instanceType: g6.xlarge", stack="sandbox")
    assert known_stacks(tmp_path) == ["dev", "sandbox"]
    with pytest.raises(BadInput, match=r"there is no stack sandbx\. Did you mean sandbox\?"):
        load_stack(tmp_path, "sandbx")
    with pytest.raises(BadInput, match=r"There are: dev, sandbox\."):
        load_stack(tmp_path, "prod")


def test_a_config_that_is_no_mapping_is_refused(tmp_path: Path) -> None:
    project(tmp_path)
    (tmp_path / "stacks" / "Pulumi.dev.yaml").write_text("config: [1, 2]\n")
    with pytest.raises(BadInput, match="not a mapping"):
        load_stack(tmp_path, "dev")


@pytest.mark.parametrize(
    ("line", "refused"),
    [
        ("zone: us-east-1-bos-1a", ""),
        ("zone: us-west-2z", r":4  swift-fleet:zone: us-west-2z is no zone of aws:region us-east-1"),
        ("zone: us-east-11a", "us-east-11a is no zone"),
        ("candidates: {zones: [us-east-1a, us-west-2a]}", "swift-fleet:candidates: us-west-2a is no zone"),
    ],
)
def test_a_zone_of_another_region_is_refused_with_nobody_asked(tmp_path: Path, line: str, refused: str) -> None:
    project(tmp_path, "instanceType: g6.xlarge", line)
    if not refused:
        assert load_stack(tmp_path, "dev")[0].zone == "us-east-1-bos-1a"
        return
    with pytest.raises(BadInput) as caught:
        load_stack(tmp_path, "dev")
    assert refused in str(caught.value)


@pytest.mark.parametrize("stack", known_stacks(ROOT))
def test_each_stack_that_ships_is_valid(stack: str) -> None:
    config, rest = load_stack(ROOT, stack)
    assert config.nodes >= 1 and "aws:region" in rest


FIELDS: dict[str, Any] = {
    "nodes": 2,
    "instanceType": "g6.xlarge",
    "lifetime": "1d12h",
    "budget": 200,
    "maxUsdPerHour": 12.5,
    "idleMinutes": 30,
    "instanceRole": False,
    "zone": "us-east-1c",
    "vpcCidr": "10.1.0.0/20",
    "operatorCidr": "10.1.9.0/24",
    "publicAddresses": False,
    "sshUser": "ubuntu",
    "sshPort": 2222,
    "ami": "ami-0123456789abcdef0",
    "rootVolumeGib": 100,
    "profile": "vllm",
    "sharedEnvironment": False,
    "sharedFiles": False,
    "sharedPath": "/mnt/shared",
    "retain": False,
    "efa": False,
    "candidates": {"instanceTypes": ["g6.2xlarge"]},
}
#: What doesn't go together with those.
OTHERS: dict[str, Any] = {
    "instanceType": "g6.xlarge",
    "capacity": "reservation",
    "capacityReservationId": "cr-0123456789abcdef0",
    "subnetId": "subnet-0123456789abcdef0",
    "securityGroupId": "sg-0123456789abcdef0",
    "fileSystemId": "fs-0123456789abcdef0",
    "s3": {"read": ["s3://corpora/code/"]},
    "operatorCidr": "0.0.0.0/0",
    "sshFromAnywhere": True,
}
#: A third network, and another way in.
WITHIN: dict[str, Any] = {
    "instanceType": "g6.xlarge",
    "access": "ssm",
    "vpcId": "vpc-0123456789abcdef0",
    "subnetCidr": "10.1.8.0/24",
    "storage": "fsx",
    "fsxGib": 4800,
    "fsxDeployment": "PERSISTENT_2",
    "fsxThroughput": 250,
}


@pytest.mark.parametrize("fields", [FIELDS, OTHERS, WITHIN])
def test_the_engine_and_the_command_read_the_same_stack_alike(tmp_path: Path, fields: dict[str, Any]) -> None:
    project(tmp_path, *(f"{key}: {json.dumps(value)}" for key, value in fields.items()))
    by_command, _ = load_stack(tmp_path, "dev")
    texts = {f"swift-fleet:{k}": v if isinstance(v, str) else json.dumps(v) for k, v in fields.items()}
    assert from_pulumi({**texts, "aws:region": "us-east-1"}, source="x") == by_command
    assert FIELDS.keys() | OTHERS.keys() | WITHIN.keys() == {field.alias for field in StackConfig.model_fields.values()}


def test_the_engine_refuses_a_misspelt_key_as_the_command_does() -> None:
    with pytest.raises(BadInput, match=r"stacks/x\.yaml  swift-fleet:node  unknown key\. Did you mean nodes\?"):
        from_pulumi({"swift-fleet:node": "2", "swift-fleet:instanceType": "g6.xlarge"}, source="stacks/x.yaml")


@pytest.mark.parametrize(
    ("text", "minutes"), [("90m", 90), ("4h", 240), ("1d12h", 2160), ("1d 2h 3m", 1563), (" 2h ", 120), ("0h10m", 10)]
)
def test_a_duration_is_written_as_people_say_it(text: str, minutes: int) -> None:
    assert parse_duration(text) == timedelta(minutes=minutes)


@pytest.mark.parametrize("text", ["", "4", "h", "4 hours", "-1h", "1.5h", "4h30", "2m1h", "4H", None, [], "١h x"])
def test_what_is_no_duration_is_refused(text: Any) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        parse_duration(text)


@given(st.integers(1, 60 * 24 * 400))
def test_a_duration_that_is_shown_is_read_back(minutes: int) -> None:
    assert parse_duration(show_duration(timedelta(minutes=minutes))) == timedelta(minutes=minutes)


@given(st.integers(10, 14 * 1440), st.integers(1, 256))
def test_a_config_survives_its_own_json(minutes: int, nodes: int) -> None:
    config = StackConfig(instanceType="g6.xlarge", lifetime=f"{minutes}m", nodes=nodes)
    assert StackConfig.model_validate_json(config.model_dump_json(by_alias=True)) == config


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (("operatorCidr: 0.0.0.0/0",), "swift-fleet:operatorCidr  opens SSH to the whole internet"),
        (("efa: true",), "efa: g6.xlarge has no EFA"),
        (("zone: us-east-1a", 'candidates: {"zones": ["us-east-1b"]}'), "zone fixes the zone"),
        (('candidates: {"instanceTypes": ["g6.12xlarge"]}',), "g6.12xlarge has 4 GPUs, g6.xlarge has 1"),
        (('candidates: {"instanceTypes": ["g6.xlarg"]}',), "Did you mean g6.xlarge?"),
        (('candidates: {"zonez": []}',), "candidates.zonez"),
        (("capacity: reservation",), "capacity: reservation needs capacityReservationId"),
        (("capacity: spott",), "Input should be 'on-demand', 'spot', 'reservation' or 'capacity-block'"),
        (("capacityReservationId: cr-0123456789abcdef0",), "belongs to capacity: reservation or capacity-block"),
        (
            ("capacity: reservation", "capacityReservationId: cr-0123456789abcdef0", "zone: us-east-1a"),
            "a reservation has one type and one zone",
        ),
        (("securityGroupId: sg-0123456789abcdef0",), "give subnetId or vpcId too"),
        (("subnetId: subnet-0123456789abcdef0", "zone: us-east-1a"), "subnetId fixes the zone"),
        (("publicAddresses: false",), "leaves no way in or out: give access: ssm, or the vpcId or subnetId"),
        (("publicAddresses: false", "operatorCidr: 203.0.113.7/32"), "leaves no way in or out"),
        (("subnetId: vpc-0123456789abcdef0",), "String should match pattern"),
        (("vpcId: vpc-0123456789abcdef0", "subnetId: subnet-0123456789abcdef0"), "subnetId tells its VPC"),
        (("subnetCidr: 10.1.0.0/24",), "give vpcId, or vpcCidr instead"),
        (("vpcId: vpc-0123456789abcdef0", "subnetCidr: 10.1.0.0/29"), "swift-fleet:subnetCidr  must be a /16 to /28"),
        (("access: ssm", "instanceRole: false"), "access: ssm is a right of the nodes' role"),
        (("access: ssm", "operatorCidr: 203.0.113.7/32"), "leave out operatorCidr"),
        (('s3: {"read": ["s3://corpora/*"]}',), "swift-fleet:s3.read.0  String should match pattern"),
        (('s3: {"write": ["s3://results"]}', "instanceRole: false"), "s3 is a right of the nodes' role"),
        (("retain: true", "sharedFiles: false"), "retain is about shared files"),
        (("fileSystemId: fs-0123456789abcdef0", "sharedFiles: false"), "fileSystemId is about shared files"),
        (("storage: fsx", "sharedFiles: false"), "storage is about shared files"),
        (("fsxGib: 2400",), "fsxGib is of FSx for Lustre: leave it out, or storage: fsx"),
        (("storage: fsx", "fsxThroughput: 500"), "fsxThroughput is of fsxDeployment: PERSISTENT_2"),
        (("storage: fsx", "retain: true"), "FSx for Lustre lives in its subnet: retain needs subnetId"),
        (("storage: fsx", "fileSystemId: fs-0123456789abcdef0"), "FSx for Lustre lives in one VPC"),
        (("storage: fsx", "fileSystemId: fs-0123456789abcdef0", "fsxGib: 2400"), "fsxGib is of a new file system"),
        (("fileSystemId: fs-0123456789abcdef0", "retain: true"), "stays in any case: leave out retain"),
    ],
)
def test_what_does_not_go_together_is_refused_in_one_line(tmp_path: Path, lines: tuple[str, ...], said: str) -> None:
    told = refusal(tmp_path, "instanceType: g6.xlarge", *lines)
    assert said in told and "\n" not in told


def test_ssh_from_anywhere_must_be_asked_for_by_name(tmp_path: Path) -> None:
    asked = project(tmp_path, "instanceType: g6.xlarge", "operatorCidr: 0.0.0.0/0", "sshFromAnywhere: true")
    assert load_stack(asked, "dev")[0].operator_cidr == "0.0.0.0/0"


@pytest.mark.parametrize(
    ("keys", "wants"),
    [
        ({"instanceType": "p5.48xlarge"}, False),
        ({"instanceType": "p5.48xlarge", "nodes": 2}, True),
        ({"instanceType": "p5.48xlarge", "nodes": 2, "efa": False}, False),
        ({"instanceType": "p5.48xlarge", "efa": True}, True),
        ({"instanceType": "g6.xlarge", "nodes": 2}, False),
    ],
)
def test_efa_is_used_where_it_is_of_use(keys: dict[str, Any], wants: bool) -> None:
    assert StackConfig.model_validate(keys).wants_efa is wants


@pytest.mark.parametrize(
    ("lines", "written"),
    [
        (('nodes: "2" # for now', "instanceType: g6.xlarge"), '  swift-fleet:nodes: "5" # for now\n'),
        (("instanceType: g6.xlarge", "nodes: 2"), '  swift-fleet:nodes: "5"\n'),
        (
            ("instanceType: g6.xlarge # small",),
            '  swift-fleet:nodes: "5"\n  swift-fleet:instanceType: g6.xlarge # small\n',
        ),
    ],
)
def test_another_number_of_nodes_changes_that_line_alone(tmp_path: Path, lines: tuple[str, ...], written: str) -> None:
    project(tmp_path, *lines)
    file = tmp_path / "stacks" / "Pulumi.dev.yaml"
    before = [line for line in file.read_text().splitlines() if "nodes" not in line]
    write_nodes(tmp_path, "dev", 5)
    assert written in file.read_text()
    assert [line for line in file.read_text().splitlines() if "nodes" not in line] == before
    assert load_stack(tmp_path, "dev")[0].nodes == 5
