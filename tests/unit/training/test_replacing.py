from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from training.checks import ANSWER
from training.cli import cli
from training.readiness import Check, Readiness, Ready
from training.replacing import at_fault


def ready(*failed: str) -> Ready:
    """A fleet of as many nodes, each with the one check that failed on it, or ""."""
    nodes = {
        rank: Readiness(rank, f"node-{rank:03d}", (Check(name, False, "7", "8", ""),) if name else ())
        for rank, name in enumerate(failed)
    }
    return Ready(nodes, (), (), "10.0.0.4", 29500, {})


@pytest.mark.parametrize(
    ("failed", "replaced"),
    [
        (("", ""), []),
        (("", "gpus"), [1]),
        (("gpu-errors", ""), [0]),
        (("", ANSWER), [1]),
        (("gpus",), [0]),
        (("gpus", "gpu-memory"), []),
        (("gpus", "", "efa", ""), [0, 2]),
        (("gpus", "gpus", "gpus", ""), []),
        (("", "files"), []),
        (("", "cuda"), []),
        (("versions", "gpus"), [1]),
    ],
)
def test_another_machine_is_for_what_a_machine_is_at_fault_for_and_for_at_most_half_of_them(
    failed: tuple[str, ...], replaced: list[int]
) -> None:
    assert list(at_fault(ready(*failed))) == replaced


def test_own_machines_are_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Pulumi.yaml").touch()
    (tmp_path / "job.yaml").write_text("command: sft\n")
    done = CliRunner().invoke(cli, ["run", "job.yaml", "--local", "--replace-bad"])
    assert str(done.exception) == "--replace-bad is for a stack's machines. Own ones can't be replaced: leave it away."
