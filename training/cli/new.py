"""fleet new: a job file from a recipe, or from answers to questions, each of which is also a flag."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from infra.errors import BadInput, FleetError
from training.cli import options

if TYPE_CHECKING:
    from training.choice import Answers
    from training.plan import Offer

HUBS = ("modelscope", "huggingface")
BACKENDS = ("swift", "megatron")
TASKS = (
    "sft-lora", "sft-full", "qlora", "pt", "grpo-colocate", "dpo", "kto", "ppo", "gkd", "infer", "deploy", "eval",
    "awq", "merge", "sample",
)  # fmt: skip
WHERE = ("local", "hosts", "stack")


@click.command()
@click.argument("recipe", required=False)
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("job.yaml"), show_default=True)
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="args.lora_rank=16; as often as needed.")
@options.where
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
    task: str | None,
    model: str | None,
    data: tuple[str, ...],
    hub: str | None,
    backend: str | None,
    as_json: bool,
) -> None:
    """Write a job file from RECIPE (`fleet recipes` lists them), overwriting nothing.

    Without RECIPE it asks, in a terminal: where it runs, the task, model, data, hub and backend; and ends in the job
    file and its plan. What a flag answers is not asked; with --json, or no terminal, give the fleet and --task.
    """
    from training.choice import Answers, proposed
    from training.recipe import named, write

    if recipe:
        if stack or hosts or local or task or model or data or hub or backend:
            raise BadInput(f"{recipe} is a recipe: it asks nothing", do="Change it by --set, or give --task instead.")
        _say(recipe, write(named(recipe), output, changes), f"fleet check {output}", as_json)
        return
    asks = sys.stdin.isatty() and not as_json
    if not (stack or hosts or local):
        if not asks:
            raise BadInput(
                "nothing says where it runs", do="Give -s STACK, --hosts NAME or --local; or a RECIPE alone."
            )
        stack, hosts, local = _where(ctx)
    fleet = options.fleet_from(stack, hosts, local, key)
    offer = fleet.shape()
    if not asks and not task:
        raise BadInput("--task is missing", do=f"Give --task: {', '.join(TASKS)}, or any other of fleet recipes.")
    if asks:
        click.echo(f"{offer.nodes} x {offer.gpus_per_node} GPUs ({offer.instance_type})")
    task = task or click.prompt(f"Task ({', '.join(TASKS)}; or a recipe)", default=TASKS[0])
    start = named(task)
    its = str(start.job.args.get("model", ""))
    model = model or (click.prompt("Model, a hub id or a folder", default=its) if asks and its else its)
    if asks and not data and (rows := _rows(start.job.args)):
        data = tuple(click.prompt("Data, files or hub ids", default=" ".join(rows)).split())
    hub = hub or (click.prompt("Hub", type=click.Choice(HUBS), default=HUBS[0]) if asks else HUBS[0])
    better, why = proposed(task, model, offer)
    if not backend:
        backend = (
            click.prompt(f"Backend ({better}: {why})", type=click.Choice(BACKENDS), default=better) if asks else better
        )
    answers = Answers(task, model, data, hub == "huggingface", backend)  # type: ignore[arg-type]
    _finish(ctx, answers, offer, output, changes, stack, hosts, local, key, as_json)


def _finish(
    ctx: click.Context,
    answers: Answers,
    offer: Offer,
    output: Path,
    changes: Sequence[str],
    stack: str | None,
    hosts: str | None,
    local: bool,
    key: Path | None,
    as_json: bool,
) -> None:
    from training.choice import chosen
    from training.cli.stages import plan
    from training.recipe import write

    recipe, more = chosen(answers, offer, output.parent)
    files = write(recipe, output, [*more, *changes])
    where = f"-s {stack}" if stack else f"--hosts {hosts}" if hosts else "--local"
    _say(recipe.name, files, f"fleet {'plan' if as_json else 'run'} {output} {where}", as_json)
    if not as_json:
        ctx.invoke(plan, job=output, stack=stack, hosts=hosts, local=local, key=key, as_json=False)


def _say(recipe: str, files: Sequence[Path], after: str, as_json: bool) -> None:
    if as_json:
        options.put_json({"recipe": recipe, "files": [str(one) for one in files], "next": after})
    else:
        click.echo(f"{' and '.join(str(one) for one in files)} written. Next: {after}")


def _rows(args: dict[str, object]) -> list[str]:
    given = args.get("dataset") or args.get("val_dataset") or []
    return [str(one) for one in (given if isinstance(given, list) else [given])]


def _where(ctx: click.Context) -> tuple[str | None, str | None, bool]:
    """Local, machines by IP and PEM, or a stack that fleet makes: -s, --hosts and --local as a person answers them."""
    from infra.settings import known_stacks

    click.echo(
        "local: this machine. hosts: EC2 or other machines that run. stack: EC2 machines that fleet makes and ends."
    )
    kind = click.prompt("Where", type=click.Choice(WHERE), default="stack")
    if kind == "local":
        return None, None, True
    if kind == "stack":
        there = known_stacks(options.project_root())
        return click.prompt("Stack", type=click.Choice(there)), None, False
    return None, _machines(ctx), False


def _machines(ctx: click.Context) -> str:
    """A fleet of own machines, with those added that the user names; or the first of them alone."""
    from training.hosts import HostsFile, read_hosts, write_hosts

    root = options.project_root()
    name: str = click.prompt("Name of this fleet", default="mine")
    known = read_hosts(root).fleets.get(name, ())
    while not known or click.confirm("Add another machine"):
        _add(ctx, name)
        known = read_hosts(root).fleets.get(name, ())
    if len(known) == 1 or click.confirm(
        f"Distribute over all {len(known)} (no: only the first, {known[0].address})", True
    ):
        return name
    alone = f"{name}-first"
    write_hosts(root, HostsFile(fleets={**read_hosts(root).fleets, alone: known[:1]}))
    return alone


def _add(ctx: click.Context, name: str) -> None:
    """Asks until a machine answers."""
    from training.cli.hosts import add

    while True:
        answer = click.prompt("[USER@]IP and PEM file").split()
        if len(answer) != 2:
            click.echo("Both, with a space between: 203.0.113.7 ~/key.pem")
            continue
        user, _, address = answer[0].rpartition("@")
        try:
            ctx.invoke(add, name=name, address=address, key=Path(answer[1]), user=user or "ubuntu", port=22)
        except FleetError as error:
            click.echo(f"{error}\nVerify the IP, the PEM file, and that the security group lets port 22 in.")
        else:
            return
