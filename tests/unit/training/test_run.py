from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from infra.errors import BadInput
from training.inventory import Inventory, Node
from training.run import (
    Cause,
    Checkpoint,
    Event,
    LogLines,
    Note,
    Outcome,
    RankEnded,
    RankLost,
    RankStarted,
    Run,
    SetupStep,
    Step,
    World,
    from_json,
    new_run_id,
    to_json,
)

AT = datetime(2026, 11, 24, 5, 0, 0, 250000, UTC)
NODE = Node(0, "node-000", "198.51.100.5", "10.0.0.4", "ubuntu", 22, Path("/keys/lab.pem"), "ssh-ed25519 AAAA", 8)
RUN = Run(
    id="run-7f3a",
    inventory=Inventory("hosts", "lab", (NODE, replace(NODE, rank=1, key_file=None, gpus=None)), "~/shared"),
    base=("/home/ubuntu/shared", "/home/ubuntu/shared"),
    output_dir="/home/ubuntu/shared/runs/run-7f3a/output",
    master_addr="10.0.0.4",
    master_port=29500,
    started_at=AT,
    nnodes=2,
    nproc_per_node=8,
    world_size=16,
    trainer="swift",
    command="sft",
    ranks=(0, 1),
    usd_per_hour=110.08,
    ends_at=AT,
    before={"up": 112.5},
)
EVENTS: list[Event] = [
    SetupStep(AT, 0, "uv", "ok"),
    RankStarted(AT, 0),
    LogLines(AT, 1, 17, ("a", "b \x1b[0m ü")),
    World(AT, 2),
    Step(AT, 0, 1, 10, 0.5, None, 1e-5, 0.4, 12, None),
    Checkpoint(AT, "/o/checkpoint-1"),
    RankEnded(AT, 1, 1),
    RankLost(AT, 1, AT, "no answer"),
    Note(AT, "hello"),
    Outcome(AT, "failed", AT, AT, {0: 1, 1: None}, 1, Cause(1, 733, "boom"), "why", 2, 3, 10, 1.0, 0.5, ("/o/c-1",)),
]


def test_a_run_survives_json() -> None:
    assert Run.from_json(RUN.to_json()) == RUN


def test_a_run_of_a_newer_version_with_more_keys_is_still_read() -> None:
    data = json.loads(RUN.to_json()) | {"added_later": 1}
    assert Run.from_json(json.dumps(data)) == RUN


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"inventory": {"nodes": [{"rank": 0}]}}'])
def test_what_is_no_run_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(BadInput, match="not a run of this version"):
        Run.from_json(text)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_every_event_survives_json(event: Event) -> None:
    assert from_json(json.loads(json.dumps(to_json(event)))) == event


def test_an_unknown_event_is_refused() -> None:
    with pytest.raises(BadInput, match="no event is called 'Nope'"):
        from_json({"event": "Nope"})


def test_run_ids_look_like_run_7f3a() -> None:
    assert new_run_id().startswith("run-") and len(new_run_id()) == 8
