"""`scripts/verify-aws` as far as the sandbox goes: each step says what it found, and nothing is left."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from project import REPO, Going, Project, eventually, project_in

VERIFY = [REPO / ".venv" / "bin" / "python", REPO / "scripts" / "verify-aws", "-s", "sandbox"]
FREE = ["credentials", "types", "prices", "quotas", "image", "fabrics", "topology", "preview"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with project_in(tmp_path_factory.mktemp("verify") / "clone") as project:
        project.stack(change={"swift-fleet:nodes": "1", "swift-fleet:sharedFiles": "false"})
        project.fleet("sandbox", "start").ok()
        yield project


def test_what_costs_nothing_makes_nothing_and_says_what_it_found(project: Project) -> None:
    done = project.run([*VERIFY, "--free"]).ok()
    said = {line.split()[1]: line for line in done.out.splitlines() if line.startswith("✓")}
    assert list(said) == FREE
    assert "p5.48xlarge 32 interfaces" in said["fabrics"] and "p6-b300.48xlarge 17 interfaces" in said["fabrics"]
    assert "lines of it are one each" in said["prices"]
    assert project.left() == [] and project.control("status")["instances"] == []


def test_a_fleet_on_lustre_has_a_price_too(project: Project) -> None:
    project.stack(change={"swift-fleet:nodes": "1", "swift-fleet:storage": "fsx"})
    done = project.run([*VERIFY, "--free"])
    project.stack(change={"swift-fleet:nodes": "1", "swift-fleet:sharedFiles": "false"})
    assert "✓ prices" in done.ok().out


def test_a_refusal_is_told_with_what_it_was_to_show(project: Project) -> None:
    project.control("faults", [{"action": "RunInstances", "code": "InvalidParameterCombination"}])
    done = project.run([*VERIFY, "--free"])
    project.control("faults", [])
    assert done.code == 1
    assert "✗ fabrics" in done.out and "it was to show: EFA on card 0" in done.out


@pytest.mark.full
@pytest.mark.timeout(2400)
def test_each_end_ends_the_smallest_machine_and_then_the_fleet_goes_up_and_down(project: Project) -> None:
    project.nodes_set_up(False)
    going = Going([*VERIFY, "--yes"], project.root, project.environment())
    for number, minutes in enumerate((11, 16, 20, 40), 1):
        eventually(lambda n=number: sum("to end by itself" in line for line in going.lines) == n, within=600)  # type: ignore[misc]
        project.control("clock", {"advance": minutes * 60})
    done = going.ended(within=1200)
    assert done.code == 0, done.all
    for step in ("lease", "schedule", "idle", "alarm", "up", "down"):
        assert f"✓ {step}" in done.out
    assert project.left() == [] and project.left("sandbox") == []
    assert not (project.root / "stacks" / "Pulumi.sandbox-ends.yaml").exists()
