"""A process as the way to a node: real ones, small."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from infra.errors import BadInput
from training.connection import Unreachable
from training.inventory import Node
from training.proxy import Proxy
from training.shell import ssh_command
from training.ssh import Ssh

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMz1ORhmKsLH0EIy0vKqHn5Sxo9PuOgcoBuRoqQ2vh0z"


def test_what_is_sent_comes_out_of_it_and_it_ends_with_its_connection() -> None:
    proxy = Proxy(["sh", "-c", "cat; true"])  # a child carries the bytes, as under `aws`
    proxy.socket.sendall(b"hello")
    assert proxy.socket.recv(5) == b"hello"
    proxy.close()
    assert proxy._process.poll() is not None


def test_one_that_does_not_listen_to_a_kind_word_is_ended_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.proxy.GRACE_S", 0.2)
    proxy = Proxy([sys.executable, "-c", "import signal; signal.signal(15, signal.SIG_IGN); print(1); input()"])
    assert proxy.socket.recv(1) == b"1"
    proxy.close()
    assert proxy._process.poll() is not None


@pytest.fixture
def key(tmp_path: Path) -> Path:
    file = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file], check=True)
    return file


def node(key: Path, *proxy: str) -> Node:
    return Node(0, "node-000", "10.0.0.4", "10.0.0.4", "ec2-user", 22, key, KEY, proxy=proxy)


def test_why_there_is_no_way_is_said_in_the_words_of_the_process(key: Path) -> None:
    says = "echo trying >&2; echo 'An error occurred (TargetNotConnected): i-1 is not connected.' >&2; exit 254"
    with pytest.raises(Unreachable, match=r"node-000 \(10\.0\.0\.4:22\)  An error occurred \(TargetNotConnected\)"):
        Ssh(node(key, "sh", "-c", says))


def test_a_command_that_is_not_there_is_named(key: Path) -> None:
    with pytest.raises(BadInput, match="/nowhere/aws  can't be run: No such file or directory"):
        Ssh(node(key, "/nowhere/aws", "ssm"))


def test_ssh_goes_the_same_way(key: Path) -> None:
    line = ssh_command(node(key, "aws", "--parameters", "portNumber=22", "100%"), [], Path("/k"))
    assert "ProxyCommand=aws --parameters portNumber=22 100%%" in line
    assert "StrictHostKeyChecking=yes" in line
