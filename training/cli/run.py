"""fleet run, attach, stop: a job whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from infra.errors import BadInput
from training.cli import options
from training.cli.planning import made_plan
from training.cli.reaching import interruptible, reached

if TYPE_CHECKING:
    from training.fleets import Fleet
    from training.plan import Plan
    from training.record import Record, Request
    from training.run import Event


@click.command()
@click.argument("job", type=click.Path(path_type=Path))
@options.where
@click.option("--keep", is_flag=True, help="Leave the fleet up afterwards; its lease still ends it.")
@click.option("--resume", metavar="RUN", default="", help="Go on from the newest checkpoint that RUN left here.")
@options.skip
@click.option("--replace-bad", is_flag=True, help="Give nodes whose machine fails preflight another one, once.")
@options.yes
@options.json
def run(
    job: Path,
    stack: str | None,
    hosts: str | None,
    local: bool,
    key: Path | None,
    keep: bool,
    resume: str,
    skip: tuple[str, ...],
    replace_bad: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Carry out JOB whole: plan, up, bootstrap, preflight, launch, train, collect, down, receipt.

    Shows the plan with its cost and asks before it spends. A fleet that is up already is used and left up.
    """
    from training.checks import skipped
    from training.foreseen import in_words, refuse_image
    from training.planned import lines
    from training.record import Record, Request
    from training.run import new_run_id, now
    from training.stack_fleet import StackFleet

    root = options.project_root()
    skip = skipped(skip)
    fleet = options.fleet_from(stack, hosts, local, key, job)
    if replace_bad and fleet.source != "stack":
        raise BadInput("--replace-bad is for a stack's machines", do="Own ones can't be replaced: leave it away.")
    plan = made_plan(job, fleet, resume=resume)
    was_up = fleet.is_up()
    if plan.stays and not (was_up or keep) and fleet.source == "stack":
        _stays(plan, fleet)
    if isinstance(fleet, StackFleet) and not was_up:
        fleet.refuse_over_budget()
        refuse_image(fleet)
    if not as_json:
        click.echo("\n".join(lines(plan, fleet, was_up)))
    if isinstance(fleet, StackFleet) and not was_up and not yes:
        click.confirm(f"Create {in_words(fleet)}, and run?", abort=True, err=as_json)
    record = Record(root / ".fleet")
    request = Request(
        new_run_id(), str(job.resolve()), fleet.source, fleet.name, was_up, keep, skip, resume, replace_bad
    )
    record.begin(request, now())
    if not as_json:
        click.echo(f"{request.run_id}")
    _carry_out(root, request, record, plan, fleet, as_json)


@click.command()
@click.argument("run_id", metavar="[RUN]", required=False)
@options.where
@options.json
def attach(
    run_id: str | None, stack: str | None, hosts: str | None, local: bool, key: Path | None, as_json: bool
) -> None:
    """Go on with RUN (by default the newest) where it was cut off.

    From another clone or machine name the fleet too, and the key that opens it: -s STACK --key PEM.
    """
    from training.fleets import fleet_of
    from training.lifecycle import stages_done
    from training.record import Record, Request
    from training.run import now

    root = options.project_root()
    record = Record(root / ".fleet")
    named = stack or hosts or local
    if run_id is None:
        run_id = record.latest()
    request = record.request(run_id)
    if request is None:
        if not named:
            raise BadInput(
                f"{run_id} is not recorded here",
                do="Name its fleet: -s STACK, --hosts NAME or --local, and --key PEM if the key is elsewhere.",
            )
        fleet = options.fleet_from(stack, hosts, local, key)
        known = _on_nodes(fleet, run_id)
        request = Request(run_id, "", fleet.source, fleet.name, fleet_was_up=known.leaves_up)
        record.begin(request, now())
    else:
        fleet = (
            options.fleet_from(stack, hosts, local, key)
            if named
            else (fleet_of(root, request.source, request.fleet, key))
        )
        stages_done(record, request)  # before a plan is made, for that asks a cloud for its prices
    makes_it = not request.fleet_was_up
    job = Path(request.job_file)
    plan = made_plan(job, fleet, makes_it=makes_it, resume=request.resume) if request.job_file else None
    _carry_out(root, request, record, plan, fleet, as_json)


