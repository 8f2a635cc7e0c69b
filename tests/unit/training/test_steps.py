"""The pure parts of carrying a chain out: which checkpoint, which address, what is filled in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from training.checkpoints import Checkpoints, choose
from training.endpoints import on_node, reached
from training.inventory import Node
from training.job import Job
from training.plan import Offer, make_plan
from training.receipt import Money, lines, make_receipt
from training.record import Request, Stage
from training.run import Endpoint, Outcome, Step
from training.shell import ssh_command, tunnel_command
from training.steps import given

AT = datetime(2026, 11, 24, 5, tzinfo=UTC)
TWO = "dir /o/v1\ncheckpoint checkpoint-2\ncheckpoint checkpoint-10"
NODE = Node(1, "node-001", "198.51.100.2", "10.0.0.5", "ubuntu", key_file=Path("/k"))


@pytest.mark.parametrize(
    ("said", "log", "best", "last"),
    [
        (TWO, "", "checkpoint-10", "checkpoint-10"),
        (TWO, "/x/checkpoint-2", "checkpoint-2", "checkpoint-10"),
        (f'{TWO}\nsaid "best_model_checkpoint": "/o/checkpoint-2"', "", "checkpoint-2", "checkpoint-10"),
        (f"{TWO}\ncheckpoint checkpoint-10-merged", "/o/checkpoint-3", "checkpoint-10", "checkpoint-10"),
        ("dir /o/v1", "", "", ""),
        ("", "", "", ""),
    ],
)
def test_the_best_checkpoint_is_what_was_measured_if_it_is_there_and_else_the_last(
    said: str, log: str, best: str, last: str
) -> None:
    found = choose(said, log)
    folder = "/o/v1" if said else ""
    assert found == Checkpoints(folder, *(f"{folder}/{one}" if one else "" for one in (best, last)))


@pytest.mark.parametrize(
    ("says", "others", "itself"),
    [
        ("http://0.0.0.0:8001", "http://10.0.0.5:8001", "http://127.0.0.1:8001"),
        ("https://0.0.0.0:8001", "https://10.0.0.5:8001", "https://127.0.0.1:8001"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://10.0.0.5:8000", "http://10.0.0.5:8000", "http://10.0.0.5:8000"),
        ("http://[::1]:8000", "http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_a_server_is_reached_where_it_says_that_it_listens(says: str, others: str, itself: str) -> None:
    assert (reached(says, NODE), on_node(says)) == (others, itself)


def test_a_tunnel_is_the_nodes_own_ssh_with_nothing_but_a_port_forwarded() -> None:
    ssh = ssh_command(NODE, (), Path("/known"))
    tunnel = tunnel_command(ssh, 8000, "127.0.0.1", 8001)
    assert tunnel[: len(ssh) - 1] == ssh[:-1] and tunnel[-1] == "ubuntu@198.51.100.2"
    assert tunnel[len(ssh) - 1] == "-N" and tunnel[-3:-1] == ["-L", "127.0.0.1:8000:127.0.0.1:8001"]
    assert "StrictHostKeyChecking=yes" in tunnel and "ExitOnForwardFailure=yes" in tunnel


def test_a_step_is_given_what_earlier_ones_left_in_arguments_and_environment() -> None:
    then = {"command": "eval", "args": {"eval_url": "{deploy.url}/v1"}, "env": {"PORT": "{deploy.port}"}}
    job = Job.model_validate({"command": "deploy", "then": [then]})
    step = make_plan(job, Path("job.yaml"), Offer("x", 1, 0)).then[0]
    made = given(step, {("deploy", "url"): "http://10.0.0.4:8000", ("deploy", "port"): 8000})
    assert made.args["eval_url"] == "http://10.0.0.4:8000/v1" and made.job.env == {"PORT": "8000"}


def test_a_receipt_lists_the_steps_and_what_serves_still() -> None:
    def at(seconds: int) -> datetime:
        return AT + timedelta(seconds=seconds)

    def outcome(seconds: int, state: str, **more: object) -> Outcome:
        return Outcome(at(seconds), state, AT, at(seconds), {0: 0}, **more)  # type: ignore[arg-type]

    events = [
        Stage(at(0), "train", "started"),
        Step(at(5), 0, 4, 4, 2.5, None, None, None, None, None),
        outcome(9, "succeeded", step=4, max_steps=4, world_size=2, best_checkpoint="/o/v0/checkpoint-4"),
        Stage(at(10), "train", "done"),
        Stage(at(10), "merge", "started"),
        outcome(70, "succeeded"),
        Stage(at(70), "merge", "done"),
        Stage(at(70), "deploy", "started"),
        outcome(100, "running"),
        Endpoint(at(101), "run-7f3a.deploy", 0, "http://10.0.0.4:8001", "http://127.0.0.1:8001", "/health"),
        Stage(at(101), "deploy", "done"),
    ]
    request = Request("run-7f3a", "/job.yaml", "stack", "dev", keep=True)
    receipt = make_receipt(request, events, Money(None, "", None, None, {}), left_up=True)
    assert list(receipt.stages.items()) == [("train", 10), ("merge", 60), ("deploy", 31)]
    assert [one.loss for one in receipt.steps] == [2.5]
    shown = lines(receipt)
    assert shown[0] == "run-7f3a  succeeded  world size 2  step 4/4"
    assert [line.split() for line in shown if "checkpoint-4" in line or " merge " in line][-2:] == [
        ["steps", "train", "succeeded", "10", "s", "checkpoint-4"],
        ["merge", "succeeded", "1", "min", "00", "s"],
    ]
    assert any(line.startswith("serves           http://10.0.0.4:8001   fleet tunnel run-7f3a") for line in shown)
