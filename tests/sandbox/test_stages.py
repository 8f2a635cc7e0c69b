"""The stages that act on nodes, over real SSH: two hosts, each with its own home, and a process to supervise."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import stagehosts

from infra.errors import BadInput, CloudRefused
from training import inventory
from training import preflight as preflights
from training.bootstrap import bootstrap, start, wait_ready
from training.collect import collect
from training.connection import NotLetIn, Result, Unreachable
from training.job import Job
from training.launch import active_runs, find_run, launch, stop
from training.plan import Offer, Plan, make_plan
from training.preflight import preflight
from training.probe import offered_key, probe
from training.readiness import Ready
from training.remote import Machines
from training.run import Event, LogLines, Note, Outcome, RankEnded, RankLost, Run, SetupStep, Step, World, new_run_id
from training.ship import send, ship
from training.watch import offsets, watch, watch_once

TRAINER = Path(__file__).parent / "trainer/swift"
SOON_S = 20.0


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


def plan(mode: str = "well", **job: object) -> Plan:
    args = {"model": mode, "output_dir": "{base}/runs/{run}/output"}
    return Plan(Job(command="sft", **job), Path("job.yaml"), Offer("own", 2, 0), args, 1)  # type: ignore[arg-type]


def ready(machines: Machines) -> Ready:
    homes = machines.run('printf %s "$HOME"', 10)
    home = tuple(one.out for one in homes.values() if isinstance(one, Result))
    return Ready({}, home, tuple(f"{one}/fleet" for one in home), machines.inventory.master.private_address, 29500, {})


def started(machines: Machines, mode: str = "well", **job: object) -> Run:
    return launch(machines, plan(mode, **job), ready(machines), new_run_id())


def until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + SOON_S
    while not condition():
        assert time.monotonic() < end, f"not within {SOON_S:g} s: {what}"
        time.sleep(0.02)


def followed(machines: Machines, run: Run, folder: Path, **more: object) -> tuple[list[Event], Outcome]:
    events = list(watch(machines, run, folder, every_s=0.2, stop_grace_s=1, **more))  # type: ignore[arg-type]
    assert isinstance(events[-1], Outcome)
    return events, events[-1]


def left(hosts: stagehosts.Hosts, run: Run) -> list[int]:
    return [
        pid
        for rank, host in enumerate(hosts.hosts)
        for pid in stagehosts.pids_under(host.home / f"fleet/runs/{run.id}/rank-{rank}")
    ]


def test_a_run_is_followed_to_its_end_and_its_output_comes_back(
    hosts: stagehosts.Hosts, machines: Machines, tmp_path: Path
) -> None:
    run = started(machines)
    events, outcome = followed(machines, run, tmp_path / "here", since={})
    assert (outcome.state, outcome.world_size, outcome.exit_codes) == ("succeeded", 2, {0: 0, 1: 0})
    assert (outcome.step, outcome.first_loss, outcome.last_loss) == (4, 6.5, 6.25)
    assert [event.step for event in events if isinstance(event, Step)] == [1, 4]
    assert World(events[-1].at, 2).size in {event.size for event in events if isinstance(event, World)}
    until(lambda: left(hosts, run) == [], "its processes to be gone")

    got = collect(machines, run, outcome, tmp_path / "here")
    assert got.verified and got.files == 3  # one random state of each rank, the model of rank 0
    source = Path(outcome.run_dir)
    model = got.folder / "checkpoint-2/deep dir/model.bin"
    assert model.read_bytes() == (source / "checkpoint-2/deep dir/model.bin").read_bytes()
    assert (got.folder / "last-checkpoint").readlink() == Path("checkpoint-2")
    assert (got.folder / "checkpoint-2/rng_state_1.pth").read_text() == "rng 1\n"

    # Again: a part left by a cut transfer goes on, a changed file comes anew, the rest is left alone.
    untouched = (got.folder / "checkpoint-2/rng_state_1.pth").stat().st_mtime_ns
    data = model.read_bytes()
    model.with_name("model.bin.part").write_bytes(data[:1000])
    model.unlink()
    (got.folder / "checkpoint-2/rng_state_0.pth").write_text("other")
    assert collect(machines, run, outcome, tmp_path / "here").verified
    assert model.read_bytes() == data
    assert (got.folder / "checkpoint-2/rng_state_0.pth").read_text() == "rng 0\n"
    assert (got.folder / "checkpoint-2/rng_state_1.pth").stat().st_mtime_ns == untouched


def test_starting_twice_starts_once_and_any_machine_finds_the_run(hosts: stagehosts.Hosts, machines: Machines) -> None:
    run = started(machines, "forever")
    pids = {path: path.read_text() for path in hosts.folder.glob(f"host-*/fleet/runs/{run.id}/rank-*/pid")}
    again = launch(machines, plan("forever"), ready(machines), run.id)
    assert active_runs(machines) == ((run.id,), ())
    assert len(pids) == 2 and {path: path.read_text() for path in pids} == pids
    assert replace(again, started_at=run.started_at) == run
    with Machines(hosts.inventory()) as other:
        assert find_run(other, run.id) == run
        assert find_run(other, "run-none") is None
    assert stop(machines, run, grace_s=1) == {}


def test_node_0_is_first_where_it_cannot_start_no_other_does(hosts: stagehosts.Hosts, machines: Machines) -> None:
    """DIST-7."""
    where = ready(machines)
    (hosts.hosts[0].home / "fleet").write_text("a file in the folder's place")
    with pytest.raises(CloudRefused, match="node-0"):
        launch(machines, plan(), where, new_run_id())
    assert not (hosts.hosts[1].home / "fleet/runs").exists()


def test_a_launch_that_was_cut_off_between_ranks_is_taken_back(hosts: stagehosts.Hosts, machines: Machines) -> None:
    run = started(machines, "forever")
    stop(machines, run, 0, ranks=[1])
    machines.run(f"rm -r ~/fleet/runs/{run.id}", 10, [1])
    assert find_run(machines, run.id) is None
    assert left(hosts, run) == []
    assert find_run(machines, run.id) is None
    assert launch(machines, plan("well"), ready(machines), run.id).id == run.id


def test_a_run_outlives_its_operator_and_another_watcher_reads_on(
    hosts: stagehosts.Hosts, machines: Machines, tmp_path: Path
) -> None:
    """ENV-9."""
    run = started(machines, "forever")
    folder = tmp_path / "here"
    seen: list[Event] = []
    for event in watch(machines, run, folder, every_s=0.1):
        seen.append(event)
        if isinstance(event, Step):
            break
    for host in hosts.hosts:
        hosts.drop(host)
    at = offsets(run, folder)
    assert at[0] > 0
    with Machines(hosts.inventory()) as other:
        assert stop(other, run, grace_s=2) == {}
        events, outcome = followed(other, run, folder, since=at)
    assert (outcome.state, outcome.first_loss) == ("stopped", 6.5)
    assert not [event for event in events if isinstance(event, Step)]
    for rank, host in enumerate(hosts.hosts):
        log = host.home / f"fleet/runs/{run.id}/rank-{rank}/log"
        assert (folder / f"logs/rank-{rank}.log").read_bytes() == log.read_bytes()


@pytest.mark.parametrize("mode", ["forever", "stubborn"])
def test_a_stop_leaves_nothing_not_even_workers_in_their_own_sessions(
    hosts: stagehosts.Hosts, machines: Machines, mode: str
) -> None:
    run = started(machines, mode)
    until(lambda: len(left(hosts, run)) >= 4, "workers")
    assert stop(machines, run, grace_s=1) == {}
    assert left(hosts, run) == []
    assert stop(machines, run, grace_s=1) == {}
    codes = hosts.folder.glob(f"host-*/fleet/runs/{run.id}/rank-*/exit_code")
    assert all(int(path.read_text()) != 0 for path in codes)


def test_the_rank_that_failed_first_is_named_with_its_line_and_the_rest_is_stopped(
    hosts: stagehosts.Hosts, machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.watch.SETTLE_S", 0.5)
    run = started(machines, "fail1")
    _, outcome = followed(machines, run, tmp_path)
    assert (outcome.state, outcome.first_failed_rank) == ("failed", 1)
    assert outcome.cause is not None and "CUDA out of memory" in outcome.cause.text
    assert (outcome.cause.rank, outcome.cause.rule) == (1, "TROUBLE-19") and "max_length" in outcome.cause.fix
    log = (tmp_path / "logs/rank-1.log").read_text().split("\n")
    assert outcome.cause.text in log[outcome.cause.line - 1]
    assert outcome.exit_codes[0] != 0 and left(hosts, run) == []


def test_an_end_without_the_success_line_is_a_failure(machines: Machines, tmp_path: Path) -> None:
    _, outcome = followed(machines, started(machines, "silent"), tmp_path)
    assert outcome.state == "failed" and "never said" in outcome.why


def test_a_trainer_killed_with_its_supervisor_is_seen(
    hosts: stagehosts.Hosts, machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.watch.SETTLE_S", 0.2)
    run = started(machines, "forever")
    for pid in stagehosts.pids_under(hosts.hosts[1].home / f"fleet/runs/{run.id}"):
        os.kill(pid, signal.SIGKILL)
    _, outcome = followed(machines, run, tmp_path)
    assert (outcome.state, outcome.first_failed_rank, outcome.exit_codes[1]) == ("failed", 1, None)


def test_a_trainer_that_has_ended_waits_for_its_exit_code(
    hosts: stagehosts.Hosts, machines: Machines, tmp_path: Path
) -> None:
    """A supervisor on a busy node takes a while between its trainer's end and the exit code."""
    run = started(machines, "waits")
    folders = [host.home / f"fleet/runs/{run.id}/rank-{rank}" for rank, host in enumerate(hosts.hosts)]
    supervisors = [int((folder / "supervisor").read_text()) for folder in folders]
    for pid in supervisors:
        os.kill(pid, signal.SIGSTOP)
    for folder in folders:
        (folder / "go").touch()
    until(lambda: left(hosts, run) == [], "the trainers' end")
    assert not [folder for folder in folders if (folder / "exit_code").exists()]
    assert watch_once(machines, run, tmp_path / "held").state == "running"
    for pid in supervisors:
        os.kill(pid, signal.SIGCONT)
    _, outcome = followed(machines, run, tmp_path)
    assert (outcome.state, outcome.exit_codes) == ("succeeded", {0: 0, 1: 0})


