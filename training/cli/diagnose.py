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

    A folder stands for the logs in it, a run's for those in its logs/: `fleet diagnose runs/run-7f3a`.
    """
    from infra.errors import BadInput
    from training.swift.diagnose import diagnose as read

    files = [file for one in logs for file in (_in(one) if one.is_dir() else [one])]
    if not files:
        raise BadInput("no .log file is in it", where=str(logs[0]), do="Give a run's log files.")
    found = read(files)
    if as_json:
        options.put_json([one.as_json(several=len(files) > 1) for one in found])
        return
    for one in found:
        click.echo(f"{one.rule}  {one.file}:{one.line}  {one.text}\n  cause  {one.cause}\n  do     {one.fix}")
    quiet = [file for file in files if str(file) not in {one.file for one in found}]
    if not found:
        click.echo(f"nothing is wrong in {len(files)} log{'s' if len(files) > 1 else ''}")
    elif quiet:
        click.echo("\n".join(f"{file}: nothing found" for file in quiet))


def _in(folder: Path) -> list[Path]:
    """A folder's logs, or those of a run's own folder."""
    return sorted(folder.glob("*.log")) or sorted((folder / "logs").glob("*.log"))
