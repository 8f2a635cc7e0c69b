"""fleet new on machines that run, over real SSH: the same answers typed in a terminal, and given as flags."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import stagehosts
import yaml
from project import FLEET, REPO, free_port
from terminal import talk

from training.job import load_job
from training.probe import offered_key

ROWS = '{"query": "a", "response": "b"}\n' * 200
#: What the driver prints on a machine with two cards; no machine here has one.
SMI = """#!/bin/sh
case "$*" in
  *query*) printf 'NVIDIA A10G, 23028, 570.133.20\\nNVIDIA A10G, 23028, 570.133.20\\n' ;;
esac
"""


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[stagehosts.Hosts]:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "nvidia-smi").write_text(SMI)
    (tools / "nvidia-smi").chmod(0o755)
    (tmp_path / "hosts").mkdir()
    with monkeypatch.context() as patch:
        patch.setenv("PATH", f"{tools}:/usr/bin:/bin")
        with stagehosts.hosts(tmp_path / "hosts", 2) as made:
            yield made


@pytest.fixture
def clone(tmp_path: Path, hosts: stagehosts.Hosts) -> Path:
    folder = tmp_path / "clone"
    folder.mkdir()
    shutil.copy(REPO / "Pulumi.yaml", folder)
    shutil.copy(hosts.key_file, folder / "key.pem")
    (folder / "key.pem").chmod(0o644)
    (folder / "mine.jsonl").write_text(ROWS)
    return folder


def machine(hosts: stagehosts.Hosts, number: int) -> str:
    host = hosts.hosts[number]
    return f"ec2-user@{host.address}:{host.port} key.pem"


def written(clone: Path, name: str) -> Any:
    return yaml.safe_load((clone / ".fleet" / name).read_text())


def fleet(clone: Path, *words: str) -> tuple[int, Any, str]:
    done = subprocess.run([FLEET, *words], cwd=clone, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return done.returncode, json.loads(done.stdout) if done.stdout.startswith("{") else None, done.stderr


def test_a_terminal_is_asked_for_machines_until_there_is_none_and_whether_all_are_used(
    clone: Path, hosts: stagehosts.Hosts
) -> None:
    """ENV-1 to ENV-7: where, IP and PEM in one answer, its GPUs shown, asked again, more machines, all or the first."""
    nobody = f"127.78.200.1:{free_port()} key.pem"
    places = ["hosts", nobody, machine(hosts, 0), "y", "y", machine(hosts, 1), "y", "n", "n"]
    said = talk(clone, ["new"], [*places, "sft-lora", "Qwen/Qwen3-0.6B", "mine.jsonl", "", ""])
    order = ["Where", "[USER@]IP and PEM file", "Verify the IP", "NVIDIA A10G (23,028 MiB)", "rank 0 of mine",
             "Add another machine", "rank 1 of mine", "Distribute over all 2", "Task", "Model", "Data",
             "Hardware: 1 x 2 GPUs", "Hub", "Backend", "job.yaml written"]  # fmt: skip
    assert sorted(order, key=said.index) == order, said
    assert "security group lets port 22 in" in said
    assert (clone / "key.pem").stat().st_mode & 0o777 == 0o600
    found = written(clone, "hosts.yaml")["fleets"]
    assert [one["address"] for one in found["mine"]] == [one.address for one in hosts.hosts]
    assert [one["gpus"] for one in found["mine-first"]] == [2]
    assert written(clone, "chosen.yaml")["jobs"] == {str(clone / "job.yaml"): {"source": "hosts", "name": "mine-first"}}
    code, plan, _ = fleet(clone, "plan", "job.yaml", "--json")
    assert (code, plan["fleet"]["name"], plan["world_size"]) == (0, "mine-first", 2)


def test_flags_answer_all_of_it_without_a_terminal_and_the_choice_is_kept(clone: Path, hosts: stagehosts.Hosts) -> None:
    """ENV-1 to ENV-7, TASK-1 to TASK-5: no prompt, nothing to parse; the host key is the third word."""
    asked = [
        "--task",
        "sft-lora",
        "--model",
        "Qwen/Qwen3-0.6B",
        "--data",
        "mine.jsonl",
        "--hub",
        "huggingface",
        "--json",
    ]
    code, said, error = fleet(clone, "new", "--machine", machine(hosts, 0), *asked)
    print_ = offered_key(hosts.hosts[0].address, hosts.hosts[0].port).fingerprint
    assert code == 2 and f"{print_}" in said["do"] and not (clone / "job.yaml").exists()
    machines = [
        f"{machine(hosts, n)} {offered_key(one.address, one.port).fingerprint}" for n, one in enumerate(hosts.hosts)
    ]
    code, said, error = fleet(clone, "new", *(w for one in machines for w in ("--machine", one)), *asked)
    assert (code, said["next"]) == (0, "fleet run job.yaml"), error
    assert (said["plan"]["fleet"]["name"], said["plan"]["nodes"], said["plan"]["world_size"]) == ("mine", 2, 4)
    assert "NODE_RANK=0" in said["plan"]["ranks"][0] and "NODE_RANK=1" in said["plan"]["ranks"][1]
    assert load_job(clone / "job.yaml")[0].args["use_hf"] is True
    code, checked, _ = fleet(clone, "check", "job.yaml", "--json")
    assert (code, checked["ok"]) == (0, True)
    again = ["new", "--machine", machines[0], "--first", "-o", "first.yaml", *asked]
    code, said, _ = fleet(clone, *again)  # who is in it already is not added twice
    assert (code, said["plan"]["fleet"]["name"], said["plan"]["nodes"]) == (0, "mine-first", 1)


def test_megatron_on_machines_that_are_there_is_looked_at_by_its_own_script(
    clone: Path, hosts: stagehosts.Hosts
) -> None:
    """TASK-6: proposed for a mixture of experts, and the machine's environment held to check_megatron_env.py."""
    one = f"{machine(hosts, 0)} {offered_key(hosts.hosts[0].address, hosts.hosts[0].port).fingerprint}"
    asked = ["new", "--machine", one, "--task", "sft-lora", "--model", "Qwen/Qwen3-30B-A3B", "--data", "mine.jsonl"]
    code, said, error = fleet(clone, *asked, "--set", "args.max_length=512", "--json")
    assert code == 0, error or said
    assert (said["recipe"], said["plan"]["command"]) == ("megatron-moe", "megatron sft")
    assert said["megatron"] == [{"node": hosts.hosts[0].address, "ok": False}]
