"""A run that is cut off anywhere, by any signal, is finished by `fleet attach` or ended whole by `fleet down`."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from project import Done, Going, Project, eventually, project_in

KILL, TERM, INT = signal.SIGKILL, signal.SIGTERM, signal.SIGINT


def made(count: int) -> Callable[[dict[str, Any]], bool]:
    """An event that says that at least so many resources are there."""

    def fits(event: dict[str, Any]) -> bool:
        found = re.match(r"(\d+)(?: of \d+)?", event.get("detail", ""))
        return event.get("stage") == "up" and event["state"] == "note" and bool(found) and int(found.group(1)) >= count

    return fits


def instances(project: Project) -> list[str]:
    return [one for one in project.left() if one.startswith("instance i-")]


# One run, cut off in every stage -------------------------------------------------------------------------------------


@dataclass
class Saga:
    """One run that was cut off in each stage in turn and taken up again, at last from another folder."""

    first: Project
    other: Project
    run_id: str = ""
    cuts: dict[tuple[str, signal.Signals], Done] = field(default_factory=dict)
    end: Done | None = None
    left: list[str] = field(default_factory=list)

    def cut(self, going: Going, stage: str, number: signal.Signals, *, met: Callable | None = None) -> None:
        """Ends it by a signal in that stage. Ctrl-C goes to the terminal's whole group, the others to it alone."""
        going.stage(stage)
        if met:
            going.until(met)
        self.cuts[stage, number] = going.signal(number, group=number is INT)


