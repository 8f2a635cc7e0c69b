from __future__ import annotations

import json
from pathlib import Path

import pytest

from infra.errors import BadInput
from training.inventory import Node
from training.job import Job
from training.plan import Offer, Plan
from training.preflight import Asked, node_checks
from training.readiness import Check, Readiness, Ready

GIB = 2**20
VERSIONS = json.dumps(
    {"python": "3.12.3", "ms-swift": "4.6.0", "torch": "2.11.0", "transformers": "5.19.0", "packages": "abc"}
)
SAID = {
    "home": "/home/u",
    "base": "/home/u/fleet",
    "disk": str(100 * GIB),
    "shm": str(16 * GIB),
    "gpus": "8",
    "trainer": "1",
    "versions": VERSIONS,
    "path0": "17",
}


def failed(
    changes: dict[str, str | None], *, gpus: int | None = 8, skews: tuple[float, ...] = (0.1, 0.1, 0.1)
) -> dict[str, str]:
    said = {key: value for key, value in {**SAID, **changes}.items() if value is not None}
    plan = Plan(Job(command="sft"), Path("job.yaml"), Offer("p5", 2, 8), {}, 8, on_nodes=("/data/x.jsonl",))
    node = Node(1, "node-001", "198.51.100.6", "10.0.0.5", gpus=gpus)
    checks = node_checks(plan, node, Asked(said, (), skews), Asked(SAID, (), (0.0, 0.0, 0.0)))
    return {check.name: check.found for check in checks if not check.ok}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {}),
        ({"disk": str(9 * GIB)}, {"disk": "9.0 GiB free"}),
        ({"base": None, "disk": None}, {"disk": "the folder can't be made"}),
        ({"gpus": "7"}, {"gpus": "7"}),
        ({"shm": str(GIB // 16)}, {"shm": "0.1 GiB"}),
        (
            {"trainer": None},
            {"swift": "swift 4.6.0 · torch 2.11.0 · transformers 5.19.0 · python 3.12.3 · packages abc"},
        ),
        ({"path0": None}, {"files": "/data/x.jsonl is not readable"}),
        ({"path0": "18"}, {"files": "/data/x.jsonl: 18 bytes"}),
    ],
)
def test_what_is_amiss_is_named_and_nothing_else(changes: dict[str, str | None], expected: dict[str, str]) -> None:
    assert failed(changes) == expected


def test_other_versions_than_node_0_are_refused() -> None:
    assert set(failed({"versions": VERSIONS.replace("2.11.0", "2.10.0")})) == {"versions"}
    assert set(failed({"versions": ""})) == {"swift", "versions"}


def test_no_gpu_promised_and_none_found_is_well() -> None:
    assert failed({"gpus": "0", "disk": str(3 * GIB), "shm": "0"}, gpus=0) == {}
    assert failed({"gpus": "0"}, gpus=None) == {}
    assert failed({"gpus": "0"}, gpus=8) == {"gpus": "0"}


@pytest.mark.parametrize(("skews", "ok"), [((9.0, 0.0, 0.0), True), ((9.0, 9.0, 0.0), False), ((-6.0,) * 3, False)])
def test_a_clock_is_off_when_most_samples_say_so(skews: tuple[float, ...], ok: bool) -> None:
    assert ("clock" not in failed({}, skews=skews)) is ok


def test_everything_that_failed_is_one_error_with_a_line_each() -> None:
    bad = Check("disk", False, "1 GiB", "10 GiB", "Free space.")
    good = Check("gpus", True, "8", "8", "")
    nodes = {0: Readiness(0, "node-000", (good, bad)), 1: Readiness(1, "node-001", (bad,))}
    ready = Ready(nodes, ("/h", "/h"), ("/b", "/b"), "10.0.0.4", 29500, {0: 0.0, 1: 0.002})
    with pytest.raises(BadInput) as error:
        ready.require()
    assert str(error.value).splitlines() == [
        "node-000 (rank 0)  disk: 1 GiB, needed: 10 GiB. Free space.",
        "node-001 (rank 1)  disk: 1 GiB, needed: 10 GiB. Free space.",
    ]
    assert ready.summary == "0 of 2 nodes · GPUs 8 · clock 2 ms · master 10.0.0.4:29500"


def test_what_was_left_out_is_said_with_the_rest() -> None:
    met = Check("all-reduce", True, "0.5 GB/s over 2 ranks", "", "")
    ready = Ready({0: Readiness(0, "node-000", (met,))}, ("/h",), ("/b",), "10.0.0.4", 29500, {0: 0.0}, ("clock",))
    assert ready.summary.endswith("all-reduce 0.5 GB/s over 2 ranks · master 10.0.0.4:29500 · skipped: clock")
