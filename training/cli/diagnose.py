"""fleet diagnose: what a run's logs show, asked without a fleet."""

from __future__ import annotations

from pathlib import Path

import click

from training.cli import options


@click.command()
@click.argument("logs", metavar="LOG...", nargs=-1, required=True, type=click.Path(path_type=Path))
@options.json
def diagnose(logs: tuple[Path, ...], as_json: bool) -> None:
    """What went wrong in a run's LOGs, the first cause first: line, cause, and the argument to change.

    A folder stands for the logs in it: `fleet diagnose runs/run-7f3a/logs`. Healthy logs show nothing.
    """
    from infra.errors import BadInput
    from training.swift.diagnose import diagnose as read

    files = [file for one in logs for file in (sorted(one.glob("*.log")) if one.is_dir() else [one])]
    if not files:
        raise BadInput("no .log file is in it", where=str(logs[0]), do="Give a run's log files.")
    found = read(files)
    if as_json:
        options.put_json([one.as_json(several=len(files) > 1) for one in found])
        return
    for one in found:
        click.echo(f"{one.rule}  {one.file}:{one.line}  {one.text}\n  cause  {one.cause}\n  do     {one.fix}")
    if not found:
        click.echo(f"nothing is wrong in {len(files)} log{'s' if len(files) > 1 else ''}")