@pytest.fixture(scope="module")
def saga(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Iterator[Saga]:
    folder = tmp_path_factory.mktemp("saga")
    with project_in(folder / "first") as first:
        told = Saga(first, first.another(folder / "other"))
        # Long enough that the training is still going when it is taken up for the third time.
        job = first.job(tiny, num_train_epochs=10, save_steps=100)
        told.cut(first.going("run", job, "-s", "sandbox", "--yes", "--json"), "up", KILL, met=made(10))
        [run] = first.fleet("runs", "--json").ok().json
        told.run_id = run["run_id"]

        def again() -> Going:
            return first.going("attach", told.run_id, "--json")

        told.cut(again(), "bootstrap", KILL, met=lambda event: event["event"] == "SetupStep")
        told.cut(again(), "bootstrap", TERM)
        told.cut(again(), "preflight", KILL)
        told.cut(again(), "launch", KILL)
        told.cut(again(), "train", KILL, met=lambda event: event["event"] == "Step")
        told.cut(again(), "train", INT)

        def elsewhere() -> Going:
            key = first.record / "keys" / "sandbox"
            return told.other.going("attach", told.run_id, "-s", "sandbox", "--key", str(key), "--json")

        told.cut(elsewhere(), "collect", KILL)
        told.cut(elsewhere(), "down", KILL)
        told.end = elsewhere().ended()
        told.left = first.left()
        yield told


@pytest.mark.parametrize("stage", ["up", "bootstrap", "preflight", "launch", "train", "collect", "down"])
def test_a_run_was_killed_in_this_stage(saga: Saga, stage: str) -> None:
    assert saga.cuts[stage, KILL].code == -9


def test_attach_finishes_what_was_killed_in_every_stage(saga: Saga) -> None:
    assert saga.end is not None
    receipt = saga.end.ok().events[-1]
    assert receipt["event"] == "Receipt"
    assert receipt["outcome"]["state"] == "succeeded"
    assert receipt["outcome"]["world_size"] == 2
    assert receipt["outcome"]["step"] == receipt["outcome"]["max_steps"] == 250


def test_the_ranks_were_started_once_and_trained_through_all_of_it(saga: Saga) -> None:
    log = (saga.other.root / "runs" / saga.run_id / "logs" / "rank-0.log").read_text(errors="replace")
    assert log.count("'global_step/max_steps': '1/250'") == 1
    assert log.count("run sh:") == 1


def test_another_folder_ends_the_fleet_that_the_run_made_and_proves_it(saga: Saga) -> None:
    assert saga.end is not None
    receipt = saga.end.events[-1]
    assert receipt["nothing_left"]
    assert not receipt["left_up"]
    assert saga.left == []
    assert not saga.first.node_homes()
    assert saga.other.fleet("receipt", saga.run_id, "--json").ok().json["outcome"] == receipt["outcome"]


def test_another_folder_has_the_checkpoint_and_both_logs(saga: Saga) -> None:
    folder = saga.other.root / "runs" / saga.run_id
    assert (folder / "output" / "checkpoint-250" / "adapter_model.safetensors").exists()
    assert {p.name for p in (folder / "logs").iterdir()} == {"rank-0.log", "rank-1.log"}
    assert not list(folder.rglob("*.part"))


@pytest.mark.parametrize(("stage", "number"), [("bootstrap", TERM), ("train", INT)])
def test_a_signal_that_can_be_caught_says_what_is_left_and_what_it_costs(
    saga: Saga, stage: str, number: signal.Signals
) -> None:
    done = saga.cuts[stage, number]
    assert done.code == 130
    error = done.events[-1]
    assert error["error"] == "Interrupted"
    assert saga.run_id in error["what"]
    assert error["do"] == (
        f"The fleet is up, $0.45 an hour: fleet attach {saga.run_id} goes on; fleet down -s sandbox leaves nothing."
    )
    assert "Traceback" not in done.all


def test_nothing_of_the_killed_commands_still_runs(saga: Saga) -> None:
    # The engine of a killed command notices it, its plugins notice that: each within a second or two.
    eventually(lambda: not [one for one in saga.first.processes().values() if "infra.sandbox " not in one])


# A fleet that is only half there -------------------------------------------------------------------------------------


def test_ctrl_c_while_the_fleet_is_made_says_what_is_left_and_down_leaves_nothing(project: Project, tiny: Path) -> None:
    going = project.going("run", project.job(tiny), "-s", "sandbox", "--yes", "--json")
    going.until(made(10))
    done = going.signal(INT, group=True)
    assert done.code == 130
    assert "Traceback" not in done.all
    error = done.events[-1]
    assert error["error"] == "Interrupted"
    assert "fleet down -s sandbox leaves nothing" in error["do"]
    assert ("$0.45 an hour" in error["do"]) == bool(instances(project))
    assert project.left() != []
    project.fleet("down", "-s", "sandbox").ok()
    assert project.left() == []


def test_down_at_once_after_a_killed_up_waits_for_its_engine_and_leaves_nothing(project: Project, tiny: Path) -> None:
    going = project.going("run", project.job(tiny), "-s", "sandbox", "--yes", "--json")
    going.until(made(8))
    assert going.signal(KILL).code == -9
    project.fleet("down", "-s", "sandbox").ok()
    assert project.left() == []


def test_up_repairs_what_a_killed_engine_left_and_makes_no_node_twice(project: Project) -> None:
    before = len(project.calls())
    going = project.going("up", "-s", "sandbox", "--yes", "--json")
    # In the middle of creating the nodes: AWS has been asked, the engine has not yet written down the answer.
    eventually(lambda: any(call["action"] == "RunInstances" for call in project.calls()[before:]))
    [engine] = [one for one in psutil.Process(going.pid).children() if "pulumi" in one.name()]
    engine.kill()
    done = going.ended()
    assert done.code == 4
    assert "Traceback" not in done.all
    assert instances(project)
    project.fleet("up", "-s", "sandbox", "--yes").ok()
    addresses = [node["address"] for node in project.fleet("nodes", "-s", "sandbox", "--json").ok().json]
    assert len(addresses) == 2
    assert len(instances(project)) == 2
    assert list(project.fleet("preview", "-s", "sandbox", "--json").ok().json["changes"]) == ["same"]


def test_sigterm_leaves_the_fleet_that_was_up_as_it_is_and_says_its_price(project: Project, tiny: Path) -> None:
    going = project.going("run", project.job(tiny), "-s", "sandbox", "--yes")
    eventually(lambda: any("bootstrap" in line for line in going.lines))
    done = going.signal(TERM)
    assert done.code == 130
    assert re.search(r"run-\w+ is left as it is\. The fleet is up, \$0\.45 an hour: fleet attach run-\w+", done.err)
    assert len(instances(project)) == 2


def test_a_killed_down_is_finished_by_the_next(project: Project) -> None:
    going = project.going("down", "-s", "sandbox", "--json")
    going.until(lambda event: event["stage"] == "down" and event["state"] == "note")
    assert going.signal(KILL).code == -9
    assert project.left() != []
    project.fleet("down", "-s", "sandbox").ok()
    assert project.left() == []
