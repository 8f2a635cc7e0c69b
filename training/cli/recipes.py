"""fleet recipes: jobs to start from."""

from __future__ import annotations

import click

from training.cli import options


@click.command()
@click.argument("words", metavar="[WORD]...", nargs=-1)
@options.json
def recipes(words: tuple[str, ...], as_json: bool) -> None:
    """List the recipes, or those with each WORD in their name, title, command, profile, data or model.

    GPUs are in all, over the nodes; the profile is what the nodes must have installed.
    """
    from infra.errors import BadInput
    from training.recipe import matching

    found = matching(words)
    if not found:
        raise BadInput(f"no recipe has {' '.join(words)!r}", do="fleet recipes lists all.")
    if as_json:
        options.put_json([one.as_json() for one in found])
        return
    wide = max(len(one.name) for one in found)
    for one in found:
        click.echo(f"{one.name:{wide}}  {one.needs:11}  {one.profile:8}  {one.title}")
