from __future__ import annotations

import pytest

from infra.errors import CloudRefused
from training.allreduce import floors, judged, read
from training.connection import Result

WELL = "== 0 0\ntorch\nbus 231.4\n\n== 1 0\ntorch\nbus 12.25\n\n"
ALONE = "== 0 1\nTraceback (most recent call last):\n  import torch\nModuleNotFoundError: No module named 'torch'\n\n"
LEFT = (
    "== 0 1\ntorch\n[W1124 socket.cpp:767] [c10d] The client socket has timed out.\n"
    "torch.distributed.DistNetworkError: The client socket has timed out after 90000ms\n\n"
)
HUNG = "== 0 124\ntorch\n\n"


def found(said: dict[int, str], floor: float | None = None) -> dict[int, tuple[bool, str]]:
    nodes = {rank: read(Result(0, text, "")) for rank, text in said.items()}
    return {rank: (one.ok, one.found) for rank, one in judged(nodes, floor).items()}


@pytest.mark.parametrize(("floor", "ok"), [(None, True), (12.0, True), (100.0, False)])
def test_the_slowest_rank_is_held_to_the_floor_where_there_is_one(floor: float | None, ok: bool) -> None:
    assert found({0: WELL, 1: WELL}, floor) == {0: (ok, "12.2 GB/s over 4 ranks"), 1: (ok, "12.2 GB/s over 4 ranks")}


def test_a_node_that_never_got_as_far_is_named_and_not_those_that_waited_for_it() -> None:
    assert found({0: LEFT, 1: ALONE}) == {1: (False, "ModuleNotFoundError: No module named 'torch'")}
    unreachable = read(CloudRefused("no answer in 180 s"))
    assert judged({0: read(Result(0, LEFT, "")), 1: unreachable}, None)[1].found == "no answer in 180 s"
    gone = read(Result(1, "", "bash: line 1: cd: /home/u/fleet/preflight-ab: No such file or directory\n"))
    assert "No such file" in judged({0: read(Result(0, LEFT, "")), 1: gone}, None)[1].found


def test_ranks_that_all_tried_and_did_not_meet_are_all_named() -> None:
    said = "torch.distributed.DistNetworkError: The client socket has timed out after 90000ms"
    assert found({0: HUNG, 1: LEFT}) == {0: (False, "not met in 150 s"), 1: (False, said)}


def test_every_floor_is_more_than_one_card_of_tcp_gives() -> None:
    assert floors() and all(floor > 12.5 for floor in floors().values())
