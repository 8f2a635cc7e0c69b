"""fleet new: a job file from a recipe, or from answers to questions, each of which is also a flag."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from infra.errors import BadInput
from training.cli import options

if TYPE_CHECKING:
    from training.choice import Answers
    from training.fleets import Fleet

HUBS = ("modelscope", "huggingface")
BACKENDS = ("swift", "megatron")
TASKS = (
    "sft-lora", "sft-full", "qlora", "pt", "grpo-colocate", "dpo", "kto", "ppo", "gkd", "infer", "deploy", "eval",
    "awq", "merge", "sample",
)  # fmt: skip


@click.command()
@click.argument("recipe", required=False)
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("job.yaml"), show_default=True)
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="args.lora_rank=16; as often as needed.")
@options.where
@click.option("--machine", multiple=True, metavar="'[USER@]IP PEM [SHA256:...]'", help="Of --hosts; again for each.")
@click.option("--first", is_flag=True, help="Of several machines take the first alone; else all of them.")
@click.option("--task", metavar="RECIPE", help="What to do: a recipe, for the fleet that is named.")
@click.option("--model", metavar="ID|FOLDER", help="The model; default: the recipe's.")
@click.option("--data", multiple=True, metavar="FILE|ID", help="The rows; default: the recipe's.")
@click.option(
    "--hub", type=click.Choice(HUBS), help="Where ids of models and data are looked up.  [default: modelscope]"
)
@click.option("--backend", type=click.Choice(BACKENDS), help="Default: megatron for experts and large full jobs.")
@options.json
@click.pass_context
def new(
    ctx: click.Context,
    recipe: str | None,
    output: Path,
    changes: tuple[str, ...],
    stack: str | None,
    hosts: str | None,
    local: bool,
    key: Path | None,
    machine: tuple[str, ...],
    first: bool,
    task: str | None,
    model: str | None,
    data: tuple[str, ...],
    hub: str | None,
    backend: str | None,
    as_json: bool,
) -> None:
    """Write a job file from RECIPE (`fleet recipes` lists them), overwriting nothing.

    --model, --data and --hub change it, --set all else. Without RECIPE it asks, in a terminal: where it runs (machines
    by IP and PEM), the task, model, data, hub, backend; and ends in the job file and its plan. What a flag answers is
    not asked; with --json, or no terminal, give the fleet and --task. Later commands for that job file need no fleet:
    they take this one.
    """
    from training.choice import DATA, Answers, changes_of, proposed
    from training.cli.questions import MINE, joined, where
    from training.recipe import named, write

    if recipe:
        if stack or hosts or local or machine or task or backend:
            do = f"Change it by --set, --model, --data and --hub, or give --task {recipe} instead."
            raise BadInput(f"{recipe} is a recipe: it asks nothing of a fleet, a task or a backend", do=do)
        start = named(recipe)
        if data and start.job.command not in DATA:
            raise BadInput(f"{recipe} takes no rows: {start.command}", where="--data", do="Leave --data out.")
        more = changes_of(start, model or "", data, hub == "huggingface", output.parent)
        files = write(start, output, [*more, *changes])
        _say({"recipe": recipe, "files": [str(one) for one in files], "next": f"fleet check {output}"}, as_json)
        return
    asks = sys.stdin.isatty() and not as_json
    if not asks and not task:
        do = f"Give --task: {', '.join(TASKS)}, or any other of fleet recipes."
        raise BadInput("nothing says what to do: --task is missing, and RECIPE", do=do)
    if machine or (hosts and first):
        hosts = joined(hosts or MINE, machine, first=first, asks=asks)
    elif not (stack or hosts or local):
        if not asks:
            do = "Give -s STACK, --hosts NAME, --machine 'IP PEM' or --local; or a RECIPE alone."
            raise BadInput("nothing says where it runs", do=do)
        stack, hosts, local = where(first)
    fleet = options.fleet_from(stack, hosts, local, key)
    task = task or click.prompt(f"Task ({', '.join(TASKS)}; or a recipe)", default=TASKS[0])
    start = named(task)
    its = str(start.job.args.get("model", ""))
    model = model or (click.prompt("Model, a hub id or a folder", default=its) if asks and its else its)
    rows = _rows(start.job.args) if asks and not data else []
    data = _data(rows) if rows else data
    offer = fleet.shape()
    if asks:
        there = f"{offer.nodes} x {offer.gpus_per_node} GPUs" if offer.gpus_per_node else f"{offer.nodes} x no GPU"
        click.echo(f"Hardware: {there} ({offer.instance_type})")
    hub = hub or (click.prompt("Hub", type=click.Choice(HUBS), default=HUBS[0]) if asks else HUBS[0])
    while rows and (elsewhere := _elsewhere(data, hub)):
        click.echo("\n".join(elsewhere))
        if click.confirm(f"Keep {hub} and these ids", False):
            break
        data = _data(list(data))
    better, why = proposed(task, model, offer)
    if asks and not backend:
        backend = click.prompt(f"Backend ({better}: {why})", type=click.Choice(BACKENDS), default=better)
    answers = Answers(task, model, data, hub == "huggingface", backend or better)  # type: ignore[arg-type]
    _finish(ctx, answers, fleet, output, changes, as_json)


def _finish(
    ctx: click.Context, answers: Answers, fleet: Fleet, output: Path, changes: Sequence[str], as_json: bool
) -> None:
    """The job file, its plan, and of a Megatron job on machines that are there whether they have what it needs."""
    from training.choice import chosen
    from training.chosen import choose
    from training.cli.planning import is_down, made_plan
    from training.cli.stages import plan
    from training.planned import as_json as planned
    from training.recipe import write

    recipe, more = chosen(answers, fleet.shape(), output.parent)
    files = write(recipe, output, [*more, *changes])
    choose(options.project_root(), output, fleet.source, fleet.name)
    told: dict[str, Any] = {"recipe": recipe.name, "files": [str(one) for one in files], "next": f"fleet run {output}"}
    if not as_json:
        _say(told, as_json)
        ctx.invoke(plan, job=output, stack=None, hosts=None, local=False, key=None, as_json=False)
    looked_at = recipe.job.trainer == "megatron" and fleet.source != "stack"  # a stack's nodes are when they are made
    made = made_plan(output, fleet) if as_json or looked_at else None
    if made and as_json:
        told["plan"] = planned(made, fleet, not is_down(fleet))
    if made and looked_at:
        from training.cli.preflight import table
        from training.megatron import ready

        found = ready(fleet.inventory(), made)
        told["megatron"] = [{"node": one.name, "ok": one.ok} for one in found.nodes.values()]
        if not as_json:
            click.echo("\n".join(table(found)[:-1]))
    if as_json:
        _say(told, as_json)


def _say(told: dict[str, Any], as_json: bool) -> None:
    if as_json:
        options.put_json(told)
    else:
        click.echo(f"{' and '.join(told['files'])} written. Next: {told['next']}")


def _rows(args: dict[str, object]) -> list[str]:
    given = args.get("dataset") or args.get("val_dataset") or []
    return [str(one) for one in (given if isinstance(given, list) else [given])]


def _data(default: list[str]) -> tuple[str, ...]:
    return tuple(click.prompt("Data, files or hub ids", default=" ".join(default)).split())


def _elsewhere(data: Sequence[str], hub: str) -> list[str]:
    """Of data ids that are another hub's: what to write instead."""
    from training.swift.data.hub import check_id

    ids = [one.partition("#")[0].partition(":")[0] for one in data if not Path(one.partition("#")[0]).exists()]
    found = [say for one in ids for say in check_id(one, one, use_hf=hub == "huggingface")]
    return [f"{one.what}: {one.fix}" for one in found]
