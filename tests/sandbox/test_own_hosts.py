"""Machines that the user already has: added on a yes, set up by fleet, trained on; and this machine alone."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clouds import Cloud, new_key
from project import Life, Local, Project, free_port, new_project

KEY = "key"


@pytest.fixture(scope="module")
def machines(cloud: Cloud) -> list[dict[str, Any]]:
    """Two machines with nothing on them but SSH."""
    found = cloud.launch(2)
    for machine in found:
        cloud.console(machine["InstanceId"])
    return found


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory, cloud: Cloud, machines: list[dict]) -> Iterator[Project]:
    """A project folder with the key that opens the machines."""
    project = new_project(tmp_path_factory.mktemp("own") / "clone")
    (project.root / KEY).write_text(cloud.private_key)
    (project.root / KEY).chmod(0o600)
    yield project


def add(clone: Project, cloud: Cloud, machine: dict[str, Any], *more: str, name: str = "lab", say: str = "") -> Any:
    place = ["--address", machine["PrivateIpAddress"], "--port", str(cloud.running.ssh_port), "--user", "ec2-user"]
    key = [] if "--key" in more else ["--key", KEY]
    return clone.fleet("hosts", "add", name, *place, *key, *more, say=say)


def fingerprint(cloud: Cloud, machine: dict[str, Any]) -> str:
    """Of the key that the machine's own console shows, by ssh-keygen."""
    line = cloud.console(machine["InstanceId"]).split("-----BEGIN SSH HOST KEY KEYS-----\n")[1].splitlines()[0]
    told = subprocess.run(["ssh-keygen", "-lf", "-"], input=line, capture_output=True, text=True, check=True).stdout
    return told.split()[1]


def listed(clone: Project) -> dict[str, list[dict]]:
    return dict(clone.fleet("hosts", "list", "--json").ok().json)


def test_a_new_hosts_key_is_shown_and_a_no_pins_nothing(clone: Project, cloud: Cloud, machines: list[dict]) -> None:
    done = add(clone, cloud, machines[0], say="n\n")
    assert done.code == 130
    assert fingerprint(cloud, machines[0]) in done.out
    assert listed(clone) == {}


def test_another_fingerprint_than_the_given_one_is_refused(clone: Project, cloud: Cloud, machines: list[dict]) -> None:
    done = add(clone, cloud, machines[0], "--fingerprint", "SHA256:" + "A" * 43)
    assert done.code == 2
    assert f"its host key is {fingerprint(cloud, machines[0])}, not SHA256:AAA" in done.err
    assert listed(clone) == {}


def test_a_key_that_others_can_read_is_mended_and_a_yes_pins_the_host_as_rank_0(
    clone: Project, cloud: Cloud, machines: list[dict]
) -> None:
    (clone.root / KEY).chmod(0o644)
    done = add(clone, cloud, machines[0], say="y\n").ok()
    assert "ok: rank 0 of lab" in done.out
    assert re.search(r"no GPU  \d+ CPUs  \d+ GiB", done.out)
    assert (clone.root / KEY).stat().st_mode & 0o777 == 0o600
    [host] = listed(clone)["lab"]
    assert host["address"] == machines[0]["PrivateIpAddress"]


def test_the_given_fingerprint_is_a_yes_without_a_question(clone: Project, cloud: Cloud, machines: list[dict]) -> None:
    added = add(clone, cloud, machines[1], "--fingerprint", fingerprint(cloud, machines[1]), "--json").ok().json
    assert (added["rank"], added["gpus"], added["address"]) == (1, 0, machines[1]["PrivateIpAddress"])


def test_the_same_host_twice_is_refused_before_anybody_is_asked(
    clone: Project, cloud: Cloud, machines: list[dict]
) -> None:
    before = listed(clone)
    done = add(clone, cloud, machines[0])
    assert done.code == 2
    assert f"{machines[0]['PrivateIpAddress']}:{cloud.running.ssh_port} is in lab already" in done.err
    assert "Pin it" not in done.all
    assert listed(clone) == before


def test_an_address_that_does_not_answer_says_what_to_check(clone: Project) -> None:
    port = str(free_port())
    done = clone.fleet("hosts", "add", "other", "--address", "127.78.200.1", "--port", port, "--key", KEY)
    assert done.code in (2, 4)
    assert done.err.startswith(f"127.78.200.1:{port}  connection refused. Check: the address")
    assert done.err.count("\n") == 1
    assert "other" not in listed(clone)


def test_a_key_that_the_host_does_not_know_is_refused_by_its_name(
    clone: Project, cloud: Cloud, machines: list[dict]
) -> None:
    stranger = clone.root / "stranger"
    stranger.write_text(new_key()[0])
    stranger.chmod(0o600)
    done = add(clone, cloud, machines[0], "--key", str(stranger), name="other", say="y\n")
    assert done.code in (2, 4)
    assert re.search(r"user ec2-user with key \S*/stranger was not let in", done.err)
    assert "other" not in listed(clone)


