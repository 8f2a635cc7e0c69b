"""fleet runs, logs: what was run, and what it said."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from training.cli import options


@click.command()
@options.json
def runs(as_json: bool) -> None:
    """The runs that this clone knows, newest first: where, since when, and the stage or the end they came to."""
    from training.record import Record

    known = Record(options.project_root() / ".fleet").runs()
    if as_json:
        options.put_json([{**asdict(request), "began": began, "state": state} for request, began, state in known])
        return
    if not known:
        click.echo("no run yet: fleet run JOB -s STACK")
    for request, began, state in known:
        where = f"{request.source} {request.fleet}"
        click.echo(f"{request.run_id}  {began:%Y-%m-%d %H:%M}  {state:10}  {where:20}  {request.job_file}")


@click.command()
@click.argument("run_id", metavar="[RUN]", required=False)
@options.where
@click.option("--rank", type=click.IntRange(0), help="Only this rank's log.")
@click.option("-f", "--follow", is_flag=True, help="Go on as it grows, until the run ends.")
@options.json
def logs(
    run_id: str | None,
    stack: str | None,
    hosts: str | None,
    local: bool,
    key: Path | None,
    rank: int | None,
    follow: bool,
    as_json: bool,
) -> None:
    """RUN's log (by default the newest run's), all ranks merged with their rank before each line, or one rank's.

    Reads what is here already; where the run is still going, its nodes are asked.
    """
    from infra.errors import BadInput
    from training.lifecycle import run_folder
    from training.record import Record

    root = options.project_root()
    run_id = run_id or Record(root / ".fleet").latest()
    folder = run_folder(root, run_id)
    if not follow and (folder / "receipt.json").exists():
        steps = [folder, *sorted((one.parent for one in folder.glob("*/logs")), key=lambda one: one.stat().st_ctime)]
        files = [(step, file) for step in steps for file in sorted((step / "logs").glob("rank-*.log"))]
        chosen = [(step, file) for step, file in files if rank is None or file.stem == f"rank-{rank}"]
        if not chosen:
            raise BadInput(f"no log of rank {rank} is here", where=str(folder / "logs"), do="Leave --rank out.")
        for step, file in chosen:
            number = int(file.stem.removeprefix("rank-"))
            for line in file.read_text(errors="replace").splitlines():
                _put(number, line, "" if step == folder else step.name, rank is None, as_json)
        return
    _from_nodes(run_id, (stack, hosts, local, key), rank, follow, as_json)


def _from_nodes(
    run_id: str, where: tuple[str | None, str | None, bool, Path | None], rank: int | None, follow: bool, as_json: bool
) -> None:
    import tempfile

    from training.cli.reaching import reached
    from training.run import LogLines
    from training.steps import started
    from training.watch import watch

    # A folder of its own: who follows the log must not move the mark up to which `fleet attach` has read it.
    with reached(run_id, *where) as (machines, first, _), tempfile.TemporaryDirectory() as aside:
        runs = started(machines, first)
        for run in runs:
            last = follow and run == runs[-1]
            for event in watch(machines, run, Path(aside) / run.step, once=not last, ends_ranks=False):
                if isinstance(event, LogLines) and rank in (None, event.rank):
                    for line in event.lines:
                        _put(event.rank, line, "" if run == first else run.step, rank is None, as_json)


def _put(rank: int, line: str, step: str, name_rank: bool, as_json: bool) -> None:
    """step: "" of the first, whose lines are told as those of a run of one step."""
    if as_json:
        options.put_json({"rank": rank, "line": line} | ({"step": step} if step else {}))
    else:
        place = " ".join([*([step] if step else []), *([str(rank)] if name_rank else [])])
        click.echo(f"[{place}] {line}" if place else line)
