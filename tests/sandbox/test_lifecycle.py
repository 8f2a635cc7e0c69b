"""One command from a job file to a receipt: the real engine, SSH and ms-swift, and the same stages by hand."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from project import Life, Local, Project, project_in

LOAD = """
import sys, torch
from peft import PeftModel
from transformers import AutoModelForCausalLM
base = AutoModelForCausalLM.from_pretrained(sys.argv[1])
model = PeftModel.from_pretrained(base, sys.argv[2])
trained = [p for name, p in model.named_parameters() if "lora_B" in name]
print(len(trained), all(bool(torch.any(p != 0)) for p in trained))
"""


# One command ---------------------------------------------------------------------------------------------------------


def test_a_run_says_the_plan_and_its_price_before_each_stage_in_turn(life: Life) -> None:
    out = life.done.out
    assert "m7i.xlarge x 2, on-demand   stack sandbox, to be created, ended after the run" in out
    assert "$0.4470 an hour" in out
    marks = re.findall(r"^✓ (\w+)", out, re.MULTILINE)
    assert marks == ["up", "bootstrap", "preflight", "launch", "train", "collect", "down", "receipt"]
    assert re.search(r"^✓ preflight .*all-reduce [\d.e-]+ GB/s over 2 ranks", out, re.MULTILINE)


def test_both_ranks_train_in_one_world_of_two(life: Life) -> None:
    """CARD-5."""
    assert "rank: 0, local_rank: 0, world_size: 2" in life.log(0)
    assert "rank: 1, local_rank: 0, world_size: 2" in life.log(1)
    assert life.receipt["outcome"]["world_size"] == 2
    # 400 rows, 8 at a time on each of two ranks: apart, each would take 50 steps.
    assert (life.receipt["outcome"]["step"], life.receipt["outcome"]["max_steps"]) == (25, 25)


def test_the_loss_goes_down(life: Life) -> None:
    losses = [loss for _, loss in life.receipt["losses"]]
    assert len(losses) > 10
    assert losses[-1] < losses[0]
    assert life.receipt["outcome"]["last_loss"] < life.receipt["outcome"]["first_loss"]


def test_the_checkpoint_has_a_piece_of_each_rank_and_loads_with_peft(life: Life, local: Local, tiny: Path) -> None:
    """DIST-8, NOTE-6."""
    checkpoint = life.folder / "output" / "checkpoint-25"
    assert {"rng_state_0.pth", "rng_state_1.pth", "adapter_model.safetensors"} <= {p.name for p in checkpoint.iterdir()}
    command = [local.python, "-c", LOAD, tiny / "model", checkpoint]
    loaded = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert loaded.stdout.split() == ["14", "True"], loaded.stderr[-2000:]


def test_the_receipt_holds_what_was_done_what_it_cost_and_the_proof_that_nothing_is_left(life: Life) -> None:
    """CARD-6, CARD-10."""
    receipt = life.receipt
    assert receipt["outcome"]["state"] == "succeeded"
    assert receipt["outcome"]["exit_codes"] == {"0": 0, "1": 0}
    assert list(receipt["stages"]) == ["up", "bootstrap", "preflight", "launch", "train", "collect", "down"]
    assert all(seconds > 0 for seconds in receipt["stages"].values())
    money = receipt["money"]
    assert money["usd_per_hour"] == pytest.approx(0.4470, abs=1e-4)
    assert money["planned_most"] == pytest.approx(money["usd_per_hour"] * 125 / 60)
    assert money["actual"] == pytest.approx(money["usd_per_hour"] * money["billed_hours"])
    assert 0 < money["actual"] < money["planned_most"]
    assert receipt["nothing_left"]
    assert receipt["resources_removed"] > 20
    assert len(receipt["proof"]) >= 12
    assert [one["asked"] for one in receipt["proof"] if one["found"]] == []
    asked = " ".join(one["asked"] for one in receipt["proof"])
    assert all(kind in asked for kind in ("DescribeInstances", "DescribeVolumes", "DescribeFileSystems", "ListRoles"))


def test_the_cloud_and_the_machine_agree_that_nothing_is_left(life: Life) -> None:
    assert life.left == []
    assert len(life.idle) == 1  # the sandbox, until it was stopped
    assert life.project.processes() == {}
    assert life.project.listeners() == []


def test_a_persons_receipt_and_a_report_are_there(life: Life) -> None:
    out = life.done.out
    assert re.search(rf"^{life.run_id}  succeeded  world size 2  step 25/25  loss [\d.]+ -> [\d.]+$", out, re.MULTILINE)
    assert re.search(r"resources removed, then AWS was asked \d+ times what is left: none", out)
    report = (life.folder / "report.html").read_text()
    assert life.run_id in report
    assert "<html" in report


def test_what_was_kept_is_every_file_that_the_run_wrote_with_its_sum_compared(life: Life) -> None:
    files = [p for p in (life.folder / "output").rglob("*") if p.is_file() and not p.is_symlink()]
    assert len(files) == life.receipt["files"]
    assert sum(p.stat().st_size for p in files) == life.receipt["bytes"]
    assert not [p for p in files if p.suffix == ".part"]


def test_runs_logs_and_receipt_give_json_when_the_cloud_is_gone(life: Life) -> None:
    [run] = life.project.fleet("runs", "--json").ok().json
    assert (run["run_id"], run["state"], run["fleet"]) == (life.run_id, "succeeded", "sandbox")
    lines = life.project.fleet("logs", life.run_id, "--json").ok().events
    assert {line["rank"] for line in lines} == {0, 1}
    only = life.project.fleet("logs", "--rank", "1").ok().out
    assert only.splitlines() == life.log(1).splitlines()
    assert life.project.fleet("receipt", "--json").ok().json == life.receipt
    assert not life.project.processes(), "looking at what was must not start a cloud"


def test_attaching_to_a_run_that_has_ended_points_to_its_receipt_and_makes_no_fleet(life: Life) -> None:
    done = life.project.fleet("attach", life.run_id)
    assert (done.code, done.err) == (2, f"{life.run_id} is finished. fleet receipt {life.run_id}\n")
    assert life.project.fleet("receipt", life.run_id).ok().out in life.done.out
    assert not life.project.processes()


# Stage by stage ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A fleet that `fleet up` made. The tests below use it in order, and the last one ends it."""
    with project_in(tmp_path_factory.mktemp("hands") / "clone") as project:
        events = project.fleet("up", "-s", "sandbox", "--yes", "--json").ok().events
        assert len(events[-1]["nodes"]) == 2
        yield project


