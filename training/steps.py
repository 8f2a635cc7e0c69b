"""The steps of a run on a fleet that is up: each begins when the one before has ended well, and is followed.

A server is a step that is done when its endpoint answers. It goes on beside the steps that name it and is ended after
the last of them; one that is the last step stays. Carried out again, what has happened already costs one look.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from infra.errors import BadInput, CloudRefused, TrainingFailed
from training import checkpoints
from training.beside import Beside
from training.chain import served_until
from training.collect import Artifacts, collect
from training.endpoints import answering
from training.launch import find_run, launch, stop
from training.meeting import free_port
from training.onnode import step_run
from training.plan import Plan
from training.readiness import Ready
from training.references import filled_in, named_in
from training.remote import Machines, all_or_raise
from training.run import Note, Outcome, Run, now
from training.telling import Line, Telling
from training.watch import watch, watch_once

ASK_S = 60.0
GRACE_S = 10
#: What steps left, by step and key.
Left = dict[tuple[str, str], Any]


@dataclass(frozen=True)
class Ended:
    """A step as far as it came. outcome: `running` of a server that answers."""

    run: Run
    outcome: Outcome

    @property
    def well(self) -> bool:
        return self.outcome.state in ("succeeded", "running")


@dataclass(frozen=True)
class Chain:
    """The steps that were started, in their order. error: why one of them left nothing to go on with."""

    ended: tuple[Ended, ...]
    error: TrainingFailed | None = None

    @property
    def failed(self) -> Ended | None:
        return next((one for one in self.ended if not one.well), None)


def folder_of(folder: Path, run: Run) -> Path:
    """This machine's folder of a step: the whole run's for the first, within it for the others."""
    return folder / run.step if run.id.endswith(f".{run.step}") else folder


def started(machines: Machines, first: Run) -> list[Run]:
    """The steps of a run that its nodes know, in their order."""
    later = (find_run(machines, step_run(first.id, name)) for name in first.then)
    return [first, *(run for run in later if run)]


def follow(line: Line, machines: Machines, first: Run, plan: Plan | None, done: Collection[str]) -> Chain:
    """All steps, from where the run has come to. done: the stages that are over, by the record.

    plan: None where another clone began it: then a step that no node knows can't be started, and CloudRefused says so.
    """
    if plan and tuple(step.name for step in plan.then) != first.then:
        steps = ", ".join((first.step, *first.then))
        what = f"{first.id} began with the steps {steps}: the job file has others now"
        raise BadInput(what, where=str(plan.job_file), do="Put them back, or start anew: fleet run JOB.")
    ended: list[Ended] = []
    left: Left = {}
    for number, name in enumerate((first.step, *first.then)):
        step = plan.steps[number] if plan else None
        until = served_until([one.job for one in plan.steps], number) if plan else None
        if plan and until is not None and plan.steps[until].name in done and step and step.job.serves:
            ended.append(_past(line, machines, first, name))
            continue
        try:
            with line.stage(name) as telling:
                run = first if number == 0 else _go_on(machines, first, name, step, left)
                outcome = _followed(line, machines, run, ended)
                ended.append(Ended(run, outcome))
                telling.detail, telling.failed = outcome.state, not ended[-1].well
                telling.stopped = outcome.state == "stopped"
                if ended[-1].well:
                    left |= _leaves(line, machines, ended[-1], plan, telling)
        except TrainingFailed as error:
            _end(machines, ended, lambda _: True)
            return Chain(tuple(ended), error)
        if not ended[-1].well:
            ended = _blamed(line, machines, ended)
            _end(machines, ended, lambda _: True)
            break
        over = _over(plan, number) if plan else ()
        ended = _end(machines, ended, lambda at, over=over: at in over)  # type: ignore[misc]
    return Chain(tuple(ended))


def fetch(machines: Machines, chain: Chain, folder: Path, say: Callable[[str], None]) -> Artifacts:
    """As `collect`, of every step."""
    each = [collect(machines, one.run, one.outcome, folder_of(folder, one.run), say) for one in chain.ended]
    missing = tuple(text for one in each for text in one.missing)
    files, size = sum(one.files for one in each), sum(one.bytes for one in each)
    return Artifacts(each[0].folder if len(each) == 1 else folder, files, size, not missing, missing)


def ready_for(machines: Machines, plan: Plan, ready: Ready) -> Ready:
    """With a port where the step's own ranks meet: preflight looked for one on node 0."""
    master = plan.ranks[0]
    address = machines.node(master).private_address
    return replace(ready, master_addr=address, master_port=free_port(machines, master))


