"""fleet cost, ps: what a fleet costs, and what bills at all."""

from __future__ import annotations

import click

from training.cli import options


@click.command()
@options.stack
@options.json
def cost(stack: str | None, as_json: bool) -> int:
    """What a stack's fleet costs by part: an hour, a day, at most; of one that is up, so far and at most.

    At AWS's prices of now; without an account at those that ship, which say how old they are. Exit code 2 where its
    price is more than its stack allows.
    """
    from training import costs
    from training.run import now
    from training.stack_fleet import StackFleet

    found = costs.look(StackFleet(options.project_root(), options.needed_stack(stack)), now().date())
    if as_json:
        options.put_json(found.as_json())
    else:
        click.echo("\n".join(costs.lines(found)))
    return 2 if found.refused else 0


@click.command()
@options.stack
@click.option("--all", "of_all", is_flag=True, help="Everything that bills in the account, whoever made it.")
@click.option("--region", "regions", multiple=True, metavar="REGION", help="Where to look. Give it several times.")
@options.json
def ps(stack: str | None, of_all: bool, regions: tuple[str, ...], as_json: bool) -> int:
    """What bills by the hour: of this clone's stacks, or with --all of the whole account, in every region it has.

    Says whose each thing is, since when, and at what price. Exit code 4 where a question had no answer: what it could
    not see may bill.
    """
    from training import holdings
    from training.run import now

    found = holdings.ask(options.project_root(), stack, regions, of_all, now().date())
    if as_json:
        options.put_json(found.as_json())
    else:
        click.echo("\n".join(holdings.lines(found, now())))
    for why in found.unasked:
        click.echo(f"NOT ASKED   {why}", err=True)
    return 4 if found.unasked else 0
