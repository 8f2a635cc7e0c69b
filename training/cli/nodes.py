"""fleet nodes, ssh, replace, resize: a fleet's machines one by one."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from infra.errors import BadInput, CloudRefused
from training.cli import options


@click.command()
@options.where
@options.json
def nodes(stack: str | None, hosts: str | None, local: bool, key: Path | None, as_json: bool) -> None:
    """A fleet's nodes by rank: where SSH reaches them, their pinned host keys, their GPUs."""
    inventory = options.fleet_from(stack, hosts, local, key).inventory()
    if as_json:
        options.put_json([asdict(node) for node in inventory.nodes])
        return
    for node in inventory.nodes:
        at = f"{node.user}@{node.address}:{node.port}" if node.address else "this machine"
        gpus = "" if node.gpus is None else f"{node.gpus} GPUs"
        click.echo(f"rank {node.rank:<4} {node.name:18} {at:36} {node.private_address:16} {gpus}")


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("rank", type=int)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@options.where
@click.option("--json", "as_json", is_flag=True, help="Print the ssh command as JSON; don't run it.")
def ssh(
    rank: int,
    command: tuple[str, ...],
    stack: str | None,
    hosts: str | None,
    local: bool,
    key: Path | None,
    as_json: bool,
) -> int:
    """Open a shell on the node of RANK, or run COMMAND there. Its host key is the pinned one and no other.

    What follows -- belongs to COMMAND, whatever it looks like: fleet ssh 0 -s dev -- nvidia-smi -L
    """
    from training.shell import interactive, pinned, ssh_command

    inventory = options.fleet_from(stack, hosts, local, key).inventory()
    if not 0 <= rank < len(inventory.nodes):
        raise BadInput(f"there is no rank {rank}", do=f"{inventory.name} has ranks 0 to {len(inventory.nodes) - 1}.")
    if inventory.source == "local":
        raise BadInput("this machine needs no ssh", do="Type the command.")
    node = inventory.nodes[rank]
    folder = options.project_root() / ".fleet"
    gateway = (inventory.master, pinned(inventory.master, folder)) if node.behind_master else None
    line = ssh_command(node, command, pinned(node, folder), gateway)
    if as_json:
        options.put_json({"rank": rank, "command": line})
        return 0
    code = interactive(line)
    if code == 255:
        raise CloudRefused(f"ssh could not reach rank {rank}", where=node.address, do="See its line above.")
    return code


@click.command()
@click.argument("rank", type=int)
@options.stack
@options.key
@options.yes
@options.json
def replace(rank: int, stack: str | None, key: Path | None, yes: bool, as_json: bool) -> None:
    """Give RANK another machine: the old one is terminated first. Refused while a run is on the fleet."""
    from training.cli.reaching import interruptible
    from training.replacing import replace as another
    from training.screen import one_stage
    from training.stack_fleet import StackFleet

    fleet = StackFleet(options.project_root(), options.needed_stack(stack), key)
    if not yes:
        click.confirm(f"Terminate the machine of rank {rank}, with all that is on its disks?", abort=True, err=as_json)
    with interruptible(fleet), one_stage("replace", as_json=as_json) as say:
        node = another(fleet, rank, say)
    if as_json:
        options.put_json(asdict(node))
    else:
        click.echo(f"rank {rank} is {node.user}@{node.address}:{node.port}; fleet launch JOB -s {fleet.name}")


@click.command()
@click.argument("nodes", type=click.IntRange(1, 256))
@options.stack
@options.key
@options.yes
@options.json
def resize(nodes: int, stack: str | None, key: Path | None, yes: bool, as_json: bool) -> None:
    """Give a fleet that is up NODES nodes, in its stack file too. Refused while a run is on it."""
    from training.cli.reaching import interruptible
    from training.replacing import resize as to
    from training.replacing import resized
    from training.screen import one_stage
    from training.stack_fleet import StackFleet

    fleet = StackFleet(options.project_root(), options.needed_stack(stack), key)
    if not yes:
        question = f"{fleet.config.nodes} -> {nodes} nodes, {resized(fleet, nodes)}?"
        click.confirm(question, abort=True, err=as_json)
    with interruptible(fleet), one_stage("resize", as_json=as_json) as say:
        inventory = to(fleet, nodes, say)
    if as_json:
        options.put_json({"stack": fleet.name, "nodes": [node.address for node in inventory.nodes]})
    else:
        click.echo(f"{len(inventory.nodes)} nodes up; fleet launch JOB -s {fleet.name}")
