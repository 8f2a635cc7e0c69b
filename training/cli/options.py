"""Options that several commands share, and what they stand for."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from infra.errors import BadInput

if TYPE_CHECKING:
    from training.chosen import Chosen
    from training.fleets import Fleet

F = TypeVar("F", bound=Callable[..., Any])

stack = click.option("-s", "--stack", metavar="STACK", help="A stack: stacks/Pulumi.STACK.yaml.")
hosts = click.option("--hosts", metavar="NAME", help="Your own machines, from `fleet hosts add NAME`.")
local = click.option("--local", is_flag=True, help="This machine, with no SSH.")
key = click.option(
    "--key", type=click.Path(path_type=Path), metavar="PEM", help="The private key, if it isn't this clone's."
)
json = click.option("--json", "as_json", is_flag=True, help="One JSON object, or one event a line.")
skip = click.option(
    "--skip", multiple=True, metavar="CHECK", help="Don't look at this in preflight; may be given again."
)
yes = click.option("-y", "--yes", is_flag=True, help="Don't ask before it spends.")


def where(command: F) -> F:
    """-s STACK, --hosts NAME or --local, and --key: the three sources of a fleet."""
    return stack(hosts(local(key(command))))


def project_root() -> Path:
    """The folder of Pulumi.yaml, from here upwards, as pulumi itself looks for it."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "Pulumi.yaml").exists():
            return folder
    raise BadInput("no Pulumi.yaml here or above", where=str(here), do="Change into the clone of swift-fleet.")


def fleet_from(stack: str | None, hosts: str | None, local: bool, key: Path | None, job: Path | None = None) -> Fleet:
    """The fleet that the options name; where they name none, the one that `fleet new` was told for this job file.

    Raises BadInput where there is none, or where they name two.
    """
    from training.fleets import fleet_of

    named = [one for one in (stack, hosts, local) if one]
    if not named and job and (chosen := chosen_for(job)):
        return fleet_of(project_root(), chosen.source, chosen.name, key)
    if len(named) != 1:
        what = "no fleet is named" if not named else "two fleets are named"
        raise BadInput(what, do="Give one of -s STACK, --hosts NAME, --local.")
    root = project_root()
    if stack:
        return fleet_of(root, "stack", stack, key)
    return fleet_of(root, "hosts", hosts, key) if hosts else fleet_of(root, "local", "local", key)


def chosen_for(job: Path) -> Chosen | None:
    """Where `fleet new` was told that a job file runs."""
    from training import chosen

    try:
        return chosen.chosen_for(project_root(), job)
    except BadInput:
        return None  # outside a clone no fleet is known: what needs one says so


def needed_stack(stack: str | None) -> str:
    if not stack:
        from infra.stack_files import known_stacks

        there = ", ".join(known_stacks(project_root()))
        raise BadInput("no stack is named", do=f"Give -s STACK. There are: {there}.")
    return stack


def put_json(value: Any) -> None:
    click.echo(jsonlib.dumps(value, default=str))
