"""What a change takes from a fleet that is up, out of the engine's preview."""

from __future__ import annotations

import pytest

from infra.changed import Losses, losses
from infra.errors import BadInput
from infra.outputs import NodeOutput
from infra.session import Change

NODES = [
    NodeOutput(rank, f"node-{number:03d}", f"i-{number}", "10.0.0.4", "", "us-east-1a", "m7i.xlarge")
    for rank, number in enumerate((2, 0, 1))  # ranks go by topology
]


def step(op: str, kind: str, name: str, *of: str) -> Change:
    return Change(op, kind, name, "started", of=of)


def node(op: str, number: int, *of: str) -> Change:
    return step(op, "ec2:Instance", f"node-{number:03d}", *of)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ([], ""),
        ([node("update", 0, "rootBlockDevice"), node("create", 3), node("same", 1)], ""),
        ([step("update", "scheduler:Schedule", "end"), step("replace", "cloudwatch:MetricAlarm", "node-000-idle")], ""),
        ([node("delete", 2)], "end the machine of rank 0 with all that is on its disks"),
        ([node("update", 0, "instanceType")], "stop and start the machine of rank 1"),
        (
            [*(node(op, n) for n in range(3) for op in ("create-replacement", "replace", "delete-replaced"))]
            + [step("replace", "efs:MountTarget", "files-target")],
            "replace the machines of ranks 0-2 with all that is on their disks",
        ),
        (
            [node("replace", 2), node("delete", 1), step("delete", "efs:FileSystem", "files")],
            "replace the machine of rank 0 with all that is on its disks, "
            "end the machine of rank 2 with all that is on its disks, delete the shared files",
        ),
        ([step("replace", "fsx:LustreFileSystem", "files")], "delete the shared files"),
        ([step("keep", "efs:FileSystem", "files")], ""),
        ([step("replace", "efs:MountTarget", "files-target")], "cut the nodes off the shared files"),
    ],
)
def test_what_goes_is_told_by_rank_and_with_what_is_on_it(changes: list[Change], said: str) -> None:
    found = losses(changes, NODES)
    assert found.said == said and bool(found) == bool(said)


def test_what_was_asked_for_is_no_loss_and_the_rest_is_refused() -> None:
    found = losses([node("replace", 0), node("replace", 1), node("delete", 2)], NODES)
    found.but((0, 1, 2)).refuse("dev")
    with pytest.raises(BadInput, match="stack dev  the stack file was changed .* replace the machine of rank 2 with"):
        found.but((0, 1)).refuse("dev")


def test_many_ranks_are_told_shortly() -> None:
    assert "ranks 0-3, 7, 9-255 with" in Losses(replaced=(*range(4), 7, *range(9, 256))).said
