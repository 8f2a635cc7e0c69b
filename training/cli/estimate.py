"""fleet estimate: what a training job needs of a GPU, and where it fits."""

from __future__ import annotations

from pathlib import Path

import click

from training.cli import options


@click.command()
@click.argument("job", type=click.Path(path_type=Path))
@click.option(
    "--gpus", type=click.IntRange(min=1), metavar="N", help="On so many GPUs in all; else the cheapest fleet."
)
@click.option("--type", "types", metavar="TYPE", multiple=True, help="Of this instance type alone; again for each.")
@options.json
def estimate(job: Path, gpus: int | None, types: tuple[str, ...], as_json: bool) -> None:
    """Estimate the GiB that JOB needs on each GPU, by part, and list the instance types that it fits, cheapest first.

    Needs no GPU, no download and no credentials: sizes of common models ship with fleet, others are read from the
    folder or the hub's cache. docs/memory.md says how, and how far it is off.
    """
    from training import estimated
    from training.fit import sized
    from training.job import load_job
    from training.stack_fleet import machines

    loaded, _ = load_job(job)
    among = estimated.of_types(machines(), types)
    asked = estimated.ask(sized(loaded, job.resolve().parent), among, gpus)
    if as_json:
        options.put_json(estimated.as_json(asked))
    else:
        click.echo("\n".join(estimated.lines(asked, job)))
