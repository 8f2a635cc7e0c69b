"""Files that outlive their fleet: kept on purpose, told of, taken up by another stack and by their own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from project import Project, eventually, project_in

KEEPS = {"nodes": "1", "idleMinutes": "0", "retain": "true"}
LATER = {"nodes": "1", "idleMinutes": "0"}


def stack(project: Project, name: str, third: int, **keys: str) -> None:
    keys = {"vpcCidr": project.network.replace(".0.0/16", f".{third}.0/24")} | keys
    project.stack(name, change={f"swift-fleet:{key}": value for key, value in keys.items()})


def on_node(project: Project, name: str, script: str) -> str:
    """In the shared folder, once it is mounted."""
    mounted = f"mountpoint -q ~/shared && cd ~/shared && {script}"
    return str(
        eventually(lambda: project.fleet("ssh", "-s", name, "0", "--", "bash", "-c", mounted).out.strip(), within=180)
    )


def outputs(project: Project, name: str) -> str:
    return str(project.fleet("outputs", "-s", name, "--json").ok().json["file_system_id"])


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with project_in(tmp_path_factory.mktemp("kept") / "clone") as project:
        stack(project, "keeps", 1, **KEEPS)
        yield project


@pytest.fixture(scope="module")
def kept(project: Project) -> str:
    """The id of what a fleet left that retains its files, with one in it."""
    project.fleet("up", "-s", "keeps", "--yes").ok()
    system = outputs(project, "keeps")
    assert on_node(project, "keeps", "echo weights > checkpoint && cat checkpoint") == "weights"
    assert project.pulumi("preview", "--expect-no-changes", "-s", "keeps").ok()
    down = project.fleet("down", "-s", "keeps").ok().out
    assert "1 kept: files" in down
    assert f"none but file system {system}, kept (retain: true), bills by the GB" in down
    return system


def test_everything_else_is_gone_and_no_sweep_takes_it(project: Project, kept: str) -> None:
    assert project.left("keeps") == []
    assert project.cloud("keeps").client("efs").describe_mount_targets(FileSystemId=kept)["MountTargets"] == []
    assert project.fleet("down", "-s", "keeps").ok()
    file = project.root / "stacks" / "Pulumi.keeps.yaml"
    stack(project, "later", 2, **LATER, fileSystemId=kept)
    file.rename(file.with_suffix(".gone"))
    swept = project.fleet("sweep", "--yes").ok().out
    file.with_suffix(".gone").rename(file)
    assert "keeps: kept, its stack is gone, its files were to stay" in swept and "nothing to end" in swept
    (shown,) = [line for line in project.fleet("ps", "--all").ok().out.splitlines() if kept in line]
    assert "kept (retain: true)" in shown


def test_another_stack_takes_it_up_by_its_id_and_leaves_it(project: Project, kept: str) -> None:
    stack(project, "later", 2, **LATER, fileSystemId=kept)
    project.fleet("up", "-s", "later", "--yes").ok()
    assert project.pulumi("preview", "--expect-no-changes", "-s", "later").ok()
    assert on_node(project, "later", "cat checkpoint && echo more >> checkpoint") == "weights"
    # with the state lost, what it made to mount it is found all the same
    shutil.rmtree(project.state / "pulumi")
    (project.state / "pulumi").mkdir()
    down = project.fleet("down", "-s", "later", "--json").ok().events[-1]
    assert {"mount target", "access point"} <= {thing["kind"] for thing in down["swept"]}
    assert project.left("later") == []


def test_its_own_stack_takes_it_back_into_its_state(project: Project, kept: str) -> None:
    assert "1 taken up: files" in project.fleet("up", "-s", "keeps", "--yes").ok().out
    assert outputs(project, "keeps") == kept
    assert on_node(project, "keeps", "cat checkpoint").split() == ["weights", "more"]
    assert project.pulumi("preview", "--expect-no-changes", "-s", "keeps").ok()
    # no longer to be kept: it ends with the next fleet down
    stack(project, "keeps", 1, **KEEPS | {"retain": "false"})
    project.fleet("up", "-s", "keeps", "--yes").ok()
    assert "kept" not in project.fleet("down", "-s", "keeps").ok().out
    assert project.cloud("keeps").client("efs").describe_file_systems()["FileSystems"] == []


@pytest.mark.full
def test_a_lustre_file_system_is_mounted_as_the_users_own_and_ends_with_the_fleet(project: Project) -> None:
    stack(project, "fast", 3, **LATER, storage="fsx", fsxGib="2400")
    plan = project.fleet("cost", "-s", "fast").ok().out
    assert "FSx              $0.4603" in plan
    project.fleet("up", "-s", "fast", "--yes").ok()
    system = outputs(project, "fast")
    assert on_node(project, "fast", "echo weights > checkpoint && cat checkpoint") == "weights"
    assert project.pulumi("preview", "--expect-no-changes", "-s", "fast").ok()
    (shown,) = [line for line in project.fleet("ps", "-s", "fast").ok().out.splitlines() if system in line]
    assert "FSx LUSTRE 2400 GiB, SCRATCH_2" in shown and "$0.4603" in shown
    # with the state lost it is found by its tag, and ended before the network that it is in
    shutil.rmtree(project.state / "pulumi")
    (project.state / "pulumi").mkdir()
    down = project.fleet("down", "-s", "fast", "--json").ok().events[-1]
    assert system in {thing["id"] for thing in down["swept"]}
    assert project.left("fast") == []
    assert project.beyond_the_policy() == set()