@pytest.fixture(scope="module")
def outputs(hands: Project) -> dict[str, Any]:
    return dict(hands.fleet("outputs", "-s", "sandbox", "--json").ok().json)


def still_there(project: Project, outputs: dict[str, Any]) -> bool:
    """Whether the fleet is the one that `fleet up` made, by the ids of its nodes."""
    return {f"instance {node['id']}" for node in outputs["nodes"]} <= set(project.left())


@pytest.fixture(scope="module")
def launched(hands: Project, tiny: Path) -> str:
    """The id of a long run on that fleet, begun by `fleet launch` and then left alone."""
    events = hands.fleet("launch", hands.job(tiny, "long.yaml", num_train_epochs=500), "-s", "sandbox", "--json").ok()
    assert [e["stage"] for e in events.events if e.get("state") == "done"] == ["bootstrap", "preflight", "launch"]
    run = events.events[-1]
    assert (run["event"], run["ranks"], run["world_size"]) == ("Run", [0, 1], 2)
    return str(run["id"])


def test_plan_shows_the_ranks_and_creates_nothing(hands: Project, tiny: Path) -> None:
    before = len(hands.calls())
    plan = hands.fleet("plan", hands.job(tiny), "-s", "sandbox", "--json").ok().json
    assert plan["world_size"] == 2
    assert [f"NODE_RANK={rank}" in line for rank, line in enumerate(plan["ranks"])] == [True, True]
    assert plan["fleet"] == {"source": "stack", "name": "sandbox", "is_up": True}
    assert plan["usd_at_most"] == pytest.approx(plan["usd_per_hour"] * 125 / 60, rel=0.02)
    assert all(call["action"].startswith(("Describe", "Get", "List")) for call in hands.calls()[before:])
    assert "up already: used, and left up" in hands.fleet("plan", hands.job(tiny), "-s", "sandbox").ok().out


def test_up_again_changes_nothing_and_preview_agrees(hands: Project, outputs: dict[str, Any]) -> None:
    assert "2 nodes up, $0.4470 an hour" in hands.fleet("up", "-s", "sandbox").ok().out
    assert still_there(hands, outputs)
    preview = hands.fleet("preview", "-s", "sandbox", "--json").ok().json
    assert (list(preview["changes"]), preview["resources"]) == (["same"], [])


def test_outputs_and_nodes_tell_of_the_same_machines(hands: Project, outputs: dict[str, Any]) -> None:
    nodes = hands.fleet("nodes", "-s", "sandbox", "--json").ok().json
    assert [(one["rank"], one["private_address"]) for one in outputs["nodes"]] == [
        (node["rank"], node["private_address"]) for node in nodes
    ]
    assert all(node["host_key"].startswith("ssh-ed25519 ") for node in nodes)
    lines = hands.fleet("nodes", "-s", "sandbox").ok().out.splitlines()
    assert [line.split()[1] for line in lines] == ["0", "1"]
    assert outputs["vpc_id"] in hands.fleet("outputs", "-s", "sandbox").ok().out


def test_ssh_runs_a_command_on_the_rank_that_is_named_and_gives_its_exit_code(
    hands: Project, outputs: dict[str, Any]
) -> None:
    """ENV-8."""
    homes = [hands.fleet("ssh", "-s", "sandbox", rank, "printenv", "HOME").ok().out for rank in ("0", "1")]
    assert [Path(home.strip()).parent.name for home in homes] == [one["id"] for one in outputs["nodes"]]
    assert hands.fleet("ssh", "-s", "sandbox", "0", "bash", "-c", "exit 7").code == 7
    asked = hands.fleet("ssh", "-s", "sandbox", "--json", "0", "true").ok().json
    assert (asked["rank"], asked["command"][0]) == (0, "ssh")


