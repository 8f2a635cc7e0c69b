"""A terminal on a node by the operator's own `ssh`: with the pinned host key, and none of the user's own settings."""

from __future__ import annotations

import shlex
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

from infra.errors import BadInput
from training.inventory import Node


def ssh_command(
    node: Node, command: Sequence[str], known_hosts: Path, gateway: tuple[Node, Path] | None = None
) -> list[str]:
    """The ssh command line; its host key alone stands in `known_hosts`.

    gateway: the node through which it is reached, and that one's known_hosts.
    """
    place = ["-i", str(node.key_file), "-p", str(node.port)]
    settings = {
        "UserKnownHostsFile": str(known_hosts),
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "IdentitiesOnly": "yes",
        "PasswordAuthentication": "no",
        "ConnectTimeout": "10",
    }
    if node.proxy:
        settings["ProxyCommand"] = shlex.join(node.proxy).replace("%", "%%")
    elif gateway:
        before, its_known_hosts = gateway
        way = ssh_command(before, (), its_known_hosts)
        settings["ProxyCommand"] = shlex.join([*way[:-1], "-W", "%h:%p", way[-1]])
    options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    asked = [shlex.join(command)] if command else []
    return ["ssh", "-F", "none", *place, *options, f"{node.user}@{node.address}", *asked]


def tunnel_command(ssh: Sequence[str], local_port: int, host: str, port: int) -> list[str]:
    """The ssh command line without a command -> one that only forwards a port of this machine to `host` beyond it."""
    settings = {"ExitOnForwardFailure": "yes", "ServerAliveInterval": "15", "ServerAliveCountMax": "3"}
    options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    return [*ssh[:-1], "-N", *options, "-L", f"127.0.0.1:{local_port}:{host}:{port}", ssh[-1]]


def free_port(wanted: int) -> int:
    """The first port from `wanted` on that nothing on this machine listens on."""
    for port in range(wanted, min(wanted + 100, 65536)):
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise BadInput(f"no port from {wanted} on is free here", do="--port PORT takes another.")


def pinned(node: Node, folder: Path) -> Path:
    """A known_hosts file in `folder` with the node's host key and no other."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"known_hosts-{node.address}-{node.port}"
    file.write_text(f"[{node.address}]:{node.port} {node.host_key}\n{node.address} {node.host_key}\n")
    return file


def interactive(command: Sequence[str]) -> int:
    """Runs it on this terminal; gives its exit code (ssh's own 255 where it could not connect)."""
    try:
        return subprocess.run(command).returncode
    except FileNotFoundError as error:
        raise BadInput("there is no ssh on this machine", do="Install OpenSSH's client.") from error