def _go_on(machines: Machines, first: Run, name: str, step: Plan | None, left: Left) -> Run:
    """A later step as its nodes know it, or started."""
    if run := find_run(machines, step_run(first.id, name)):
        return run
    if step is None:
        do = "Attach from the clone that started it: the job file is there."
        raise CloudRefused(f"{first.id} has come to {name}, and the nodes don't know what that is", do=do)
    plan = given(step, left)
    homes = all_or_raise(machines.run('printf %s "$HOME"', ASK_S, idempotent=True))
    home = tuple(homes[rank].out for rank in machines.ranks)
    ready = ready_for(machines, plan, Ready({}, home, first.base, "", 0, {}))
    return launch(machines, plan, ready, step_run(first.id, name), leaves_up=first.leaves_up)


def given(step: Plan, left: Mapping[tuple[str, str], Any]) -> Plan:
    """The step with what earlier ones left in the place of its references. Pure."""

    def of(name: str, key: str) -> Any:
        return left.get((name, key))

    env = {name: str(value) for name, value in filled_in(step.job.env, of).items()}
    return replace(step, args=filled_in(step.args, of), job=step.job.model_copy(update={"env": env}))


def _followed(line: Line, machines: Machines, run: Run, before: Collection[Ended]) -> Outcome:
    servers = [one.run for one in before if one.run.serves and one.outcome.state == "running"]
    beside = Beside(machines, [(one, folder_of(line.folder, one)) for one in servers])
    for event in watch(machines, run, folder_of(line.folder, run), until_serving=run.serves, beside=beside):
        line.tell(event)
        if isinstance(event, Outcome):
            return event
    raise CloudRefused(f"{run.id} gave no outcome", do=f"fleet attach {line.request.run_id}")


def _leaves(line: Line, machines: Machines, one: Ended, plan: Plan | None, telling: Telling) -> Left:
    """What later steps may name of a step that ended well. Raises TrainingFailed where there is no such thing."""
    name = one.run.step
    if one.run.serves:
        found = answering(machines, one.run, one.outcome)
        for endpoint in found:
            line.tell(endpoint)
        telling.detail = f"{', '.join(endpoint.url for endpoint in found)} answers"
        parts = [urlsplit(endpoint.url) for endpoint in found]
        several: dict[str, list[Any]] = {
            "url": [one.url for one in found],
            "host": [one.hostname for one in parts],
            "port": [one.port for one in parts],
        }
        return {(name, key): each if len(each) > 1 else each[0] for key, each in several.items()}
    steps = plan.steps if plan else ()
    needed = {key for step in steps for of, key in named_in([step.job.args, step.job.env]) if of == name}
    if not needed:
        return {}
    if not any(step.name == name and step.job.trains for step in steps):
        return {(name, "output"): one.run.output_dir}
    there = checkpoints.find(machines, one.run, one.outcome)
    values = {"best_checkpoint": there.best, "last_checkpoint": there.last, "output": there.folder}
    return {(name, key): value for key, value in values.items()}


def _over(plan: Plan, number: int) -> tuple[int, ...]:
    """The servers that no step after `number` names, and that one up to it did."""
    jobs = [one.job for one in plan.steps]
    return tuple(at for at in range(number + 1) if served_until(jobs, at) == number)


def _past(line: Line, machines: Machines, first: Run, name: str) -> Ended:
    """A server that was ended, since the steps that named it are over."""
    run = first if name == first.step else find_run(machines, step_run(first.id, name))
    if run is None:
        raise CloudRefused(f"the nodes know no {step_run(first.id, name)} any more", do="fleet nodes shows them.")
    return _closed(Ended(run, watch_once(machines, run, folder_of(line.folder, run))))


def _closed(one: Ended) -> Ended:
    return replace(one, outcome=replace(one.outcome, state="succeeded"))


def _end(machines: Machines, ended: list[Ended], which: Callable[[int], bool]) -> list[Ended]:
    """Ends the servers among these steps whose number `which` picks."""
    out = []
    for number, one in enumerate(ended):
        if one.run.serves and one.outcome.state == "running" and which(number):
            all_or_raise(dict(stop(machines, one.run, GRACE_S, asked=False)))
            one = _closed(one)
        out.append(one)
    return out


def _blamed(line: Line, machines: Machines, ended: list[Ended]) -> list[Ended]:
    """With servers as they stand now: one that died first is why the step that asked it failed."""
    out = []
    for one in ended:
        if one.run.serves and one.outcome.state == "running":
            stands = watch_once(machines, one.run, folder_of(line.folder, one.run))
            if stands.state != "running":
                line.tell(Note(now(), f"{one.run.step} had ended meanwhile: {stands.why}"))
                one = replace(one, outcome=stands)
        out.append(one)
    return out