def test_status_says_what_bills_until_when_and_which_ends_are_armed(hands: Project) -> None:
    status = hands.fleet("status", "-s", "sandbox", "--json").ok().json
    assert len(status["nodes"]) == 2
    names = ("lease", "idle end", "AWS schedule", "idle alarm")
    armed = dict.fromkeys(names, "armed") | {"sweep": "by hand"}
    assert {end["name"]: end["state"] for end in status["ends"]} == armed
    assert status["usd_spent"] < status["usd_at_most"]
    assert status["unknown"] == []
    text = hands.fleet("status", "-s", "sandbox").ok().out
    assert "$0.4470 an hour" in text
    assert "if nobody touches it again" in text


def test_a_launched_run_goes_on_alone_and_logs_and_status_find_it(hands: Project, launched: str) -> None:
    """ENV-10, RUN-1, RUN-3."""
    follower = hands.going("logs", launched, "--follow", "--json")
    follower.until(lambda line: "'loss'" in line["line"])
    follower.signal(signal.SIGINT)
    assert "world_size: 2" in hands.fleet("logs", launched, "--rank", "1").ok().out
    assert f"trains      {launched}" in hands.fleet("status", "-s", "sandbox").ok().out, "a reader ends nothing"


def test_a_second_run_on_a_busy_fleet_is_refused_by_the_name_of_the_first(
    hands: Project, launched: str, tiny: Path
) -> None:
    for words in (["run", "--yes"], ["launch"]):
        done = hands.fleet(words[0], hands.job(tiny), "-s", "sandbox", *words[1:])
        assert done.code == 2
        assert re.search(rf"busy with {launched}", done.err)
        assert f"fleet attach {launched}" in done.err
        assert f"fleet stop {launched}" in done.err
    assert launched in hands.fleet("status", "-s", "sandbox", "--json").ok().json["runs"]


def test_stop_ends_every_process_of_the_run_and_leaves_the_fleet(hands: Project, launched: str) -> None:
    stopped = hands.fleet("stop", launched, "--grace", "5", "--json").ok().json
    assert stopped == {"run": launched, "stopped": [0, 1], "steps": ["train"]}
    assert not [command for command in hands.processes().values() if "torch" in command or "/swift" in command]
    assert {run["run_id"]: run["state"] for run in hands.fleet("runs", "--json").ok().json}[launched] == "stopped"
    status = hands.fleet("status", "-s", "sandbox", "--json").ok().json
    assert (status["runs"], len(status["nodes"])) == ([], 2)


def test_collect_fetches_what_a_stopped_run_had_saved(hands: Project, launched: str) -> None:
    """ENV-13."""
    fetched = hands.fleet("collect", launched, "--json").ok().json
    output = Path(fetched["folder"])
    assert fetched["files"] == len([p for p in output.rglob("*") if p.is_file() and not p.is_symlink()])
    assert "'loss'" in (output.parent / "logs" / "rank-0.log").read_text(errors="replace")
    assert "sums ok" in hands.fleet("collect", launched).ok().out


def test_attach_to_a_stopped_run_says_so_and_leaves_the_fleet_up(hands: Project, launched: str) -> None:
    done = hands.fleet("attach", launched, "-s", "sandbox")
    assert done.code == 130
    assert f"{launched} was stopped at step" in done.err
    assert "$0.45 an hour" in done.err


def test_a_fleet_that_was_up_before_the_run_is_left_up_and_its_price_said(
    hands: Project, outputs: dict[str, Any], launched: str, tiny: Path
) -> None:
    done = hands.fleet("run", hands.job(tiny, dataset=f"{tiny}/docstrings.jsonl#64"), "-s", "sandbox").ok()
    assert "up already: used, and left up" in done.out
    assert re.search(r"^fleet +left up, as it was before the run or as asked: \$0\.45 an hour$", done.out, re.MULTILINE)
    assert still_there(hands, outputs)
    receipt = hands.fleet("receipt", "--json").ok().json
    assert (receipt["left_up"], receipt["proof"], receipt["outcome"]["state"]) == (True, [], "succeeded")


def test_down_leaves_nothing_and_down_again_is_no_error(hands: Project, launched: str) -> None:
    down = hands.fleet("down", "-s", "sandbox", "--json").ok().events[-1]
    assert down["resources"] > 20
    assert [answer for answer in down["answers"] if answer["found"]] == []
    assert hands.left() == []
    assert "0 resources removed" in hands.fleet("down", "-s", "sandbox").ok().out
    assert "no node is up, nothing bills by the hour" in hands.fleet("status", "-s", "sandbox").ok().out
    assert hands.fleet("nodes", "-s", "sandbox").code == 2
    assert hands.fleet("outputs", "-s", "sandbox").code == 2
    assert hands.beyond_the_policy() == set()
