"""What is wrong with the steps of a job beside each other: names, references, ranks, servers. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from infra.written import nearest
from training.findings import Finding
from training.job import Job
from training.references import ADDRESS, leaves, named_in, uses

#: Names of stages that no step may have: a run's record tells both.
STAGES = ("plan", "up", "bootstrap", "preflight", "launch", "collect", "down", "receipt")
#: Of uvicorn; at a higher one it does not say where it listens.
LOG_LEVELS = ("info", "debug", "trace")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
GPUS = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Shape:
    """Of the fleet: its nodes, GPUs of each, and whether they share a folder."""

    nodes: int
    gpus: int
    shared: bool


def place_of(number: int) -> str:
    """Where the keys of a step stand in the job file."""
    return f"then.{number - 1}." if number else ""


def served_until(steps: Sequence[Job], number: int) -> int | None:
    """The last step that names the server `steps[number]`: it is ended after that; None where no step does."""
    name = steps[number].called
    return max((later for later in range(number + 1, len(steps)) if name in uses(steps[later])), default=None)


def ranks_of(step: Job, nodes: int, gpus: int) -> tuple[int, ...]:
    """The fleet's ranks that get a process of a step; the first of them is its NODE_RANK 0. gpus: of a node."""
    alone = not step.distributed or answers_apart(step, gpus)
    return step.ranks or ((0,) if alone else tuple(range(nodes)))


def answers_apart(step: Job, gpus: int) -> bool:
    """Whether each of several ranks would keep its share of the answers to itself, and all but rank 0's be lost.

    `swift infer` divides its rows among the ranks and gathers by accelerate's `gather_object`, which without GPUs takes
    each rank for the only one, whatever ddp_backend says (JsonlWriter, swift/utils/io_utils.py; ms-swift 4.6.0).
    """
    return not gpus and (step.trainer, step.command) == ("swift", "infer")


def check(job: Job, fleet: Shape | None = None) -> list[Finding]:
    """What is wrong with a job's steps. fleet: None where none is named: its shape is not looked at."""
    steps = job.steps
    found = list(_names(steps))
    for number, step in enumerate(steps):
        found += [*_references(steps, number, step), *_server(steps, number, step), *_layout(number, step, fleet)]
        if fleet:
            found += [*_reached(steps, number, fleet), *_crowded(steps, number, fleet)]
    return found


def _names(steps: Sequence[Job]) -> Iterator[Finding]:
    seen: set[str] = set()
    for number, step in enumerate(steps):
        name, where = step.called, f"{place_of(number)}name"
        if name in STAGES:
            yield Finding("error", where, f"{name} is a stage of every run", "Give the step another name")
        if name in seen:
            yield Finding("error", where, f"two steps are called {name}", "Give one of them a name of its own")
        seen.add(name)


def _references(steps: Sequence[Job], number: int, step: Job) -> Iterator[Finding]:
    if len(steps) == 1:
        return  # braces with a dot in them may be anything
    before = {one.called: one for one in steps[:number]}
    values = {**{f"args.{key}": one for key, one in step.args.items()}, **{f"env.{k}": v for k, v in step.env.items()}}
    for where, value in values.items():
        for name, key in named_in(value):
            problem = _problem(name, key, before, [one.called for one in steps[number:]])
            if problem:
                yield Finding("error", f"{place_of(number)}{where}", f"{{{name}.{key}}}: {problem[0]}", problem[1])


def _problem(name: str, key: str, before: Mapping[str, Job], later: Collection[str]) -> tuple[str, str] | None:
    if name in before:
        known = leaves(before[name])
        guess = nearest(key, known)
        fix = f"Did you mean {guess}?" if guess else f"It has {', '.join(known)}"
        return None if key in known else (f"{name} has no {key}", fix)
    if name in later:
        return f"{name} does not come before it", "A step takes from earlier ones only"
    guess = nearest(name, before)
    there = f"Before it: {', '.join(before)}" if before else "It is the first step"
    return f"no step is called {name}", f"Did you mean {guess}?" if guess else there


