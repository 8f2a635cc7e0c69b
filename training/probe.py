"""What a machine is, asked before it joins a fleet: `fleet hosts add`."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path

from training.inventory import Node
from training.remote import connect

ASK_S = 20.0

ASK = r"""
echo "os $(. /etc/os-release 2>/dev/null; echo "${PRETTY_NAME:-$(uname -sr)}")"
echo "cpus $(nproc)"
echo "ram $(awk '/^MemTotal:/ {print $2}' /proc/meminfo)"
echo "address $(hostname -I 2>/dev/null | awk '{print $1}')"
echo "from ${SSH_CONNECTION%% *}"
nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader,nounits 2>/dev/null | sed 's/^/gpu /'
exit 0
"""


@dataclass(frozen=True)
class Gpu:
    name: str
    memory_mib: int
    driver: str


@dataclass(frozen=True)
class HostFacts:
    """fingerprint: of host_key, as `ssh-keygen -l` writes it. private_address: the host's own first address."""

    host_key: str
    fingerprint: str
    os: str
    cpus: int
    ram_gib: float
    gpus: tuple[Gpu, ...]
    private_address: str


@dataclass(frozen=True)
class OfferedKey:
    """The host key that answers at an address, taken before anything is sent there: for the person to compare."""

    host_key: str
    fingerprint: str


def offered_key(address: str, port: int = 22) -> OfferedKey:
    """The key that a machine offers, within 10 s and without logging in; or an error that names what to verify."""
    from training.keys import fingerprint
    from training.ssh import offered

    key = offered(address, port)
    return OfferedKey(f"{key.get_name()} {key.get_base64()}", fingerprint(key))


def probe(address: str, port: int, user: str, key: Path, host_key: str = "") -> HostFacts:
    """What the machine is. host_key: the one to insist on; by default the one that it offers."""
    from training.keys import load_key

    load_key(key.expanduser())
    offer = offered_key(address, port) if not host_key else _named(host_key)
    node = Node(0, address, address, "", user=user, port=port, key_file=key, host_key=offer.host_key)
    connection = connect(node)
    try:
        answer = connection.run(ASK, ASK_S).must(node, "asking what it is")
    finally:
        connection.close()
    return facts(answer.out, offer)


def facts(answer: str, offer: OfferedKey) -> HostFacts:
    """The lines of ASK as values. Pure."""
    said = dict(line.split(" ", 1) for line in answer.splitlines() if " " in line and not line.startswith("gpu "))
    gpus = []
    for line in answer.splitlines():
        if line.startswith("gpu ") and line.count(", ") >= 2:
            name, memory, driver = line[4:].rsplit(", ", 2)
            gpus.append(Gpu(name, int(memory) if memory.isdigit() else 0, driver))
    return HostFacts(
        host_key=offer.host_key,
        fingerprint=offer.fingerprint,
        os=said.get("os", ""),
        cpus=int(said.get("cpus", 0)),
        ram_gib=int(said.get("ram", 0)) / 2**20,
        gpus=tuple(gpus),
        private_address=said.get("address", ""),
    )


def _named(host_key: str) -> OfferedKey:
    digest = hashlib.sha256(base64.b64decode(host_key.split()[1])).digest()
    return OfferedKey(host_key, "SHA256:" + base64.b64encode(digest).decode().rstrip("="))
