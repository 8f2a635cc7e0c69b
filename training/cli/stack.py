"""fleet up, down, preview, outputs, status, extend: acting on a fleet."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from infra.errors import BadInput
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
    from training import ends, foreseen
    from training.cli.reaching import interruptible
    from training.receipt import span
    from training.remote import Machines
    from training.replacing import losses
    from training.screen import one_stage
    from training.stack_fleet import StackFleet

    fleet = StackFleet(options.project_root(), options.needed_stack(stack), key)
    offer = fleet.offer()
    is_up = fleet.is_up()
    if not is_up:
        fleet.refuse_over_budget()
        foreseen.refuse_image(fleet)
    if not yes and not is_up:
        life = span(offer.lifetime.total_seconds()) if offer.lifetime else "unknown"
        most = "" if offer.most_usd is None else f", ${offer.most_usd:.2f} at most"
        account = f", in account {number}" if (number := foreseen.account(fleet)) else ""
        asked = f"Create {foreseen.in_words(fleet)}{account}, {_price(offer)}{most} in {life}?"
        click.confirm(asked, abort=True, err=as_json)
    if is_up and (lost := losses(fleet)) and not yes:
        click.confirm(f"{lost.said[0].upper()}{lost.said[1:]}; then {_price(offer)}?", abort=True, err=as_json)
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
        count = len(inventory.nodes)
        click.echo(f"{count} node{'s' * (count > 1)} up, {_price(offer)}; each ends itself {life} after it booted")
        armed = ", ".join(end.name for end in proven if end.state == "armed")
        click.echo(f"ends armed: {armed}; by hand or cron: fleet sweep --yes")
        click.echo(f"fleet launch JOB -s {fleet.name} · fleet status -s {fleet.name} · fleet down -s {fleet.name}")


def _price(offer: Offer) -> str:
    return "price unknown" if offer.usd_per_hour is None else f"${offer.usd_per_hour:.4f} an hour"


@click.command()
@options.stack
@options.json
def down(stack: str | None, as_json: bool) -> None:
    """End everything of a stack: nodes first, then the rest, then what only a tag tells of. Then ask what is left."""
    from training.cli.reaching import interruptible
    from training.lifecycle import asked_of
    from training.screen import one_stage
    from training.served import stopped_with
    from training.stack_fleet import StackFleet

    fleet = StackFleet(options.project_root(), options.needed_stack(stack))
    fleet.config  # noqa: B018  (a wrong name or file is refused before anything is shown)
    with interruptible(fleet), one_stage("down", as_json=as_json) as say:
        teardown = fleet.down(say)
    stopped_with(fleet.root, fleet.name)
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
    from infra.durations import parse_duration
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
