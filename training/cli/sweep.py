"""fleet sweep: ending what nobody looks after any more."""

from __future__ import annotations

from dataclasses import asdict

import click

from infra.errors import BadInput, CloudRefused
from training.cli import options


@click.command()
@options.stack
@click.option("--region", "regions", multiple=True, metavar="REGION", help="Look there; by default where stacks are.")
@click.option("--all-regions", is_flag=True, help="Look in every region that the account has enabled.")
@click.option("-y", "--yes", is_flag=True, help="End it. Without, it is only listed.")
@options.json
def sweep(stack: str | None, regions: tuple[str, ...], all_regions: bool, yes: bool, as_json: bool) -> None:
    """Find by tag what is past its time or belongs to no stack file here, whatever any state says. --yes ends it.

    Exit code 4 where a region or a kind of thing could not be asked: then what was found is not all.
    """
    from training import sweeping
    from training.screen import one_stage

    if regions and all_regions:
        raise BadInput("--region and --all-regions are given", do="Give one of them.")
    root = options.project_root()
    with one_stage("sweep", as_json=as_json) as say:
        swept = sweeping.sweep(root, only=stack, regions=regions, all_regions=all_regions, yes=yes, say=say)
    if as_json:
        options.put_json(asdict(swept))
    else:
        click.echo("\n".join(sweeping.lines(swept)))
    if swept.unasked or swept.failed:
        unasked = [f"{sweeping.counted(len(swept.unasked), 'question')} without an answer"] if swept.unasked else []
        failed = [f"{sweeping.counted(len(swept.failed), 'stack')} not ended"] if swept.failed else []
        do = "Put right what stands above, then fleet sweep again."
        raise CloudRefused(", ".join(unasked + failed), do=do)
