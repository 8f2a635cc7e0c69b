"""A chain on two hosts over real SSH: order, layout, what is handed on, endpoints and their end.

The commands are stand-ins (`trainer/steps`): `swift rollout` is vLLM's alone, which has no CPU build here. The chain
with the real ms-swift, as far as it runs on a CPU: test_chains.py.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import stagehosts
from test_stages import ready, until

from training.collect import Artifacts
from training.endpoints import endpoints
from training.job import Job
from training.launch import active_runs, launch, stop
from training.plan import Offer, Plan, make_plan
from training.receipt import Money, make_receipt
from training.record import Record, Request, Stage
from training.remote import Machines
from training.run import Endpoint, Event, Note, Step, new_run_id, now
from training.shell import free_port, pinned, ssh_command, tunnel_command
from training.steps import Chain, fetch, follow, started
from training.telling import Line

TRAINER = Path(__file__).parent / "trainer/steps"
TRAIN: dict[str, Any] = {"command": "sft", "args": {"model": "/m"}}
MERGE = {"command": "export", "args": {"adapters": "{train.best_checkpoint}", "merge_lora": True}}
DEPLOY: dict[str, Any] = {"command": "deploy", "args": {"model": "{merge.output}"}}
EVAL = {"command": "eval", "args": {"eval_url": "{deploy.url}"}}


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[stagehosts.Hosts]:
    with stagehosts.hosts(tmp_path, 2) as made:
        for host in made.hosts:
            stagehosts.swift_env(host.home, TRAINER)
        yield made


@pytest.fixture
def machines(hosts: stagehosts.Hosts) -> Iterator[Machines]:
    with Machines(hosts.inventory()) as made:
        yield made


class Going:
    """A run of a chain, followed as `fleet run` and `fleet attach` do."""

    def __init__(self, machines: Machines, folder: Path, first: dict, *then: dict) -> None:
        self.machines, self.folder = machines, folder
        self.plan: Plan = make_plan(
            Job.model_validate({**first, "then": then}), folder / "job.yaml", Offer("own", 2, 0)
        )
        self.request = Request(new_run_id(), "job.yaml", "hosts", "lab")
        self.record = Record(folder / "record")
        self.record.begin(self.request, now())
        self.run = launch(machines, self.plan, ready(machines), self.request.run_id)

    def follow(self, *done: str, then: Callable[[Event | Stage], None] = lambda event: None) -> Chain:
        self.told: list[Event | Stage] = []

        def show(event: Event | Stage) -> None:
            self.told.append(event)
            then(event)

        line = Line(self.request, self.record, show, self.folder)
        return follow(line, self.machines, self.run, self.plan, done)

    def args(self, rank: int, step: str = "") -> str:
        host = self.folder / f"host-{rank}/fleet/runs" / (f"{self.run.id}.{step}" if step else self.run.id)
        return (host / f"rank-{rank}/args.yaml").read_text()

    def receipt(self) -> Any:
        return make_receipt(self.request, list(self.record.events(self.run.id)), Money(None, "", None, None, {}))


def test_each_step_takes_what_the_one_before_left_and_a_server_ends_after_the_last_that_names_it(
    machines: Machines, tmp_path: Path
) -> None:
    port = free_port(8000)
    with socket.create_server(("0.0.0.0", port)):
        going = Going(machines, tmp_path, TRAIN, MERGE, {**DEPLOY, "args": {**DEPLOY["args"], "port": port}}, EVAL)
        chain = going.follow()
    assert [(one.run.step, one.run.ranks, one.outcome.state) for one in chain.ended] == [
        ("train", (0, 1), "succeeded"),
        ("merge", (0,), "succeeded"),
        ("deploy", (0,), "succeeded"),
        ("eval", (0,), "succeeded"),
    ]
    merged = f"{tmp_path}/host-0/fleet/runs/{going.run.id}.merge/output"
    assert f"adapters: {chain.ended[0].run.output_dir}/v0-20261124-050000/checkpoint-4\n" in going.args(0, "merge")
    assert f"model: {merged}\n" in going.args(0, "deploy")
    [endpoint] = [event for event in going.told if isinstance(event, Endpoint)]
    got = int(endpoint.url.rpartition(":")[2])
    assert (endpoint.url, endpoint.health) == (f"http://127.78.0.10:{got}", "/health")
    assert got > port and f"eval_url: http://127.78.0.10:{got}\n" in going.args(0, "eval")
    assert active_runs(machines) == ((), ()) and endpoints(machines) == ()

    artifacts: Artifacts = fetch(machines, chain, tmp_path / "here", lambda text: None)
    assert (tmp_path / "here/eval/output/answer").read_text() == "served"
    assert (tmp_path / "here/merge/output/from").exists() and (tmp_path / "here/output/checkpoint-10").exists()
    assert (tmp_path / "here/deploy/logs/rank-0.log").exists() and artifacts.files == 5
    receipt = going.receipt()
    assert [(one.name, one.state) for one in receipt.chain] == [
        ("train", "succeeded"),
        ("merge", "succeeded"),
        ("deploy", "served"),
        ("eval", "succeeded"),
    ]
    assert (receipt.outcome.max_steps, receipt.serves) == (10, "")


def test_rollout_and_trainer_have_hosts_of_their_own_and_the_trainer_starts_when_the_server_answers(
    machines: Machines, tmp_path: Path, hosts: stagehosts.Hosts
) -> None:
    port = free_port(8000)
    rollout = {"command": "rollout", "ranks": [0], "args": {"model": "/m", "port": port}}
    server = {"vllm_server_host": "{rollout.host}", "vllm_server_port": "{rollout.port}"}
    grpo = {
        "command": "rlhf",
        "ranks": [1],
        "args": {"rlhf_type": "grpo", "use_vllm": True, "vllm_mode": "server", **server},
    }
    going = Going(machines, tmp_path, rollout, grpo)
    chain = going.follow()
    assert [(one.run.step, one.run.ranks, one.outcome.state) for one in chain.ended] == [
        ("rollout", (0,), "succeeded"),
        ("train", (1,), "succeeded"),
    ]
    [endpoint] = [event for event in going.told if isinstance(event, Endpoint)]
    got = endpoint.url.rpartition(":")[2]
    assert f"vllm_server_host: 127.78.0.10\nvllm_server_port: {got}\n" in going.args(1, "train")
    ranks = hosts.hosts[1].home / f"fleet/runs/{going.run.id}.train/rank-1/ranks"
    assert ranks.read_text() == "1 0 127.78.0.11\n"
    assert "served" in (tmp_path / "train/logs/rank-1.log").read_text()
    assert active_runs(machines) == ((), ())


def test_a_server_that_ends_while_a_later_step_goes_on_is_told_at_once(
    machines: Machines, tmp_path: Path, hosts: stagehosts.Hosts
) -> None:
    hold = hosts.hosts[1].home / "hold"
    hold.touch()
    rollout = {"command": "rollout", "ranks": [0], "args": {"model": "/m", "port": free_port(8000)}}
    server = {"vllm_server_host": "{rollout.host}", "vllm_server_port": "{rollout.port}"}
    grpo: dict[str, Any] = {"command": "rlhf", "ranks": [1], "args": {"rlhf_type": "grpo", "use_vllm": True, **server}}
    grpo["args"]["vllm_mode"] = "server"
    going = Going(machines, tmp_path, rollout, grpo)

    def then(event: Event | Stage) -> None:
        if isinstance(event, Step) and event.step == 10:
            os.kill(int((hosts.hosts[0].home / f"fleet/runs/{going.run.id}/rank-0/pid").read_text()), signal.SIGTERM)
        if isinstance(event, Note) and "of step rollout" in event.text:
            hold.unlink()

    chain = going.follow(then=then)
    assert "rank 0: the server of step rollout ended, exit code 143" in [
        event.text for event in going.told if isinstance(event, Note)
    ]
    assert chain.ended[-1].outcome.state == "succeeded"


def test_a_step_that_fails_stops_the_chain_and_what_was_done_before_is_kept(
    machines: Machines, tmp_path: Path, hosts: stagehosts.Hosts
) -> None:
    (hosts.hosts[0].home / "fail").touch()
    going = Going(machines, tmp_path, TRAIN, MERGE, DEPLOY)
    chain = going.follow()
    assert chain.failed and chain.failed.run.step == "merge" and len(chain.ended) == 2
    assert chain.failed.outcome.cause and "can't be merged" in chain.failed.outcome.cause.text
    fetch(machines, chain, tmp_path / "here", lambda text: None)
    assert (tmp_path / "here/output/checkpoint-4/trainer_state.json").exists()
    receipt = going.receipt()
    assert [(one.name, one.state) for one in receipt.chain] == [("train", "succeeded"), ("merge", "failed")]
    assert receipt.outcome.state == "failed"


def test_a_chain_that_was_cut_off_goes_on_with_the_step_it_was_in_and_its_endpoint_is_reached_through_ssh(
    machines: Machines, tmp_path: Path, hosts: stagehosts.Hosts
) -> None:
    port = free_port(8000)
    going = Going(machines, tmp_path, TRAIN, MERGE, {**DEPLOY, "args": {**DEPLOY["args"], "port": port}})
    first = going.follow()
    again = going.follow("train", "merge", "deploy")
    assert [one.run.started_at for one in again.ended] == [one.run.started_at for one in first.ended]
    assert [one.id for one in started(machines, going.run)] == [one.run.id for one in again.ended]
    [endpoint] = endpoints(machines)
    assert again.ended[-1].outcome.state == "running" and going.receipt().serves == endpoint.url
    port = int(endpoint.url.rpartition(":")[2])  # a port that was free at first may be taken by now
    node, here = machines.node(0), free_port(port + 1)
    tunnel = tunnel_command(ssh_command(node, (), pinned(node, tmp_path)), here, "127.0.0.1", port)
    process = subprocess.Popen(tunnel, stdin=subprocess.DEVNULL)
    try:
        until(lambda: listens(here), "the tunnel to listen")
        with urllib.request.urlopen(f"http://127.0.0.1:{here}/health") as answer:
            assert answer.read() == b"served"
    finally:
        process.terminate()
        process.wait()
    assert endpoint.run == f"{going.run.id}.deploy"
    assert stop(machines, again.ended[-1].run, 5) == {}
    assert endpoints(machines) == ()


def listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0
