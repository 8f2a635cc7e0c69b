"""fleet hosts: machines that the user already has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from infra.errors import BadInput
from training.cli import options


@click.group()
def hosts() -> None:
    """Use machines that you already have: fleet hosts add NAME, then --hosts NAME instead of -s STACK.

    The first machine added is NODE_RANK 0. Nothing is put on them but ~/fleet and a job's ~/swift-env*.
    """


@hosts.command()
@click.argument("name")
@click.option("--address", required=True, metavar="IP", help="Where SSH and the other machines reach it.")
@click.option("--key", required=True, type=click.Path(path_type=Path), metavar="PEM", help="The key that opens it.")
@click.option("--user", default="ubuntu", show_default=True)
@click.option("--port", type=click.IntRange(1, 65535), default=22, show_default=True)
@click.option("--private-address", metavar="IP", help="Where the other machines reach it, if not at --address.")
@click.option("--fingerprint", metavar="SHA256:...", help="Pin the host key if it is this one; don't ask.")
@options.json
def add(
    name: str,
    address: str,
    key: Path,
    user: str,
    port: int,
    private_address: str | None,
    fingerprint: str | None,
    as_json: bool,
) -> None:
    """Add a machine to the fleet NAME: connects within 10 s, shows its GPUs, pins its host key on your yes."""
    line, facts = join(name, address, key, user, port, private_address, fingerprint, to_stderr=as_json)
    if as_json:
        options.put_json(facts)
    else:
        click.echo(line)


def join(
    name: str,
    address: str,
    key: Path,
    user: str,
    port: int,
    private_address: str | None,
    fingerprint: str | None,
    *,
    to_stderr: bool,
) -> tuple[str, dict[str, Any]]:
    """Adds a machine; what there is to say of it, for a person and for a program. to_stderr: where it asks."""
    from training.hosts import Host, read_hosts, usable_key, with_host, write_hosts
    from training.probe import offered_key, probe

    root = options.project_root()
    key = usable_key(key)
    offered = offered_key(address, port)
    candidate = Host(
        address=address,
        user=user,
        port=port,
        key=str(key),
        host_key=offered.host_key,
        private_address=private_address,
    )
    known = read_hosts(root)
    with_host(known, name, candidate)  # the same host twice is refused before anybody is asked
    if fingerprint and fingerprint != offered.fingerprint:
        raise BadInput(
            f"its host key is {offered.fingerprint}, not {fingerprint}",
            where=f"{address}:{port}",
            do="Find out on the machine: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub.",
        )
    if not fingerprint:
        click.echo(f"{address}:{port}  host key {offered.fingerprint}", err=to_stderr)
        click.confirm("New: is it the machine's? Pin it", abort=True, err=to_stderr)
    facts = probe(address, port, user, key, offered.host_key)
    host = candidate.model_copy(update={"gpus": len(facts.gpus)})
    added = with_host(known, name, host)
    write_hosts(root, added)
    rank = len(added.fleets[name]) - 1
    gpus = ", ".join(f"{gpu.name} ({gpu.memory_mib:,} MiB)" for gpu in facts.gpus) or "no GPU"
    machine = f"{gpus}  {facts.cpus} CPUs  {facts.ram_gib:.0f} GiB  {facts.os}"
    told = {"name": name, "rank": rank, **host.model_dump(), "gpu_names": [gpu.name for gpu in facts.gpus]}
    return f"{address}  {user}  {machine}  ok: rank {rank} of {name}", told


@hosts.command("list")
@options.json
def list_hosts(as_json: bool) -> None:
    """The fleets of own machines, each machine with its rank."""
    from training.hosts import read_hosts

    known = read_hosts(options.project_root())
    if as_json:
        options.put_json(known.model_dump(mode="json")["fleets"])
        return
    for name, machines in known.fleets.items():
        for rank, host in enumerate(machines):
            click.echo(f"{name:12} rank {rank}  {host.user}@{host.address}:{host.port}  {host.gpus} GPUs  {host.key}")
    if not known.fleets:
        click.echo("none yet: fleet hosts add NAME --address IP --key PEM")


@hosts.command()
@click.argument("name")
@click.option("--address", metavar="IP", help="Only this machine; without, the whole fleet.")
@options.json
def remove(name: str, address: str | None, as_json: bool) -> None:
    """Forget a machine, or a whole fleet of them. Nothing is done on the machines."""
    from training.hosts import read_hosts, without_host, write_hosts

    root = options.project_root()
    write_hosts(root, without_host(read_hosts(root), name, address))
    if as_json:
        options.put_json({"removed": name, "address": address})
    else:
        click.echo(
            f"{name}{f' {address}' if address else ''} is forgotten; ranks follow the order of `fleet hosts list`"
        )
