"""The image of a fleet through the commands as typed: what is refused before anything is made, and that all nodes have
the one which the first up took, whatever AWS names since."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from project import Project, project_in

from infra.image import PARAMETER

NO_FILES = {"swift-fleet:sharedFiles": "false"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with project_in(tmp_path_factory.mktemp("image") / "clone") as project:
        project.nodes_set_up(False)
        project.fleet("sandbox", "start").ok()
        project.pulumi("stack", "init", "sandbox").ok()
        yield project


def named_by_aws(project: Project, architecture: str = "x86_64") -> str:
    name = PARAMETER.format(architecture)
    return str(project.cloud().client("ssm").get_parameter(Name=name)["Parameter"]["Value"])


def images(project: Project) -> list[str]:
    """Of the nodes that run, by number."""
    asked = [{"Name": "instance-state-name", "Values": ["pending", "running"]}]
    found = project.cloud().client("ec2").describe_instances(Filters=asked)["Reservations"]
    nodes = [one for group in found for one in group["Instances"]]
    number = "swift-fleet:node"
    return [
        node["ImageId"]
        for node in sorted(nodes, key=lambda one: next(tag["Value"] for tag in one["Tags"] if tag["Key"] == number))
    ]


UNFIT = {
    "unknown": (lambda _: "ami-0123456789abcdef0", "is no image in us-east-1 that this account can use"),
    "of another architecture": (
        lambda project: named_by_aws(project, "arm64"),
        "is for arm64, m7i.xlarge for x86_64. Name one for x86_64 by swift-fleet:ami.",
    ),
}


@pytest.mark.parametrize("what", UNFIT)
def test_an_image_that_no_node_can_be_made_of_is_refused_in_one_line_by_all(
    project: Project, tiny: Path, what: str
) -> None:
    image_in, said = UNFIT[what]
    image = image_in(project)
    project.stack(change=NO_FILES | {"swift-fleet:ami": image})
    job = project.job(tiny)
    line = f"{image}  {said}"
    for words in (["plan", job], ["run", job, "--yes"], ["up", "--yes"], ["preview"]):
        done = project.fleet(*words, "-s", "sandbox")
        assert (done.code, done.err.count("\n")) == (2, 1), done.all
        assert line in done.err
    plain = project.pulumi("preview", "-s", "sandbox", "--non-interactive")
    assert plain.code != 0 and line in plain.all and "Traceback" not in plain.all
    assert project.left() == []


def test_a_plan_needs_no_account_to_ask_for_the_image(project: Project, tiny: Path) -> None:
    project.stack(change=NO_FILES | {"swift-fleet:ami": "ami-0123456789abcdef0"})
    project.control("faults", [{"action": "DescribeImages", "code": "Denied"}])
    try:
        assert "stack sandbox" in project.fleet("plan", project.job(tiny), "-s", "sandbox").ok().out
    finally:
        project.control("faults", [])


@pytest.mark.full
def test_all_nodes_have_the_image_of_the_first_up_whatever_aws_names_since(project: Project) -> None:
    project.stack(change=NO_FILES)
    first = named_by_aws(project)
    shown = project.pulumi("preview", "-s", "sandbox", "--diff", "--non-interactive").ok().out
    assert f'"{first}"' in shown, "an image is no secret"
    project.fleet("up", "--yes", "-s", "sandbox").ok()
    state = json.loads(project.pulumi("stack", "export", "-s", "sandbox").ok().out)
    nodes = [one for one in state["deployment"]["resources"] if one["type"] == "aws:ec2/instance:Instance"]
    assert [one["inputs"]["ami"] for one in nodes] == [first, first]
    project.control("images", {"region": "us-east-1", "release": "20261115"})
    assert named_by_aws(project) != first
    assert project.fleet("preview", "-s", "sandbox", "--json").ok().json["changes"].keys() == {"same"}
    project.fleet("resize", "3", "--yes", "-s", "sandbox").ok()
    assert images(project) == [first] * 3
    project.fleet("replace", "0", "--yes", "-s", "sandbox").ok()
    assert images(project) == [first] * 3


@pytest.mark.full
def test_an_image_that_is_gone_makes_no_more_nodes_and_ends_none(project: Project) -> None:
    [first] = set(images(project))
    project.cloud().client("ec2").deregister_image(ImageId=first)
    assert project.fleet("preview", "-s", "sandbox", "--json").ok().json["changes"].keys() == {"same"}
    for words in (["resize", "4"], ["replace", "1"]):
        done = project.fleet(*words, "--yes", "-s", "sandbox")
        assert (done.code, done.err.count("\n")) == (2, 1), done.all
        assert f"{first}  the fleet's nodes are of this image, and no more can be: it is no image" in done.err
        assert "fleet down, then fleet up, takes AWS's newest" in done.err
    assert images(project) == [first] * 3
    project.fleet("down", "-s", "sandbox").ok()
    project.stack(change=NO_FILES)
    project.fleet("up", "--yes", "-s", "sandbox").ok()
    assert images(project) == [named_by_aws(project)] * 2
    project.fleet("down", "-s", "sandbox").ok()
    assert project.left() == []
    assert project.beyond_the_policy() == {"ec2:DeregisterImage"}, "which this test asked for"
