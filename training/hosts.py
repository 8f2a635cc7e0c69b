"""Machines that the user already has: `.fleet/hosts.yaml`, written by `fleet hosts add`, the first is NODE_RANK 0."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field

from infra.errors import BadInput
from infra.written import load, nearest
from training.inventory import Inventory, Node


class Host(BaseModel):
    """One machine. host_key: pinned by the person's yes, "ssh-ed25519 AAAA..."; gpus: counted when it was added."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: str
    user: str = "ubuntu"
    port: Annotated[int, Field(ge=1, le=65535)] = 22
    key: str
    host_key: str
    gpus: int = 0
    private_address: str | None = None


@dataclass(frozen=True)
class Said:
    """A machine as a person names it in one answer. fingerprint: of its host key; None: the person is asked."""

    address: str
    key: str
    user: str = "ubuntu"
    port: int = 22
    fingerprint: str | None = None


def said_machine(text: str) -> Said:
    """`[USER@]IP[:PORT] PEM [SHA256:...]` as a value. Pure. Raises BadInput where it is less."""
    found = re.fullmatch(r"(?:([\w.-]+)@)?([\w.-]+)(?::(\d{1,5}))?\s+(\S+)(?:\s+(SHA256:\S+))?", text.strip())
    if not found:
        do = "Both, with a space between: 203.0.113.7 ~/key.pem, or ec2-user@203.0.113.7 ~/key.pem."
        raise BadInput(f"{text.strip() or 'nothing'} is no machine: an address and the key that opens it", do=do)
    user, address, port, key, fingerprint = found.groups()
    return Said(address, key, user or "ubuntu", int(port or 22), fingerprint)


class HostsFile(BaseModel):
    """name -> its machines in order of rank."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fleets: dict[str, tuple[Host, ...]] = {}


def hosts_file(root: Path) -> Path:
    return root / ".fleet" / "hosts.yaml"


def read_hosts(root: Path) -> HostsFile:
    file = hosts_file(root)
    return load(file, HostsFile) if file.exists() else HostsFile()


def write_hosts(root: Path, hosts: HostsFile) -> None:
    file = hosts_file(root)
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_suffix(".new")
    new.write_text(yaml.safe_dump(hosts.model_dump(mode="json", exclude_none=True), sort_keys=False))
    new.replace(file)


def with_host(hosts: HostsFile, name: str, host: Host) -> HostsFile:
    """The file with one machine more. Raises BadInput where it is in that fleet already, by address or by host key."""
    for one in hosts.fleets.get(name, ()):
        if (one.address, one.port) == (host.address, host.port) or one.host_key == host.host_key:
            raise BadInput(
                f"{host.address}:{host.port} is in {name} already"
                + ("" if one.address == host.address else f", as {one.address} (same host key)"),
                do=f"fleet hosts remove {name} --address {one.address}, to add it anew.",
            )
    return HostsFile(fleets={**hosts.fleets, name: (*hosts.fleets.get(name, ()), host)})


def without_host(hosts: HostsFile, name: str, address: str | None) -> HostsFile:
    """The file without one machine, or without the whole fleet."""
    _known(hosts, name)
    left = tuple(one for one in hosts.fleets[name] if address is not None and one.address != address)
    if address is not None and len(left) == len(hosts.fleets[name]):
        raise BadInput(f"{name} has no host {address}", do="fleet hosts list shows them.")
    fleets = {**hosts.fleets, name: left}
    return HostsFile(fleets={key: value for key, value in fleets.items() if value})


def inventory_of(hosts: HostsFile, name: str) -> Inventory:
    _known(hosts, name)
    nodes = tuple(
        Node(
            rank=rank,
            name=host.address,
            address=host.address,
            private_address=host.private_address or host.address,
            user=host.user,
            port=host.port,
            key_file=Path(host.key),
            host_key=host.host_key,
            gpus=host.gpus,
        )
        for rank, host in enumerate(hosts.fleets[name])
    )
    return Inventory("hosts", name, nodes)


def usable_key(file: Path) -> Path:
    """The key file, absolute, with its permissions mended where it is the user's own; BadInput else."""
    file = file.expanduser().resolve()
    if not file.exists():
        raise BadInput("no such key file", where=str(file), do="Give --key the PEM file that opens the machine.")
    if not file.is_file():
        raise BadInput("is no file", where=str(file), do="Give --key the PEM file that opens the machine.")
    found = file.stat()
    if stat.S_IMODE(found.st_mode) & 0o077:
        if found.st_uid != os.getuid():
            raise BadInput(
                f"can be read by others (mode {stat.S_IMODE(found.st_mode):o}) and isn't yours to mend",
                where=str(file),
                do=f"Copy it and: chmod 600 {file.name}",
            )
        file.chmod(0o600)
    return file


def _known(hosts: HostsFile, name: str) -> None:
    if name not in hosts.fleets:
        guess = nearest(name, hosts.fleets)
        hint = f"Did you mean {guess}?" if guess else f"There are: {', '.join(hosts.fleets) or 'none'}."
        raise BadInput(f"there are no hosts called {name}", do=f"{hint} fleet hosts add makes one.")
