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


def test_what_overlaps_in_the_vpc_is_refused_in_one_line_at_preview(project: Project) -> None:
    file, asked = project.root / "stacks" / "Pulumi.sandbox.yaml", within(project, "0.128/25")
    before = file.read_text()
    file.write_text(before.replace("config:", f"config:\n  {STACK}subnetCidr: {asked}", 1))
    done = project.fleet("preview", "-s", "sandbox")
    file.write_text(before)
    assert (done.code, len(done.err.strip().splitlines())) == (2, 1), done.err
    assert f"{asked} overlaps subnet-" in done.err and f"{within(project, '2.0/23')} is free" in done.err


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
