"""Where a job runs: one `Node` a rank. The three sources of a fleet all give this, so each later stage is
written once: a stack's outputs, machines that the user already has, this machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Source = Literal["stack", "hosts", "local"]


@dataclass(frozen=True)
class Node:
    """One machine.

    rank: its NODE_RANK, 0 is the master.
    address: where SSH reaches it; empty for this machine.
    private_address: where the other nodes reach it (MASTER_ADDR on rank 0).
    host_key: its public key, "ssh-ed25519 AAAA...", the only one that is accepted.
    proxy: the command that leads to its SSH server where no address does (OpenSSH's ProxyCommand), mostly empty.
    behind_master: whether SSH reaches it through rank 0 alone, the fleet's one way in.
    gpus: as promised by the instance type, or counted on an own machine; None where nobody promised.
    gpu_memory_gib: of one GPU, as promised; efa: devices that its interfaces promise; instance_type: "" if own.
    """

    rank: int
    name: str
    address: str
    private_address: str
    user: str = ""
    port: int = 22
    key_file: Path | None = None
    host_key: str = ""
    gpus: int | None = None
    behind_master: bool = False
    gpu_memory_gib: float | None = None
    efa: int = 0
    instance_type: str = ""
    proxy: tuple[str, ...] = ()


@dataclass(frozen=True)
class Inventory:
    """The machines of one fleet in order of rank.

    shared_path: the folder that every node is promised to see as one ("~/shared"), or "" for none.
    """

    source: Source
    name: str
    nodes: tuple[Node, ...]
    shared_path: str = ""

    @property
    def master(self) -> Node:
        return self.nodes[0]


def local(gpus: int | None = None) -> Inventory:
    """This machine as a fleet of one, with no SSH."""
    return Inventory("local", "local", (Node(0, "local", "", "127.0.0.1", gpus=gpus),))