def test_a_node_that_answers_no_more_is_lost_but_not_at_once(
    hosts: stagehosts.Hosts, machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.verdict.LOST_S", 2.0)
    monkeypatch.setattr("training.watch.SETTLE_S", 0.2)
    run = started(machines, "forever")
    lost: list[RankLost] = []
    cut = False
    for event in watch(machines, run, tmp_path, every_s=0.2, stop_grace_s=1):
        if isinstance(event, Step) and not cut:
            hosts.cut(hosts.hosts[1])
            cut = True
        lost += [event] if isinstance(event, RankLost) else []
        if isinstance(event, Outcome):
            assert (event.state, event.first_failed_rank) == ("lost", 1)
    assert [one.rank for one in lost] == [1] and (lost[0].at - lost[0].since).total_seconds() >= 2
    assert stagehosts.pids_under(hosts.hosts[0].home / f"fleet/runs/{run.id}/rank-0") == []


def test_a_connection_that_drops_costs_a_note_and_no_run(
    hosts: stagehosts.Hosts, machines: Machines, tmp_path: Path
) -> None:
    run = started(machines, "forever")
    events: list[Event] = []
    stopping = threading.Timer(0.5, lambda: stop(machines, run, 0))
    for event in watch(machines, run, tmp_path, every_s=0.1, stop_grace_s=1):
        events.append(event)
        if isinstance(event, Step):
            hosts.drop(hosts.hosts[0])
            stopping.start()
    stopping.join()
    assert isinstance(events[-1], Outcome) and events[-1].state == "stopped"
    assert not [event for event in events if isinstance(event, RankLost)]
    assert {event.rank for event in events if isinstance(event, RankEnded)} == {0, 1}


def test_a_secret_reaches_the_trainer_and_no_disk(
    hosts: stagehosts.Hosts, machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "s3cret'$(id)\\\" value"
    monkeypatch.setenv("WANDB_API_KEY", secret)
    run = launch(
        machines,
        plan("forever", secrets=("WANDB_API_KEY",)),
        ready(machines),
        new_run_id(),
        operator_env=os.environ,
    )
    folder = hosts.hosts[0].home / f"fleet/runs/{run.id}"
    pid = (folder / "rank-0/pid").read_text().strip()
    assert f"WANDB_API_KEY={secret}\0".encode() in Path(f"/proc/{pid}/environ").read_bytes()
    assert not [path for path in hosts.folder.rglob("*") if path.is_file() and b"s3cret" in path.read_bytes()]
    cmdlines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline")]
    assert not [line for line in cmdlines if b"s3cret" in line]
    stop(machines, run, 0)


def test_a_look_tells_how_a_run_stands_and_ends_nothing(
    hosts: stagehosts.Hosts, machines: Machines, tmp_path: Path
) -> None:
    run = started(machines, "fail1")
    until(lambda: list(hosts.folder.glob(f"host-1/fleet/runs/{run.id}/rank-1/exit_code")), "rank 1's end")
    until(lambda: watch_once(machines, run, tmp_path / "here").step == 1, "a step")
    standing = watch_once(machines, run, tmp_path / "here")
    assert (standing.state, standing.first_failed_rank, standing.exit_codes) == ("failed", 1, {0: None, 1: 1})
    assert standing.run_dir.endswith("v0-20261124-050000")
    assert active_runs(machines) == ((run.id,), ())
    stop(machines, run, 0)
    assert active_runs(machines) == ((), ())


def test_a_command_that_is_not_distributed_runs_on_rank_0_alone(
    hosts: stagehosts.Hosts, machines: Machines, tmp_path: Path
) -> None:
    """POST-5: what comes after training is done on the node too, and its results come here."""
    made = replace(plan(), job=Job(command="export"))
    run = launch(machines, made, ready(machines), new_run_id())
    _, outcome = followed(machines, run, tmp_path, since={})
    assert (run.ranks, outcome.state, list(outcome.exit_codes)) == ((0,), "succeeded", [0])
    got = collect(machines, run, outcome, tmp_path)
    assert got.verified and (got.folder / "checkpoint-2/deep dir/model.bin").exists()


def test_data_is_sent_once_resumed_and_checked(hosts: stagehosts.Hosts, machines: Machines, tmp_path: Path) -> None:
    """ENV-12, DIST-2."""
    data = tmp_path / "my data.jsonl"
    data.write_bytes(os.urandom(400_000))
    (tmp_path / "model dir/sub").mkdir(parents=True)
    (tmp_path / "model dir/sub/w.bin").write_bytes(b"w" * 1000)
    job = Job(command="sft", args={"dataset": [f"{data}#10"], "model": str(tmp_path / "model dir")})
    made = make_plan(job, tmp_path / "job.yaml", Offer("own", 2, 0))
    there = hosts.hosts[1].home / "fleet" / made.shipments[0].there
    there.parent.mkdir(parents=True)
    there.with_name(there.name + ".part").write_bytes(data.read_bytes()[:150_000])
    first = send(machines, made, "~/fleet")
    assert [first[rank].sent_bytes for rank in (0, 1)] == [401_000, 251_000]
    assert there.read_bytes() == data.read_bytes() and not list(there.parent.glob("*.part"))
    assert [one.sent_bytes for one in send(machines, made, "~/fleet").values()] == [0, 0]
    # A wrong part is found out by its sum and sent anew.
    (there.parent / ".whole").unlink()
    there.unlink()
    there.with_name(there.name + ".part").write_bytes(b"x" * 150_000)
    assert ship(machines, made) == "~/fleet"
    assert there.read_bytes() == data.read_bytes()


def with_python(hosts: stagehosts.Hosts, **versions: str) -> None:
    """A `~/swift-env/bin/python` that names its packages, and is this python for all else."""
    for host in hosts.hosts:
        found = {"python": "3.12.3", "ms-swift": "4.6.0", "torch": "2.11.0", **versions, "packages": "abc"}
        python = host.home / "swift-env/bin/python"
        script = f"#!/bin/bash\ncase \"$3\" in *importlib.metadata*) echo '{json.dumps(found)}' ;;"
        python.write_text(f'{script}\n*) exec {sys.executable} "$@" ;; esac\n')
        python.chmod(0o755)


#: The environment that these tests run in has no torch: tests that train have one, and run the all-reduce.
NO_TORCH = ("all-reduce",)


def test_preflight_finds_the_meeting_place_and_refuses_a_busy_fleet(
    hosts: stagehosts.Hosts, machines: Machines
) -> None:
    with_python(hosts)
    found = preflight(machines, plan("forever"), skip=NO_TORCH)
    assert found.ok and found.master_addr == "127.78.0.10" and 29500 <= found.master_port <= 29600
    assert found.base == tuple(f"{host.home}/fleet" for host in hosts.hosts)
    names = {check.name for check in found.nodes[1].checks}
    assert {"clock", "disk", "gpus", "swift", "versions", "rendezvous", "ports"} <= names
    run = launch(machines, plan("forever"), found, new_run_id())
    with pytest.raises(BadInput, match=f"is busy with {run.id}. Wait .fleet attach {run.id}"):
        preflight(machines, plan())
    stop(machines, run, 0)
    assert preflight(machines, plan(), skip=NO_TORCH).ok


def test_preflight_of_a_megatron_job_holds_every_node_to_its_own_script(
    hosts: stagehosts.Hosts, machines: Machines
) -> None:
    """MEG-10."""
    for host in hosts.hosts:
        shutil.copy(host.home / "swift-env/bin/swift", host.home / "swift-env/bin/megatron")
        python = host.home / "swift-env/bin/python"
        python.write_text(f'#!/bin/bash\nexec {sys.executable} "$@"\n')
        python.chmod(0o755)
        shutil.copytree(host.home / "swift-env", host.home / "swift-env-megatron")
    made = replace(plan(), job=Job(trainer="megatron", command="sft"))
    found = preflights.look(machines, made, skip=NO_TORCH)
    for node in found.nodes.values():
        missing = {one.found.split()[0]: one for one in node.checks if one.name == "megatron"}
        assert {"megatron-core", "mcore-bridge", "transformer-engine", "gpu"} <= set(missing)
        assert not missing["megatron-core"].ok and "uv pip install" in missing["megatron-core"].do
    without = preflights.look(machines, made, skip=(*NO_TORCH, "megatron"))
    assert not [one for node in without.nodes.values() for one in node.checks if one.name == "megatron"]


def test_preflight_steps_over_a_taken_port(hosts: stagehosts.Hosts, machines: Machines) -> None:
    import socket

    with_python(hosts)
    free = preflight(machines, plan(), skip=NO_TORCH).master_port
    with socket.create_server(("127.78.0.10", free)):
        assert preflight(machines, plan(), skip=NO_TORCH).master_port > free


def test_preflight_sees_whether_a_shared_folder_is_one(
    hosts: stagehosts.Hosts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.meeting.SHARED_S", 1)
    with_python(hosts)
    shared = tmp_path / "efs"
    shared.mkdir()
    with Machines(hosts.inventory(shared_path=str(shared))) as machines:
        assert preflight(machines, plan(), skip=NO_TORCH).base == (str(shared), str(shared))
        assert list(shared.iterdir()) == []
    with Machines(hosts.inventory(shared_path="~/shared")) as machines:
        machines.run("mkdir -p ~/shared", 10)
        with pytest.raises(BadInput, match=r"node-1 \(rank 1\)  shared-folder"):
            preflight(machines, plan())


def test_preflight_says_what_one_bad_node_is_and_still_checks_the_others(
    hosts: stagehosts.Hosts, machines: Machines
) -> None:
    with_python(hosts)
    hosts.cut(hosts.hosts[1])
    found = preflights.look(machines, plan())
    assert [check.name for check in found.nodes[1].checks] == ["answer"] and found.nodes[0].ok and not found.ok


def test_preflight_names_a_node_that_others_do_not_reach(hosts: stagehosts.Hosts) -> None:
    with_python(hosts)
    inventory = hosts.inventory()
    away = replace(inventory.nodes[1], private_address="192.0.2.1")  # RFC 5737: nobody's
    with Machines(replace(inventory, nodes=(inventory.nodes[0], away))) as machines:
        found = preflights.look(machines, plan())
    bad = {(rank, check.name, check.found) for rank, one in found.nodes.items() for check in one.checks if not check.ok}
    assert bad == {(1, "ports", "not reached from rank 0")}


def test_the_all_reduce_says_which_error_kept_the_ranks_apart(hosts: stagehosts.Hosts, machines: Machines) -> None:
    with_python(hosts)
    found = preflights.look(machines, plan())
    said = {check.found for one in found.nodes.values() for check in one.checks if not check.ok}
    assert said == {"ModuleNotFoundError: No module named 'torch'"}
    assert not list((hosts.hosts[0].home / "fleet").glob("preflight-*"))


SETUP = """
state=$HOME/fleet/bootstrap; mkdir -p "$state"; cd "$state"
exec 9> lock; flock -n 9 || exit 0
say() { printf '%s\\t%s\\t%s\\t%s\\n' "$1" "$2" "$(date +%s)" "${3:-}" >> steps.tsv; }
echo run >> runs
say uv running; say uv ok
say environment running
"""
WELL = """
say environment ok
env=$HOME/swift-env; [ $FLEET_PROFILE = base ] || env=$env-$FLEET_PROFILE; mkdir -p $env
sha256sum < "$HOME/fleet/setup/$FLEET_PROFILE.txt" | cut -c1-64 > $env/.lock
printf '{"profile": "%s", "ms_swift": "4.6.0", "torch": "%s", "lock": "%s"}' $FLEET_PROFILE "$(cat ~/torch)" \
  "$(cat $env/.lock)" > $FLEET_PROFILE.ready.json
"""
BAD = 'for n in $(seq 40); do echo "line $n"; done > environment.log; say environment failed "no space"; exit 1\n'


@pytest.fixture
def setup(hosts: stagehosts.Hosts, tmp_path: Path) -> Callable[[str], Path]:
    def made(end: str) -> Path:
        (tmp_path / "setup.sh").write_text(SETUP + end)
        (tmp_path / "locks").mkdir(exist_ok=True)
        for profile in ("base", "vllm"):
            (tmp_path / "locks" / f"{profile}.txt").write_text(f"ms-swift==4.6.0\n# {profile}\n")
        for host in hosts.hosts:
            (host.home / "torch").write_text("2.11.0")
        return tmp_path

    return made


def test_own_machines_are_set_up_once(
    hosts: stagehosts.Hosts, machines: Machines, setup: Callable[[str], Path]
) -> None:
    steps: list[object] = []
    assert set(start(machines, "base", setup(WELL)).values()) == {"started"}
    setups = wait_ready(machines, steps.append, profile="base")
    assert setups[1].facts["torch"] == "2.11.0" and len(steps) == 8
    assert set(start(machines, "base", setup(WELL)).values()) == {"ready"}
    assert [(host.home / "fleet/bootstrap/runs").read_text() for host in hosts.hosts] == ["run\n"] * 2


def test_a_profile_that_the_nodes_lack_is_made_beside_the_one_that_they_have(
    hosts: stagehosts.Hosts, machines: Machines, setup: Callable[[str], Path]
) -> None:
    for host in hosts.hosts:
        (host.home / "swift-env-vllm").unlink()
    # As after a stack's user data: the nodes made base by themselves.
    start(machines, "base", setup(WELL))
    wait_ready(machines)
    on_stack = replace(machines.inventory, source="stack")
    told: list[SetupStep] = []
    with Machines(on_stack) as there:
        found = bootstrap(there, ("base", "vllm"), told.append, scripts=setup(WELL))
        assert found.summary == "2 of 2 · swift 4.6.0 · torch 2.11.0 · vllm: swift 4.6.0 · torch 2.11.0 · identical"
        assert {setup.facts["profile"] for setup in found.profiles["vllm"].values()} == {"vllm"}
        assert len(told) == 8, "four steps a node of the profile that is made, none of the one that was there"
        # One that fails says so, though the other is ready.
        (hosts.hosts[1].home / "fleet/bootstrap/vllm.ready.json").unlink()
        with pytest.raises(CloudRefused, match="node-1  set-up step environment failed: no space"):
            bootstrap(there, ("base", "vllm"), scripts=setup(BAD))
        assert bootstrap(there, ("base",), scripts=setup(BAD)).summary.startswith("2 of 2")


def test_a_failed_step_is_named_with_its_node_and_the_end_of_its_log(
    machines: Machines, setup: Callable[[str], Path]
) -> None:
    start(machines, "base", setup(BAD))
    with pytest.raises(CloudRefused) as error:
        wait_ready(machines)
    assert str(error.value).startswith("node-0  set-up step environment failed: no space")
    assert str(error.value).endswith("line 40") and "line 25" not in str(error.value)


def test_a_set_up_that_was_killed_is_not_waited_for(machines: Machines, setup: Callable[[str], Path]) -> None:
    start(machines, "base", setup("kill -9 $$\n"))
    with pytest.raises(CloudRefused, match="ended in step environment without being ready"):
        wait_ready(machines)


def test_nodes_of_other_versions_are_refused(
    hosts: stagehosts.Hosts, machines: Machines, setup: Callable[[str], Path]
) -> None:
    """DIST-5."""
    files = setup(WELL)
    (hosts.hosts[1].home / "torch").write_text("2.10.0")
    start(machines, "base", files)
    with pytest.raises(CloudRefused, match="torch: 2.11.0 on rank 0; 2.10.0 on rank 1"):
        wait_ready(machines)


def test_a_node_whose_sshd_is_not_up_yet_is_waited_for(
    hosts: stagehosts.Hosts, machines: Machines, setup: Callable[[str], Path]
) -> None:
    start(machines, "base", setup(WELL))
    hosts.cut(hosts.hosts[1])
    threading.Timer(1.0, lambda: hosts.listen(hosts.hosts[1])).start()
    assert len(wait_ready(machines)) == 2


def test_a_node_that_loses_its_disk_or_falls_silent_is_not_waited_for(
    hosts: stagehosts.Hosts, machines: Machines, setup: Callable[[str], Path]
) -> None:
    start(machines, "base", setup("sleep 60\n"))
    with pytest.raises(CloudRefused, match="rank 1  what its set-up had written is gone"):
        wait_ready(machines, lambda step: shutil.rmtree(hosts.hosts[1].home / "fleet", ignore_errors=True))
    hosts.cut(hosts.hosts[0])
    with pytest.raises(CloudRefused, match="it has not answered for 0.01 min"):
        wait_ready(machines, silent=timedelta(seconds=0.6))


def test_a_host_is_known_by_its_key_before_anybody_logs_in(hosts: stagehosts.Hosts) -> None:
    host = hosts.hosts[0]
    offer = offered_key(host.address, host.port)
    assert offer.host_key.split()[:2] == host.host_key.export_public_key().decode().split()[:2]
    assert offer.fingerprint == host.host_key.get_fingerprint()
    found = probe(host.address, host.port, "ec2-user", hosts.key_file, offer.host_key)
    assert found.cpus == os.cpu_count() and found.ram_gib > 0 and found.fingerprint == offer.fingerprint


def test_another_host_key_than_the_pinned_one_is_refused(hosts: stagehosts.Hosts) -> None:
    made = hosts.inventory()
    one, other = made.nodes
    wrong = replace(made, nodes=(replace(one, host_key=other.host_key),))
    with Machines(wrong) as machines:
        error = machines.run("true", 5)[0]
    assert isinstance(error, CloudRefused)
    expected, found = (host.host_key.get_fingerprint() for host in reversed(hosts.hosts))
    assert f"its host key is {found}, expected {expected}" in error.what


def test_errors_of_a_connection_say_what_to_verify(hosts: stagehosts.Hosts, tmp_path: Path) -> None:
    made = hosts.inventory().nodes[0]

    def said(**changes: object) -> Exception:
        with Machines(replace(hosts.inventory(), nodes=(replace(made, **changes),))) as machines:
            error = machines.run("true", 5)[0]
        assert isinstance(error, Exception)
        return error

    stranger = tmp_path / "stranger"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", stranger], check=True)
    refused = said(key_file=stranger)
    assert isinstance(refused, NotLetIn) and f"user ec2-user with key {stranger}" in str(refused)
    locked = tmp_path / "locked"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "pass word", "-f", locked], check=True)
    assert "locked by a passphrase" in str(said(key_file=locked))
    stranger.chmod(0o644)
    assert "can be read by others" in str(said(key_file=stranger))
    (tmp_path / "text").write_text("hello")
    assert "not a private SSH key" in str(said(key_file=tmp_path / "text"))
    assert "no such key file" in str(said(key_file=tmp_path / "none"))
    assert "no host key is known" in str(said(host_key=""))
    assert "no public key" in str(said(host_key="ssh-ed25519 !"))
    hosts.cut(hosts.hosts[0])
    gone = said()
    assert isinstance(gone, Unreachable) and "connection refused" in str(gone) and f"port {made.port}" in str(gone)


def test_a_bad_node_hides_no_other(hosts: stagehosts.Hosts, machines: Machines) -> None:
    hosts.cut(hosts.hosts[0])
    results = machines.run("echo well", 5)
    assert isinstance(results[0], Unreachable)
    assert results[1] == Result(0, "well\n", "")


def test_a_dropped_connection_is_made_anew_only_for_what_may_run_twice(
    hosts: stagehosts.Hosts, machines: Machines
) -> None:
    machines.run("true", 5)
    threading.Timer(0.7, lambda: hosts.drop(hosts.hosts[0])).start()
    assert machines.run("sleep 1.5", 20, [0], idempotent=True)[0] == Result(0, "", "")
    threading.Timer(0.7, lambda: hosts.drop(hosts.hosts[0])).start()
    assert isinstance(machines.run("sleep 1.5", 20, [0])[0], Unreachable)


def test_this_machine_is_a_fleet_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    stagehosts.swift_env(home, TRAINER)
    monkeypatch.setenv("HOME", str(home))
    with Machines(inventory.local()) as machines:
        made = replace(plan(), offer=Offer("this machine", 1, 0))
        run = launch(machines, made, ready(machines), new_run_id())
        _, outcome = followed(machines, run, tmp_path / "here", since={})
        assert (outcome.state, outcome.world_size, outcome.last_loss) == ("succeeded", 1, 6.25)
        assert collect(machines, run, outcome, tmp_path / "here").files == 2
        run = launch(machines, replace(made, args={**made.args, "model": "stubborn"}), ready(machines), new_run_id())
        folder = home / f"fleet/runs/{run.id}/rank-0"
        until(lambda: len(stagehosts.pids_under(folder)) >= 2, "a worker")
        assert stop(machines, run, grace_s=0) == {} and stagehosts.pids_under(folder) == []


def test_log_lines_of_every_rank_are_told(machines: Machines, tmp_path: Path) -> None:
    """DIST-4."""
    events, _ = followed(machines, started(machines), tmp_path, since={})
    told = {event.rank: event for event in events if isinstance(event, LogLines)}
    assert set(told) == {0, 1} and not [event for event in events if isinstance(event, Note)]
