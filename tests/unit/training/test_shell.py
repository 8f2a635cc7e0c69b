from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from training.inventory import Node
from training.shell import ssh_command

NODE = Node(0, "node-000", "198.51.100.4", "10.77.0.4", "ec2-user", 2222, Path("/keys/dev"), "ssh-ed25519 AAAA", 1)


def test_only_the_pinned_host_key_and_the_given_key_count() -> None:
    assert shlex.join(ssh_command(NODE, [], Path("/c/known_hosts"))) == (
        "ssh -F none -i /keys/dev -p 2222 -o UserKnownHostsFile=/c/known_hosts -o GlobalKnownHostsFile=/dev/null "
        "-o StrictHostKeyChecking=yes -o IdentitiesOnly=yes -o PasswordAuthentication=no -o ConnectTimeout=10 "
        "ec2-user@198.51.100.4"
    )


@pytest.mark.parametrize("words", [["ls", "-la"], ["echo", "a b", "$HOME", "it's"], ["bash", "-c", "exit 3"]])
def test_a_command_reaches_the_node_word_for_word(words: list[str]) -> None:
    sent = ssh_command(NODE, words, Path("/k"))[-1]
    assert shlex.split(sent) == words
