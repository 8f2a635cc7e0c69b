from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from training.fleets import Fleet, HostsFleet
from training.hosts import Host, HostsFile, write_hosts
from training.job import Job
from training.plan import Plan, make_plan
from training.planned import as_json, lines
from training.stack_fleet import StackFleet

GOLDEN = Path(__file__).parent / "golden"


def stack(root: Path, *settings: str) -> StackFleet:
    (root / "stacks").mkdir()
    text = "\n".join(["config:", "  aws:region: us-east-1", *(f"  swift-fleet:{line}" for line in settings)])
    (root / "stacks/Pulumi.dev.yaml").write_text(text + "\n")
    return StackFleet(root, "dev")


def lab(root: Path) -> HostsFleet:
    host = Host(address="198.51.100.1", key="/k", host_key="ssh-ed25519 A", gpus=8)
    second = host.model_copy(update={"address": "198.51.100.2", "host_key": "ssh-ed25519 B"})
    write_hosts(root, HostsFile(fleets={"lab": (host, second)}))
    return HostsFleet(root, "lab")


def planned(root: Path, fleet: Fleet, **args: object) -> Plan:
    (root / "train.jsonl").write_text("{}\n" * 500)
    given = {"model": "Qwen/Qwen2.5-7B-Instruct", "dataset": "train.jsonl#100", **args}
    return make_plan(Job(command="sft", args=given), root / "job.yaml", fleet.offer())


def shown(root: Path, text: str) -> str:
    text = re.sub(r"\d\d:\d\d UTC", "HH:MM UTC", text.replace(str(root), "/clone"))
    return re.sub(r"\d+ days old", "N days old", text)


@pytest.mark.parametrize(
    ("name", "settings", "is_up"),
    [
        ("gpus", ("instanceType: g6e.24xlarge", "nodes: 2"), False),
        ("already_up", ("instanceType: g6.xlarge", "nodes: 1", "sharedFiles: false"), True),
        (
            "no_gpu",
            (
                "instanceType: m7i.xlarge",
                "nodes: 3",
                "sharedFiles: false",
                "publicAddresses: false",
                "vpcId: vpc-0123456789abcdef0",
            ),
            False,
        ),
        ("budget", ("instanceType: g6.xlarge", "nodes: 2", "budget: 2.50", "maxUsdPerHour: 2"), False),
        (
            "candidates",
            (
                "instanceType: g6.12xlarge",
                "nodes: 2",
                "candidates: {instanceTypes: [g6e.12xlarge, g5.24xlarge]}",
            ),
            False,
        ),
        ("no_price", ("instanceType: p5e.48xlarge", "nodes: 1", "lifetime: 1d", "idleMinutes: 0"), False),
    ],
)
def test_a_plan_on_a_stack_reads_as_it_always_did(
    tmp_path: Path, name: str, settings: tuple[str, ...], is_up: bool
) -> None:
    fleet = stack(tmp_path, *settings)
    text = "\n".join(lines(planned(tmp_path, fleet), fleet, is_up))
    assert shown(tmp_path, text) == (GOLDEN / f"plan_{name}.txt").read_text()


def test_a_plan_on_own_machines_reads_as_it_always_did(tmp_path: Path) -> None:
    fleet = lab(tmp_path)
    text = "\n".join(lines(planned(tmp_path, fleet), fleet, True))
    assert shown(tmp_path, text) == (GOLDEN / "plan_own_hosts.txt").read_text()


def test_the_json_says_what_the_screen_says(tmp_path: Path) -> None:
    fleet = stack(tmp_path, "instanceType: g6.xlarge", "nodes: 2", "lifetime: 2h")
    data = json.loads(json.dumps(as_json(planned(tmp_path, fleet), fleet, False)))
    assert data["fleet"] == {"source": "stack", "name": "dev", "is_up": False}
    assert (data["nodes"], data["world_size"], data["lifetime_seconds"]) == (2, 2, timedelta(hours=2).total_seconds())
    assert data["usd_at_most"] == pytest.approx(data["usd_per_hour"] * 125 / 60)  # lifetime and the schedule's 5 min
    assert ["NODE_RANK=0" in data["ranks"][0], "NODE_RANK=1" in data["ranks"][1]] == [True, True]
    assert data["send"][0]["bytes"] == 1500


def test_ranks_that_would_train_apart_are_pointed_out_and_use_cpu_joins_them(tmp_path: Path) -> None:
    fleet = stack(tmp_path, "instanceType: m7i.xlarge", "nodes: 2")
    alone, joined = planned(tmp_path, fleet, ddp_backend="gloo"), planned(tmp_path, fleet, use_cpu=True)
    assert any("train apart" in line for line in lines(alone, fleet, False)) and not alone.together
    assert not any("apart" in line for line in lines(joined, fleet, False)) and joined.together
    assert joined.environment()["ACCELERATE_TORCH_DEVICE"] == "cpu"


def test_infer_without_gpus_is_one_process_since_nobody_gathers_the_answers_of_several(tmp_path: Path) -> None:
    fleet = stack(tmp_path, "instanceType: m7i.xlarge", "nodes: 2")
    (tmp_path / "rows.jsonl").write_text("{}\n")
    job = Job(command="infer", args={"model": "a/b", "val_dataset": "rows.jsonl"})
    alone = make_plan(job, tmp_path / "job.yaml", fleet.offer())
    assert (alone.ranks, alone.world_size, alone.together) == ((0,), 1, False)
    assert any(line.startswith("note     runs on one node") for line in lines(alone, fleet, False))
    with_gpus = make_plan(job, tmp_path / "job.yaml", replace(fleet.offer(), gpus_per_node=4))
    assert (with_gpus.ranks, with_gpus.world_size) == ((0, 1), 8)
