"""fleet plan, launch, collect, receipt: the stages of a run, each by itself."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from infra.errors import BadInput, CloudRefused, TrainingFailed
from training.cli import options
from training.cli.planning import made_plan

if TYPE_CHECKING:
    pass


@click.command()
@click.argument("job", type=click.Path(path_type=Path))
@options.where
@options.json
def plan(job: Path, stack: str | None, hosts: str | None, local: bool, key: Path | None, as_json: bool) -> None:
    """Show what JOB would run on each rank, what it sends, what it costs and what ends it. Creates nothing.

    With no fleet named: that which `fleet new` was told for JOB, else the cheapest that it fits, for a stack file.
    """
    from training import foreseen, planned
    from training.stack_fleet import StackFleet

    if not (stack or hosts or local or options.chosen_for(job)):
        _pick(job, as_json)
        return
    fleet = options.fleet_from(stack, hosts, local, key, job)
    made = made_plan(job, fleet)
    try:
        is_up, unknown = fleet.is_up(), ""
    except CloudRefused as error:  # a plan needs no account: what it would do and cost is known without
        is_up, unknown = False, f"whether it is up already is UNKNOWN: {error}"
    if isinstance(fleet, StackFleet) and not is_up:
        fleet.refuse_over_budget()
        foreseen.refuse_image(fleet)
    if as_json:
        options.put_json(planned.as_json(made, fleet, is_up) | {"unknown": unknown})
    else:
        click.echo("\n".join(planned.lines(made, fleet, is_up)).rstrip())
        if unknown:
            click.echo(f"note     {unknown}")


def _pick(job: Path, as_json: bool) -> None:
    """The cheapest fleet for a job that names none; BadInput, with what would help, where it fits none."""
    from training import estimated
    from training.fit import sized
    from training.job import load_job
    from training.stack_fleet import machines

    loaded, _ = load_job(job)
    asked = estimated.ask(sized(loaded, job.resolve().parent), machines())
    picked = estimated.pick(asked, job)
    if as_json:
        options.put_json(estimated.pick_json(asked, picked))
    else:
        click.echo("\n".join(estimated.pick_lines(asked, picked, job)))


@click.command()
@click.argument("job", type=click.Path(path_type=Path))
@options.where
@options.skip
@options.json
def launch(
    job: Path,
    stack: str | None,
    hosts: str | None,
    local: bool,
    key: Path | None,
    skip: tuple[str, ...],
    as_json: bool,
) -> None:
    """Start JOB on a fleet that is up: bootstrap verified, preflight, then all ranks, detached.

    Returns when the ranks run; `fleet attach` follows them, `fleet stop` ends them. The fleet stays up.
    """
    from training.checks import skipped
    from training.cli.reaching import interruptible
    from training.findings import sentence
    from training.lifecycle import begin, run_folder
    from training.record import Record, Request
    from training.remote import Machines
    from training.run import new_run_id, now
    from training.screen import Screen
    from training.telling import Line

    root = options.project_root()
    skip = skipped(skip)
    fleet = options.fleet_from(stack, hosts, local, key, job)
    made = made_plan(job, fleet)
    for one in made.findings:
        click.echo(f"{one.severity:8} {sentence(one, job)}", err=True)
    inventory = fleet.inventory()
    record = Record(root / ".fleet")
    request = Request(new_run_id(), str(job.resolve()), fleet.source, fleet.name, fleet_was_up=True, skip=skip)
    record.begin(request, now())
    screen = Screen(as_json=as_json)
    line = Line(request, record, screen.show, run_folder(root, request.run_id))
    with interruptible(fleet), Machines(inventory) as machines:
        try:
            run = begin(line, machines, made, fleet)
        finally:
            screen.close()
    if as_json:
        options.put_json({"event": "Run", **jsonlib.loads(run.to_json())})
    else:
        then = f" and goes on with {', '.join(run.then)}" if run.then else ""
        click.echo(f"{run.id} runs on {len(run.ranks)} nodes: fleet attach {run.id}{then}, fleet logs {run.id} -f")


@click.command()
@click.argument("run_id", metavar="[RUN]", required=False)
@options.where
@options.json
def collect(
    run_id: str | None, stack: str | None, hosts: str | None, local: bool, key: Path | None, as_json: bool
) -> None:
    """Fetch RUN's output and every rank's log into runs/RUN. Resumes; each file's checksum is compared."""
    from training.cli.reaching import reached
    from training.receipt import size
    from training.steps import Chain, Ended, fetch, folder_of, started
    from training.watch import watch_once

    with reached(run_id, stack, hosts, local, key) as (machines, run, folder):
        runs = started(machines, run)
        known = Chain(tuple(Ended(one, watch_once(machines, one, folder_of(folder, one))) for one in runs))
        artifacts = fetch(machines, known, folder, lambda text: click.echo(text, err=True))
    if as_json:
        options.put_json({"run": run.id, "folder": str(artifacts.folder), "files": artifacts.files})
    else:
        click.echo(f"{artifacts.folder}   {artifacts.files} files, {size(artifacts.bytes)}, sums ok")
    if artifacts.missing:
        what = f"not all could be fetched: {'; '.join(artifacts.missing)}"
        raise TrainingFailed(what, where=str(folder), do=f"fleet collect {run.id} fetches the rest.")


@click.command()
@click.argument("run_id", metavar="[RUN]", required=False)
@options.json
def receipt(run_id: str | None, as_json: bool) -> None:
    """What RUN (by default the newest) was to cost and did, where its time went, and the proof of its teardown."""
    from training.lifecycle import run_folder
    from training.receipt import lines, read_receipt
    from training.record import Record

    root = options.project_root()
    run_id = run_id or Record(root / ".fleet").latest()
    file = run_folder(root, run_id) / "receipt.json"
    if not file.exists():
        raise BadInput(f"{run_id} has no receipt yet", where=str(file), do=f"fleet attach {run_id} finishes it.")
    if as_json:
        options.put_json(jsonlib.loads(file.read_text()))
    else:
        click.echo("\n".join(lines(read_receipt(file))))