def _server(steps: Sequence[Job], number: int, step: Job) -> Iterator[Finding]:
    if not step.serves:
        return
    place = place_of(number)
    if number < len(steps) - 1 and served_until(steps, number) is None:
        keys = " or ".join(f"{{{step.called}.{key}}}" for key in ADDRESS)
        what = f"no later step names what {step.called} serves"
        yield Finding("error", f"{place}command", what, f"Use {keys} there, or make it the last step")
    host = str(step.args.get("host", ""))
    ranks = set(step.ranks or (0,))
    away = [one.called for one in steps[number + 1 :] if step.called in uses(one) and set(one.ranks or (0,)) - ranks]
    if host in LOOPBACK and away:
        fix = "host: 0.0.0.0, which only the fleet's own nodes reach"
        yield Finding("error", f"{place}args.host", f"{host} is out of reach for {away[0]} on another node", fix)
    level = str(step.args.get("log_level", "info"))
    if level not in LOG_LEVELS:
        fix = f"log_level: info: {step.command} says there which port it got"
        yield Finding("error", f"{place}args.log_level", f"at {level} nobody can tell where it listens", fix)


def _layout(number: int, step: Job, fleet: Shape | None) -> Iterator[Finding]:
    where = f"{place_of(number)}ranks"
    if len(step.ranks) > 1 and not (step.distributed or step.serves):
        yield Finding("error", where, f"{step.command} runs on one node", f"ranks: [{step.ranks[0]}]")
    if fleet and answers_apart(step, fleet.gpus) and (len(step.ranks) > 1 or (step.nproc_per_node or 1) > 1):
        what = "without GPUs ms-swift gathers no answers: all but those of its first process would be lost"
        several = len(step.ranks) > 1
        key, fix = ("ranks", f"ranks: [{step.ranks[0]}]") if several else ("nproc_per_node", "nproc_per_node: 1")
        yield Finding("error", f"{place_of(number)}{key}", what, fix)
    if fleet and (beyond := [rank for rank in step.ranks if rank >= fleet.nodes]):
        there = f"0 to {fleet.nodes - 1}" if fleet.nodes > 1 else "0 alone"
        yield Finding("error", where, f"the fleet has no rank {', '.join(map(str, beyond))}", f"It has {there}")


def _reached(steps: Sequence[Job], number: int, fleet: Shape) -> Iterator[Finding]:
    """Whether the nodes of a step have the files that it takes: of nodes that share none, one has them."""
    step, before = steps[number], {one.called: one for one in steps[:number]}
    for name, key in sorted(set(named_in([step.args, step.env]))):
        of = before.get(name)
        if of is None or of.serves or fleet.shared or str(of.args.get("output_dir", "")).startswith(("/", "~")):
            continue
        has = ranks_of(of, fleet.nodes, fleet.gpus)[0]
        if ranks_of(step, fleet.nodes, fleet.gpus) != (has,):
            what = f"{{{name}.{key}}} is on node {has} alone: the nodes share no folder"
            yield Finding("error", f"{place_of(number)}ranks", what, f"ranks: [{has}], or sharedFiles: true of a stack")


def _crowded(steps: Sequence[Job], number: int, fleet: Shape) -> Iterator[Finding]:
    """Whether what runs beside a server wants the server's GPUs."""
    server, gpus = steps[number], fleet.gpus
    last = served_until(steps, number) if server.serves and fleet.gpus else None
    for later in range(number + 1, (last or number) + 1):
        step = steps[later]
        both = set(ranks_of(server, fleet.nodes, gpus)) & set(ranks_of(step, fleet.nodes, gpus))
        if both and (step.distributed or step.serves) and not (GPUS in server.env and GPUS in step.env):
            what = f"{server.called} holds the GPUs of rank {', '.join(map(str, sorted(both)))} meanwhile"
            fix = f"Give {step.called} other ranks, or both a share: {GPUS} in env, and nproc_per_node"
            yield Finding("warning", f"{place_of(later)}ranks", what, fix)
