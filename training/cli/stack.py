"""fleet up, down, preview, outputs, nodes, status, ssh: acting on a fleet."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from infra.errors import BadInput, CloudRefused
from training.cli import options

if TYPE_CHECKING:
    from training.plan import Offer


@click.command()
@options.stack
@options.json
def preview(stack: str | None, as_json: bool) -> None:
    """What `up` would create, change or remove; as `pulumi preview`."""
    from infra.session import Change
    from training.stack_fleet import StackFleet

    changes: list[Change] = []

    def collect(change: Change) -> None:
        if change.state == "started" and change.op not in ("same", "say"):
            changes.append(change)

    counts = StackFleet(options.project_root(), options.needed_stack(stack)).stack.preview(collect)
    if as_json:
        options.put_json({"changes": counts, "resources": [asdict(change) for change in changes]})
        return
    for change in changes:
        click.echo(f"{change.op:10} {change.kind:28} {change.name}")
    click.echo(", ".join(f"{count} {'unchanged' if op == 'same' else f'to {op}'}" for op, count in counts.items()))


@click.command()
@options.stack
@options.key
@options.yes
@options.json
def up(stack: str | None, key: Path | None, yes: bool, as_json: bool) -> None:
    """Create or update the fleet of a stack; as `pulumi up`. Says what it costs and when it ends."""
    from training import ends
    from training.cli.run import interruptible
    from training.receipt import span
    from training.remote import Machines
    from training.screen import one_stage
    from training.stack_fleet import StackFleet

    fleet = StackFleet(options.project_root(), options.needed_stack(stack), key)
    offer = fleet.offer()
    is_up = fleet.is_up()
    if not is_up:
        fleet.refuse_over_budget()
    if not yes and not is_up:
        life = span(offer.lifetime.total_seconds()) if offer.lifetime else "unknown"
        most = "" if offer.most_usd is None else f", ${offer.most_usd:.2f} to its deadline"
        asked = f"Create {offer.nodes} x {offer.instance_type}, {_price(offer)}{most} in {life}?"
        click.confirm(asked, abort=True, err=as_json)
    with interruptible(fleet), one_stage("up", as_json=as_json) as say:
        inventory = fleet.up(say)
        say("looking whether each of its ends is armed")
        with Machines(inventory) as machines:
            proven = ends.prove(fleet, fleet.live(), machines)
    offer = fleet.offer()  # at the place that it got
    life = span(offer.lifetime.total_seconds()) if offer.lifetime else "unknown"
    if as_json:
        options.put_json(
            {
                "stack": fleet.name,
                "nodes": [node.address for node in inventory.nodes],
                "ends": [asdict(end) for end in proven],
            }
        )
    else:
        click.echo(f"{len(inventory.nodes)} nodes up, {_price(offer)}; each ends itself {life} after it booted")
        click.echo(f"ends armed: {', '.join(end.name for end in proven if end.state == 'armed')}")
        click.echo(f"fleet launch JOB -s {fleet.name} · fleet status -s {fleet.name} · fleet down -s {fleet.name}")


def _price(offer: Offer) -> str:
    return "price unknown" if offer.usd_per_hour is None else f"${offer.usd_per_hour:.4f} an hour"


@click.command()
@options.stack
@options.json
def down(stack: str | None, as_json: bool) -> None:
    """End everything of a stack: nodes first, then the rest, then what only a tag tells of. Then ask what is left."""
    from training.cli.run import interruptible
    from training.lifecycle import asked_of
    from training.screen import one_stage
    from training.stack_fleet import StackFleet

    fleet = StackFleet(options.project_root(), options.needed_stack(stack))
    fleet.config  # noqa: B018  (a wrong name or file is refused before anything is shown)
    with interruptible(fleet), one_stage("down", as_json=as_json) as say:
        teardown = fleet.down(say)
    if as_json:
        options.put_json({"stack": fleet.name, **asdict(teardown)})
        return
    swept = f", {len(teardown.swept)} that no state file knew" if teardown.swept else ""
    click.echo(f"{teardown.resources} resources removed{swept}; then asked AWS:")
    for one in asked_of(teardown):
        click.echo(f"  {one.asked:66}{one.answer}")


@click.command()
@options.stack
@options.json
def outputs(stack: str | None, as_json: bool) -> None:
    """The outputs of a stack, as other programs and people use them."""
    from training.stack_fleet import StackFleet

    found = StackFleet(options.project_root(), options.needed_stack(stack)).stack.outputs()
    if found is None:
        raise BadInput(f"stack {stack} is not up", do=f"fleet up -s {stack}")
    data = asdict(found)
    if as_json:
        options.put_json(data)
    else:
        for name, value in data.items():
            for one in value if isinstance(value, tuple) else (value,):
                shown = "  ".join(str(part) for part in one.values()) if isinstance(one, dict) else one
                click.echo(f"{name:16} {shown}")


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


@click.command()
@options.where
@options.json
def status(stack: str | None, hosts: str | None, local: bool, key: Path | None, as_json: bool) -> None:
    """What bills, since when, until when, at most how much; which ends are armed; what trains.

    What can't be told is UNKNOWN, never "none".
    """
    from training import status as statuses

    found = statuses.look(options.fleet_from(stack, hosts, local, key))
    if as_json:
        options.put_json(asdict(found))
    else:
        click.echo("\n".join(statuses.lines(found)))


@click.command()
@click.argument("duration")
@options.stack
@options.key
@options.json
def extend(duration: str, stack: str | None, key: Path | None, as_json: bool) -> None:
    """Let a fleet live DURATION longer (90m, 2h, 1d12h): every end that goes by time moves, or none."""
    from infra.settings import parse_duration
    from training.extending import extend as move
    from training.screen import one_stage
    from training.stack_fleet import StackFleet

    try:
        by = parse_duration(duration)
    except ValueError as error:
        raise BadInput(f"{duration} {error}", do="fleet extend -s STACK 2h") from error
    fleet = StackFleet(options.project_root(), options.needed_stack(stack), key)
    with one_stage("extend", as_json=as_json) as say:
        done = move(fleet, by, say)
    if as_json:
        options.put_json(asdict(done))
        return
    most = "price UNKNOWN" if done.usd_at_most is None else f"${done.usd_at_most:.2f} at most, from its launch on"
    click.echo(f"ends {done.new:%Y-%m-%d %H:%M} UTC instead of {done.old:%H:%M}, {most}")
    for end in done.ends:
        click.echo(f"  {end.name:14}{end.state:9}{f'{end.at:%Y-%m-%d %H:%M} UTC' if end.at else ''}  {end.detail}")


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