def test_a_key_file_that_is_missing_or_no_key_is_named(clone: Project, cloud: Cloud, machines: list[dict]) -> None:
    (clone.root / "text").write_text("not a key\n")
    for name, said in (("nowhere", "no such key file"), ("text", "not a private SSH key")):
        done = add(clone, cloud, machines[0], "--key", name, name="other", say="y\n")
        assert done.code == 2
        assert f"{name}  {said}" in done.err
        assert "Traceback" not in done.all


def test_a_host_that_later_shows_another_key_is_not_entered(clone: Project, cloud: Cloud, machines: list[dict]) -> None:
    file = clone.record / "hosts.yaml"
    whole = file.read_text()
    one, other = (host["host_key"] for host in listed(clone)["lab"])
    try:
        file.write_text(whole.replace(one, other, 1).replace(machines[1]["PrivateIpAddress"], "127.78.200.9"))
        done = clone.fleet("status", "--hosts", "lab")
        ssh = clone.fleet("ssh", "--hosts", "lab", "0", "true")
    finally:
        file.write_text(whole)
    assert "Another machine answers there" in done.all
    assert f"its host key is {fingerprint(cloud, machines[0])}" in done.all
    assert ssh.code != 0


@pytest.fixture(scope="module")
def trained(clone: Project, tiny: Path) -> dict[str, Any]:
    """A run of the demo's recipe on the two machines, which fleet sets up first."""
    done = clone.fleet("run", clone.job(tiny), "--hosts", "lab", "--json", within=500).ok()
    assert not [event for event in done.events if event.get("stage") == "down"]
    return dict(done.events[-1])


def test_own_machines_are_set_up_and_train_together(trained: dict[str, Any]) -> None:
    """ENV-14, DIST-1."""
    assert (trained["outcome"]["state"], trained["outcome"]["world_size"]) == ("succeeded", 2)
    assert trained["outcome"]["max_steps"] == 25
    assert trained["stages"]["bootstrap"] > 0


def test_the_same_job_has_the_same_loss_on_own_machines_as_on_a_stack(trained: dict[str, Any], life: Life) -> None:
    ours, theirs = dict(trained["losses"]), dict(life.receipt["losses"])
    assert ours == pytest.approx(theirs, rel=1e-2)


def test_own_machines_cost_nothing_of_ours_and_are_left_as_they_are(
    trained: dict[str, Any], clone: Project, cloud: Cloud, machines: list[dict]
) -> None:
    assert trained["money"]["actual"] is None
    assert (trained["proof"], trained["resources_removed"]) == ([], None)
    assert [cloud.state_of(machine["InstanceId"]) for machine in machines] == ["running", "running"]
    status = clone.fleet("status", "--hosts", "lab", "--json").ok().json
    assert (len(status["nodes"]), status["runs"]) == (2, [])


def test_removed_hosts_are_forgotten_and_the_next_one_becomes_rank_0(
    trained: dict[str, Any], clone: Project, machines: list[dict]
) -> None:
    assert trained
    first, second = (machine["PrivateIpAddress"] for machine in machines)
    clone.fleet("hosts", "remove", "lab", "--address", first).ok()
    assert [host["address"] for host in listed(clone)["lab"]] == [second]
    assert "rank 0" in clone.fleet("nodes", "--hosts", "lab").ok().out
    clone.fleet("hosts", "remove", "lab").ok()
    done = clone.fleet("nodes", "--hosts", "lab")
    assert done.code == 2
    assert "there are no hosts called lab" in done.err


# This machine --------------------------------------------------------------------------------------------------------


def test_a_local_run_trains_here_with_no_ssh_and_no_cloud(local: Local) -> None:
    local.done.ok()
    assert "local local: yours, neither made nor ended here" in local.done.out
    # Others train here too, by the same fixture.
    report = Path(local.done.out.rstrip().splitlines()[-1].split()[-1])
    receipt = json.loads((local.project.root / report).with_name("receipt.json").read_text())
    assert (receipt["outcome"]["state"], receipt["outcome"]["world_size"]) == ("succeeded", 1)
    assert receipt["money"]["actual"] is None
    assert receipt["outcome"]["last_loss"] < receipt["outcome"]["first_loss"]
    assert not local.project.state.exists()


def test_a_local_run_uses_the_locked_environment_that_set_up_made_in_home(local: Local) -> None:
    """CARD-4."""
    assert os.access(local.python, os.X_OK)
    facts = json.loads((local.home / "fleet" / "bootstrap" / "base.ready.json").read_text())
    assert facts["ms_swift"] == "4.6.0"
    assert not [one for one in local.project.processes().values() if "swift" in one]
