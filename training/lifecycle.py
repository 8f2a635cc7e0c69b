"""What `fleet run` does: plan -> up -> bootstrap -> preflight -> launch -> train -> collect -> down -> receipt.

The only stage that knows both sides. Each step can be taken again: a run that was cut off anywhere goes on when the
same request is carried out again (`fleet attach`), and what has happened already costs one look.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from infra.errors import BadInput, CloudRefused, FleetError, Interrupted, TrainingFailed
from training import ends
from training import receipt as receipts
from training.aftermath import failed, what_next
from training.bootstrap import bootstrap
from training.collect import Artifacts, collected
from training.fleets import Fleet
from training.inventory import Inventory
from training.launch import active_runs, find_run, launch, refuse_busy
from training.plan import Plan
from training.preflight import look
from training.readiness import Ready
from training.receipt import Asked, Receipt
from training.record import Record, Request, Stage
from training.remote import Machines, all_or_raise
from training.replacing import at_fault, refuse_losses
from training.report import JOB, write_report
from training.run import Event, Note, Run, now
from training.ship import ship
from training.spent import began, money
from training.stack_fleet import StackFleet
from training.steps import Chain, fetch, follow, ready_for
from training.telling import Line
from training.told import in_order, seconds_by_stage

if TYPE_CHECKING:
    from infra.sweep import Teardown

Show = Callable[[Event | Stage], None]


def run_folder(root: Path, run_id: str) -> Path:
    return root / "runs" / run_id


def stages_done(record: Record, request: Request) -> set[str]:
    """Raises BadInput where the last of them is done: there is nothing to go on with."""
    done = {e.stage for e in record.events(request.run_id) if isinstance(e, Stage) and e.state == "done"}
    if "receipt" in done:
        raise BadInput(f"{request.run_id} is finished", do=f"fleet receipt {request.run_id}")
    return done


def carry_out(line: Line, plan: Plan | None, fleet: Fleet) -> Receipt:
    """The whole line for one request, from where it had come to; with no plan (another clone's run) as the nodes say.

    Raises TrainingFailed when the run did not succeed: its logs and what it saved are here by then, and the fleet is
    left up, its price said. Raises Interrupted likewise.
    """
    request = line.request
    done = stages_done(line.record, request)
    if line.record.state_of(request.run_id) == "refused":
        raise BadInput(f"{request.run_id} was refused and never began", do=f"fleet run {request.job_file} anew.")
    try:
        if "collect" in done:
            return finish(line, fleet, None, collected(line.folder), left_up=request.leaves_up)
        if "launch" in done and not fleet.is_up():
            raise _gone(line, fleet)
        inventory = _up(line, fleet, launched="launch" in done)
        with Machines(inventory) as machines:
            run = find_run(machines, request.run_id)
            if run is None:
                if "launch" in done:
                    all_or_raise(machines.run("true", 30, idempotent=True))  # a silent node has not said that it's gone
                    raise _replaced(line, fleet)
                run = _begin(line, machines, plan, fleet)
            try:
                chain = follow(line, machines, run, plan, done)
                artifacts = _collect(line, machines, chain, fleet)
            except CloudRefused as error:
                if not fleet.is_up():
                    raise _gone(line, fleet) from None
                do = f"{error.do} {what_next(request, fleet)}".strip()
                raise type(error)(error.what, where=error.where, do=do) from error
        if chain.failed or chain.error:
            finish(line, fleet, run, artifacts, left_up=request.source == "stack")
            raise failed(chain, line, fleet)
        return finish(line, fleet, run, artifacts, left_up=request.leaves_up)
    except KeyboardInterrupt as error:
        raise Interrupted(f"{request.run_id} is left as it is", do=what_next(request, fleet)) from error


def _gone(line: Line, fleet: Fleet) -> TrainingFailed:
    """Its nodes ended (lease, schedule, spot, a person): a new fleet would be another run, and other money.

    Shared files outlive them: what the run saved there is no machine's to delete, and bills by the GB alone.
    """
    request = line.request
    saved = _saved_in(fleet, request.run_id)
    finish(line, fleet, None, None, left_up=bool(saved), nodes_gone=bool(saved))
    do = f"fleet run {request.job_file} anew."
    if saved:
        there = f"what it saved is in {saved} of the shared files"
        look = (
            f"fleet up -s {fleet.name} and fleet ssh 0 -s {fleet.name} reach it, fleet down -s {fleet.name} deletes it"
        )
        do = f"{there}: {look}."
    return TrainingFailed("its nodes are gone", where=request.run_id, do=do)


def _saved_in(fleet: Fleet, run_id: str) -> str:
    """The run's folder on the shared files, which outlive its nodes; "" where there are none."""
    if not isinstance(fleet, StackFleet) or not fleet.config_here.shared_files:
        return ""
    return f"{fleet.config_here.shared_path}/runs/{run_id}"


def _replaced(line: Line, fleet: Fleet) -> TrainingFailed:
    """Other machines are under its nodes' names, or its folder was deleted there: started again it would be another
    run, from its first step. The fleet is somebody's: it stays."""
    request = line.request
    finish(line, fleet, None, None, left_up=True)
    what = "it was launched, and its nodes know nothing of it: they were replaced since, or its folder was deleted"
    do = f"fleet run {request.job_file} anew."
    if isinstance(fleet, StackFleet):
        stack = f"-s {fleet.name}"
        saved = _saved_in(fleet, request.run_id)
        there = f" What it saved may be in {saved}: fleet ssh 0 {stack}." if saved else ""
        do = f"{fleet.what_is_left()}: fleet run JOB {stack} starts anew, fleet down {stack} ends it.{there}"
    return TrainingFailed(what, where=request.run_id, do=do)


def _up(line: Line, fleet: Fleet, *, launched: bool) -> Inventory:
    with line.stage("up") as telling:
        # A fleet that is whole is used as it is: an update under a run could stop what trains. So is one that has lost
        # a node of it: another machine knows nothing of the run.
        as_it_is = launched or fleet.is_whole()
        if not as_it_is and line.request.fleet_was_up and isinstance(fleet, StackFleet):
            refuse_losses(fleet)
        inventory = fleet.inventory() if as_it_is else fleet.up(telling.say, telling.note)
        telling.detail = f"{len(inventory.nodes)} of {len(inventory.nodes)} nodes"
        return inventory


def _begin(line: Line, machines: Machines, plan: Plan | None, fleet: Fleet) -> Run:
    """As `begin`; where it fails, a fleet that this run made is ended: nothing has trained, so nothing is lost."""
    try:
        return begin(line, machines, plan, fleet)
    except FleetError as error:
        if line.request.leaves_up:
            raise
        machines.close()
        try:
            with line.stage("down") as telling:
                fleet.down(telling.say)
                telling.detail = "nothing had trained: the fleet is ended"
        except CloudRefused as again:
            both = f"{error.what}; and ending the fleet failed too: {again.what}"
            raise type(error)(both, where=error.where, do=again.do) from again
        do = f"{error.do} The fleet that was made for it is ended, nothing is left (--keep would have left it)."
        raise type(error)(error.what, where=error.where, do=do.strip()) from error


def begin(line: Line, machines: Machines, plan: Plan | None, fleet: Fleet) -> Run:
    """bootstrap, ship, preflight, launch."""
    if plan is None:
        raise CloudRefused(
            f"the nodes know no {line.request.run_id}",
            do="Attach from the clone that started it, or start anew: fleet run JOB.",
        )
    busy, _ = active_runs(machines)
    if busy:
        line.record.state(line.request.run_id, "refused")
    refuse_busy(fleet.name, busy)
    ready = _prepared(line, machines, plan, fleet, may_replace=line.request.replace_bad)
    if isinstance(fleet, StackFleet) and (bad := at_fault(ready)):
        _replace(line, machines, fleet, bad)
        ready = _prepared(line, machines, plan, fleet, may_replace=False)
    with line.stage("launch") as telling:
        line.folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(plan.job_file, line.folder / JOB)  # as it was: a person goes on to edit theirs
        before = seconds_by_stage(line.record.events(line.request.run_id))
        run = launch(machines, plan, ready, line.request.run_id, leaves_up=line.request.leaves_up, before=before)
        telling.detail = f"{len(run.ranks)} ranks, master {run.master_addr}:{run.master_port}"
        return run


def _prepared(line: Line, machines: Machines, plan: Plan, fleet: Fleet, *, may_replace: bool) -> Ready:
    """bootstrap, ship, preflight. What is not ready is refused, unless other machines would put it right, and may."""
    with line.stage("bootstrap") as telling:
        facts = bootstrap(machines, [one.profile for one in plan.job.needs], line.tell)
        telling.detail = facts.summary
        if isinstance(fleet, StackFleet):
            ends.prove(fleet, fleet.live(), machines)
            telling.detail += " · ends armed"
    with line.stage("preflight") as telling:
        base = ship(machines, plan, telling.say)
        ready = look(machines, plan, base, line.request.skip)
        if not (may_replace and at_fault(ready)):
            ready.require()
        telling.detail, telling.failed = ready.summary, not ready.ok
        if ready.ok and plan.ranks[0] != machines.ranks[0]:
            ready = ready_for(machines, plan, ready)
    return ready


def _replace(line: Line, machines: Machines, fleet: StackFleet, bad: Mapping[int, str]) -> None:
    """Other machines for the ranks at fault: once in a run, so that the next preflight decides."""
    with line.stage("up") as telling:
        nodes, usd = len(machines.ranks), fleet.offer().usd_per_hour
        price = "" if usd is None else f", at ${usd / nodes:.2f} an hour as before"
        for rank, why in bad.items():
            line.tell(Note(now(), f"rank {rank}: {why}. Its machine is ended, and it gets another{price}", rank))
        machines.become(fleet.replace(bad, telling.say))
        telling.detail = f"{len(bad)} of {nodes} nodes replaced: rank {', '.join(map(str, bad))}"


def _collect(line: Line, machines: Machines, chain: Chain, fleet: Fleet) -> Artifacts:
    """Raises TrainingFailed where something stayed on the nodes of a run that is well: with them it would be gone."""
    with line.stage("collect") as telling:
        artifacts = fetch(machines, chain, line.folder, telling.say)
        if artifacts.missing and not (chain.failed or chain.error):
            what = f"not all could be fetched: {'; '.join(artifacts.missing)}"
            raise TrainingFailed(what, where=str(line.folder), do=what_next(line.request, fleet))
        for text in artifacts.missing:
            line.tell(Note(now(), f"not fetched: {text}"))
        telling.detail = f"{artifacts.files} files, {receipts.size(artifacts.bytes)}"
        return artifacts


def asked_of(teardown: Teardown) -> tuple[Asked, ...]:
    """The teardown's proof, as a receipt keeps it."""
    return tuple(
        Asked(one.asked, *(tuple(f"{thing.kind} {thing.id}" for thing in things) for things in (one.found, one.kept)))
        for one in teardown.answers
    )


def finish(
    line: Line,
    fleet: Fleet,
    run: Run | None,
    artifacts: Artifacts | None,
    *,
    left_up: bool,
    nodes_gone: bool = False,
) -> Receipt:
    """Ends the fleet unless it is left up, and writes the receipt and the report."""
    request = line.request
    lived = fleet.lived(began(line.record.events(request.run_id)))
    facts: dict[str, object] = {}
    if not left_up and request.source == "stack":
        with line.stage("down") as telling:
            teardown = fleet.down(telling.say)
            assert teardown is not None
            telling.detail = f"{teardown.resources} resources removed, nothing left{teardown.exception}"
            facts["resources_removed"] = teardown.resources
            facts["proof"] = asked_of(teardown)
    with line.stage("receipt") as telling:
        events = list(line.record.events(request.run_id))
        if artifacts:
            facts |= {"kept": str(artifacts.folder), "files": artifacts.files, "bytes": artifacts.bytes}
        made = receipts.make_receipt(
            request,
            events,
            money(request, fleet, lived, events),
            left_up=left_up and request.source == "stack",
            nodes_gone=nodes_gone,
            **facts,
        )
        if run and run.before:
            spent = {**run.before, **made.stages}
            made = replace(made, stages=in_order(spent))
        line.folder.mkdir(parents=True, exist_ok=True)
        (line.folder / "receipt.json").write_text(json.dumps(made.as_json(), indent=1))
        write_report(made, line.folder / "report.html")
        telling.detail = str(line.folder / "report.html")
    ended = made.outcome.state if made.outcome else "ended"
    line.record.state(request.run_id, "serves" if made.serves else ended)
    return made
