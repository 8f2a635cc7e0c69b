"""What `fleet new` asks of where a job runs: this machine, machines by IP and PEM, or a stack that fleet makes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from infra.errors import BadInput, FleetError
from training.cli import options

if TYPE_CHECKING:
    from training.hosts import Said

KINDS = ("local", "hosts", "stack")
#: Of the machines that are named without --hosts.
MINE = "mine"


def where(first: bool) -> tuple[str | None, str | None, bool]:
    """-s, --hosts and --local as a person answers them."""
    from infra.stack_files import known_stacks

    click.echo(
        "local: this machine. hosts: EC2 or other machines that run. stack: EC2 machines that fleet makes and ends."
    )
    kind = click.prompt("Where", type=click.Choice(KINDS), default="stack")
    if kind == "local":
        return None, None, True
    if kind == "stack":
        there = known_stacks(options.project_root())
        return click.prompt("Stack", type=click.Choice(there)), None, False
    return None, _machines(first), False


def joined(name: str, machines: Iterable[str], *, first: bool, asks: bool) -> str:
    """A fleet of own machines with those that flags name; who is in it stays. first: of it the first machine alone."""
    from training.hosts import read_hosts, said_machine

    root = options.project_root()
    for machine in [said_machine(text) for text in machines]:
        known = read_hosts(root).fleets.get(name, ())
        if (machine.address, machine.port) not in {(one.address, one.port) for one in known}:
            _add(name, machine, asks=asks)
    return _first_of(name) if first else name


def _machines(first: bool) -> str:
    """Asks for a machine, then whether there is another, until there is none; then whether all are to be used."""
    from training.hosts import read_hosts

    root = options.project_root()
    known = read_hosts(root).fleets.get(MINE, ())
    if known:
        click.echo(f"Known: {', '.join(one.address for one in known)} (fleet hosts remove {MINE} forgets them)")
    while not known or click.confirm("Add another machine"):
        _ask_for_one()
        known = read_hosts(root).fleets.get(MINE, ())
    all_of_them = f"Distribute over all {len(known)} (no: only the first, {known[0].address})"
    if len(known) == 1 or not (first or not click.confirm(all_of_them, True)):
        return MINE
    return _first_of(MINE)


def _first_of(name: str) -> str:
    """The fleet of a fleet's first machine, NODE_RANK 0, alone."""
    from training.hosts import HostsFile, inventory_of, read_hosts, write_hosts

    root = options.project_root()
    known = read_hosts(root)
    inventory_of(known, name)  # names what there is where there is none of that name
    alone = f"{name}-first"
    write_hosts(root, HostsFile(fleets={**known.fleets, alone: known.fleets[name][:1]}))
    return alone


def _ask_for_one() -> None:
    """Asks until a machine answers."""
    from training.hosts import said_machine

    while True:
        answer = click.prompt("[USER@]IP and PEM file")
        try:
            _add(MINE, said_machine(answer))
        except FleetError as error:
            click.echo(f"{error}\nVerify the IP, the PEM file, and that the security group lets port 22 in.")
        else:
            return


def _add(name: str, one: Said, *, asks: bool = True) -> None:
    from training.cli.hosts import join
    from training.probe import offered_key

    if not one.fingerprint and not asks:
        offered = offered_key(one.address, one.port).fingerprint
        do = f"Give it as the third word, if it is the machine's: '{one.address} {one.key} {offered}'."
        raise BadInput(f"its host key {offered} is new", where=f"{one.address}:{one.port}", do=do)
    line, _ = join(name, one.address, Path(one.key), one.user, one.port, None, one.fingerprint, to_stderr=not asks)
    click.echo(line, err=not asks)
