"""A fleet within a VPC that is there, entered through Session Manager alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from project import Project, project_in

STACK = "swift-fleet:"


def within(project: Project, rest: str) -> str:
    """Of the sandbox's own loopback network."""
    return ".".join([*project.network.split(".")[:2], rest])


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A VPC of somebody's with a subnet and no gateway, and a stack that is to go into it."""
    with project_in(tmp_path_factory.mktemp("session") / "clone") as project:
        project.fleet("sandbox", "start").ok()
        ec2 = project.cloud().client("ec2")
        vpc = ec2.create_vpc(CidrBlock=project.network)["Vpc"]["VpcId"]
        ec2.create_subnet(VpcId=vpc, CidrBlock=within(project, "0.0/24"), AvailabilityZone="us-east-1b")
        change = {"vpcId": vpc, "access": "ssm", "nodes": "1", "sharedFiles": "false"}
        file = project.stack(change={f"{STACK}{key}": value for key, value in change.items()})
        kept = [line for line in file.read_text().splitlines() if "operatorCidr" not in line]
        file.write_text("\n".join(kept) + "\n")
        yield project


def refused(project: Project, key: str, value: str) -> str:
    """What a preview says of the stack with one key more: one line, exit code 2."""
    file = project.root / "stacks" / "Pulumi.sandbox.yaml"
    before = file.read_text()
    file.write_text(before.replace("config:", f"config:\n  {STACK}{key}: {value}", 1))
    done = project.fleet("preview", "-s", "sandbox")
    file.write_text(before)
    assert (done.code, len(done.err.strip().splitlines())) == (2, 1), done.err
    return done.err


def test_what_overlaps_in_the_vpc_is_refused_in_one_line_at_preview(project: Project) -> None:
    asked = within(project, "0.128/25")
    said = refused(project, "subnetCidr", asked)
    assert f"{asked} overlaps subnet-" in said and f"{within(project, '2.0/23')} is free" in said


def test_a_group_of_another_vpc_or_open_to_the_world_is_refused_in_one_line_at_preview(project: Project) -> None:
    ec2 = project.cloud().client("ec2")
    groups = {one["VpcId"]: one["GroupId"] for one in ec2.describe_security_groups()["SecurityGroups"]}
    (theirs,) = (one["VpcId"] for one in ec2.describe_vpcs()["Vpcs"] if one["CidrBlock"] == project.network)
    elsewhere = next(group for vpc, group in groups.items() if vpc != theirs)
    assert f"{elsewhere}  is of vpc-" in refused(project, "securityGroupId", elsewhere)
    rule = {"IpProtocol": "tcp", "FromPort": 0, "ToPort": 65535, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.authorize_security_group_ingress(GroupId=groups[theirs], IpPermissions=[rule])
    said = refused(project, "securityGroupId", groups[theirs])
    ec2.revoke_security_group_ingress(GroupId=groups[theirs], IpPermissions=[rule])
    assert f"{groups[theirs]}  opens port {project.ssh_port} to 0.0.0.0/0" in said and "sshFromAnywhere" in said
    assert "sg-00000000  does not exist in us-east-1" in refused(project, "securityGroupId", "sg-00000000")


@pytest.mark.full
def test_it_is_entered_through_a_session_by_both_ssh_clients_and_leaves_the_vpc_as_it_was(project: Project) -> None:
    ec2 = project.cloud().client("ec2")
    project.fleet("up", "--yes", "-s", "sandbox").ok()  # the lease is looked at over SSH
    [node] = project.fleet("nodes", "-s", "sandbox", "--json").ok().json
    assert node["proxy"][1:3] == ["ssm", "start-session"] and node["private_address"].startswith(within(project, "2."))
    assert project.fleet("ssh", "0", "-s", "sandbox", "echo", "in").ok().out.strip() == "in"
    asked = [call for call in project.calls() if call["action"] == "StartSession"]
    assert len(asked) >= 2 and not any(call["error"] for call in asked)
    groups = ec2.describe_security_groups(Filters=[{"Name": "tag:swift-fleet:stack", "Values": ["sandbox"]}])
    rules = [rule for group in groups["SecurityGroups"] for rule in group["IpPermissions"]]
    assert rules and not any(rule["IpRanges"] or rule["Ipv6Ranges"] for rule in rules)
    assert project.fleet("preview", "-s", "sandbox", "--json").ok().json["changes"].keys() == {"same"}
    project.fleet("down", "-s", "sandbox").ok()
    of_it = [{"Name": "vpc-id", "Values": [groups["SecurityGroups"][0]["VpcId"]]}]
    assert [one["CidrBlock"] for one in ec2.describe_subnets(Filters=of_it)["Subnets"]] == [within(project, "0.0/24")]
    assert len(ec2.describe_route_tables(Filters=of_it)["RouteTables"]) == 1
    assert project.beyond_the_policy() == set()
