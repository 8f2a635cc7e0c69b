"""fleet preflight: the checks by themselves."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from training.cli import options

if TYPE_CHECKING:
    from training.readiness import Ready


@click.command()
@click.argument("job", type=click.Path(path_type=Path), required=False)
@options.where
@options.skip
@options.json
def preflight(
    job: Path | None,
    stack: str | None,
    hosts: str | None,
    local: bool,
    key: Path | None,
    skip: tuple[str, ...],
    as_json: bool,
) -> None:
    """Look whether a fleet that is up could train: each check of each node. Starts no training.

    With JOB also for its own files and processes; they are not sent. Exit code 2 where a check failed.
    """
    from training.checks import skipped
    from training.cli.planning import made_plan
    from training.job import Job
    from training.plan import Plan
    from training.preflight import look
    from training.remote import Machines

    skip = skipped(skip)
    fleet = options.fleet_from(stack, hosts, local, key, job)
    if job:
        plan = made_plan(job, fleet)
    else:
        offer = fleet.shape()
        plan = Plan(Job(command="sft"), Path(), offer, {}, max(1, offer.gpus_per_node))
    with Machines(fleet.inventory()) as machines:
        ready = look(machines, plan, skip=skip)
    if as_json:
        options.put_json({"ok": ready.ok, **asdict(ready)})
    else:
        click.echo("\n".join(table(ready)))
    if not ready.ok:
        raise click.exceptions.Exit(2)


def table(ready: Ready) -> list[str]:
    """A line for each check: one for all nodes where it is well on all, else one for each node where it isn't."""
    checks = [(node, check) for node in ready.nodes.values() for check in node.checks]
    lines = []
    for name in dict.fromkeys(check.name for _, check in checks):
        of_it = [(node, check) for node, check in checks if check.name == name]
        bad = [(node, check) for node, check in of_it if not check.ok]
        for node, check in bad:
            lines.append(f"{name:14} BAD  rank {node.rank}, {node.name}: {check.found}. Needed: {check.needed}.")
            lines.append(f"{'':14}      {check.do}")
        if not bad:
            found = list(dict.fromkeys(check.found for _, check in of_it))
            more = f" (and {len(found) - 3} more)" if len(found) > 3 else ""
            lines.append(f"{name:14} ok   {', '.join(found[:3])}{more}")
    return [*lines, ready.summary]