@click.command()
@click.argument("run_id", metavar="[RUN]", required=False)
@options.where
@click.option("--grace", type=click.IntRange(0), default=30, show_default=True, help="Seconds between TERM and KILL.")
@options.json
def stop(
    run_id: str | None, stack: str | None, hosts: str | None, local: bool, key: Path | None, grace: int, as_json: bool
) -> None:
    """Stop RUN (by default the newest) on all its nodes: TERM to the process group, then KILL. The fleet stays."""
    from infra.errors import CloudRefused
    from training.launch import active_runs
    from training.launch import stop as stop_run
    from training.served import stopped
    from training.steps import started

    failed: list[str] = []
    with reached(run_id, stack, hosts, local, key) as (machines, run, _):
        running = active_runs(machines)[0]
        live = [one for one in started(machines, run) if one.id in running]
        if not live:
            raise BadInput(
                f"{run.id} does not run", do=f"fleet receipt {run.id}, fleet logs {run.id} tell how it ended."
            )
        for one in reversed(live):
            failed += [f"{one.id} rank {rank}: {error}" for rank, error in stop_run(machines, one, grace).items()]
    if failed:
        raise CloudRefused("; ".join(failed), where=run.id)
    stopped(options.project_root(), run.id)
    ranks = sorted({rank for one in live for rank in one.ranks})
    if as_json:
        options.put_json({"run": run.id, "stopped": ranks, "steps": [one.step for one in live]})
    else:
        said = f" ({', '.join(one.step for one in live)})" if run.then else ""
        click.echo(f"{run.id} stopped on {len(ranks)} node{'s' * (len(ranks) > 1)}{said}")


def _stays(plan: Plan, fleet: Fleet) -> None:
    """A fleet that is made for a run is left up for an endpoint only where that is asked for."""
    from training.planned import left_up

    raise BadInput(
        f"the last step, {plan.steps[-1].name}, serves: the fleet would stay, {left_up(fleet)}",
        where=str(plan.job_file),
        do="Add --keep if that is what you want, or let another step be the last.",
    )


def _on_nodes(fleet: Fleet, run_id: str) -> Any:
    from training.launch import find_run
    from training.remote import Machines

    with Machines(fleet.inventory()) as machines:
        found = find_run(machines, run_id)
    if found is None:
        raise BadInput(f"the nodes of {fleet.name} know no {run_id}", do="fleet nodes shows them.")
    return found


def _carry_out(root: Path, request: Request, record: Record, plan: Plan | None, fleet: Fleet, as_json: bool) -> None:
    """One run, and those that go on from it where it fails and the job has retries."""
    from infra.errors import TrainingFailed
    from training.lifecycle import run_folder
    from training.retrying import next_attempt
    from training.run import now

    while True:
        try:
            return _once(root, request, record, plan, fleet, as_json)
        except TrainingFailed as error:
            again = next_attempt(request, plan, run_folder(root, request.run_id))
            if again is None or not fleet.is_whole():
                raise
            said = f"{request.run_id} failed: {error.what.splitlines()[0]}"
        request = again
        makes_it = not request.fleet_was_up
        plan = made_plan(Path(request.job_file), fleet, makes_it=makes_it, resume=request.resume)
        record.begin(request, now())
        if as_json:
            told = {"run": request.run_id, "resume": request.resume, "attempt": request.attempt, "why": said}
            options.put_json({"event": "Retry", **told})
        else:
            click.echo(f"{said}\n{request.run_id} goes on from it: retry {request.attempt} of {plan.job.retries}")


def _once(root: Path, request: Request, record: Record, plan: Plan | None, fleet: Fleet, as_json: bool) -> None:
    from training.costs import AtMost
    from training.lifecycle import carry_out, run_folder
    from training.receipt import lines
    from training.record import Stage
    from training.run import Step
    from training.screen import Screen
    from training.stack_fleet import StackFleet
    from training.telling import Line

    offer = fleet.offer()
    screen = Screen(as_json=as_json, usd_per_hour=offer.usd_per_hour, most_usd=offer.most_usd)
    most = None if as_json or not isinstance(fleet, StackFleet) else AtMost(fleet)

    def show(event: Event | Stage) -> None:
        screen.show(event)
        if isinstance(event, Stage) and (event.stage, event.state) == ("up", "done"):
            here = fleet.offer()
            screen.priced(here.usd_per_hour, most.usd() if most else here.most_usd)
        elif most and isinstance(event, Step) and most.is_old():
            screen.priced(screen.usd_per_hour, most.usd())

    line = Line(request, record, show, run_folder(root, request.run_id))
    with interruptible(fleet):
        try:
            receipt = carry_out(line, plan, fleet)
        finally:
            screen.close()
    if as_json:
        options.put_json({"event": "Receipt", **receipt.as_json()})
    else:
        click.echo("\n" + "\n".join(lines(receipt)))
        click.echo(f"{'report':17}{line.folder / 'report.html'}")
