"""Starts one process a rank, and stops them. One path for every source of nodes and every command.

What a rank is lives on its node (`training/onnode.py`), with run.json beside it: no connection keeps it alive.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import yaml

from infra.errors import BadInput, CloudRefused, FleetError
from training.connection import Connection, Result
from training.job import SERVERS
from training.onnode import BUSY, OURS, REAP_S, STOP, SUPERVISE, whole_run
from training.plan import Plan
from training.readiness import Ready
from training.remote import Machines, all_or_raise
from training.run import Run, now
from training.swift.environment import CUDA_HOME

START_S = 60.0


def launch(
    machines: Machines,
    plan: Plan,
    ready: Ready,
    run_id: str,
    *,
    leaves_up: bool = True,
    before: Mapping[str, float] | None = None,
    operator_env: Mapping[str, str] = os.environ,
) -> Run:
    """Starts the first rank, then the rest. A second start is a no-op. If one can't start, the others are stopped.

    leaves_up, before: kept in the run for whoever attaches (see Run).
    operator_env: where the job's secrets come from; they travel on stdin into the trainer's environment, only.
    """
    secrets = _secrets(plan, operator_env)
    run = replace(_run(machines, plan, ready, run_id), leaves_up=leaves_up, before=dict(before or {}))
    started: list[int] = []
    try:
        for ranks in (run.ranks[:1], run.ranks[1:]):
            results = machines.each(lambda c: _start(c, plan, run, secrets), ranks, idempotent=True)
            started += [rank for rank, one in results.items() if not isinstance(one, FleetError)]
            all_or_raise(results)
    except FleetError:
        stop(machines, run, grace_s=5, ranks=started)
        raise
    return run


def stop(
    machines: Machines, run: Run, grace_s: int = 30, ranks: Iterable[int] | None = None, *, asked: bool = True
) -> dict[int, FleetError]:
    """Ends the ranks on all nodes: TERM, after `grace_s` KILL, and a look that nothing is left.

    asked: whether the person wanted it (the outcome is then `stopped`), or another rank's end made it needed.
    Gives the ranks where it failed, with why.
    """
    chosen = [rank for rank in run.ranks if ranks is None or rank in set(ranks)]
    results = machines.each(lambda c: _stop(c, run, grace_s, asked), chosen, idempotent=True)
    return {rank: one for rank, one in results.items() if isinstance(one, FleetError)}


def find_run(machines: Machines, run_id: str) -> Run | None:
    """The run as its nodes know it, or None where they know none.

    Where an operator's machine died in mid-launch, the ranks that run alone are ended and None is given: such a
    gang has trained nothing, and a new launch starts it whole. A rank whose machine was replaced since (its host key is
    another) is no such rank: the others may train.
    """
    answers = machines.each(lambda c: _known(c, run_id), idempotent=True)
    texts = [one[0] for one in answers.values() if not isinstance(one, FleetError) and one[0]]
    if not texts:
        return None
    recorded = Run.from_json(texts[0])
    run = replace(recorded, inventory=machines.inventory)
    keys = {node.rank: node.host_key for node in recorded.inventory.nodes}
    states = {rank: one for rank, one in answers.items() if not isinstance(one, FleetError)}
    if all(states[rank][1] for rank in run.ranks if rank in states and keys.get(rank) == machines.node(rank).host_key):
        return run
    all_or_raise(stop(machines, run, grace_s=5, asked=False))
    aside = 'aside="broken-$(date +%s)"; mkdir "$aside" && mv rank-* "$aside"; rm -f run.json'
    machines.run(f'cd "$HOME/fleet/runs/{run_id}" 2>/dev/null || exit 0; {aside}', START_S)
    return None


def active_runs(machines: Machines) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The runs with a live process on some node, and the nodes that could not be asked, each with why."""
    answers = machines.run(BUSY, START_S, idempotent=True)
    found: set[str] = set()
    unknown = []
    for rank, one in answers.items():
        if isinstance(one, Result):
            found |= {line.removeprefix("busy ") for line in one.out.splitlines()}
        else:
            unknown.append(f"runs on {machines.node(rank).name}: {one}")
    return tuple(sorted(found)), tuple(unknown)


def refuse_busy(name: str, busy: Sequence[str]) -> None:
    """BadInput where runs are on the fleet of that name: two would share its GPUs and ports."""
    if busy:
        first = whole_run(busy[0])
        raise BadInput(
            f"{name} is busy with {', '.join(busy)}",
            do=f"Wait (fleet attach {first}), stop it (fleet stop {first}), or use another fleet.",
        )


def filled(value: Any, base: str, home: str, run_id: str) -> Any:
    """An argument with `{base}`, `{run}` and a leading `~/` as they are on one node."""
    if isinstance(value, str):
        text = value.replace("{base}", base).replace("{run}", run_id)
        return f"{home}/{text[2:]}" if text.startswith("~/") else text
    if isinstance(value, list | tuple):
        return [filled(one, base, home, run_id) for one in value]
    if isinstance(value, Mapping):
        return {key: filled(one, base, home, run_id) for key, one in value.items()}
    return value


def args_yaml(plan: Plan, base: str, home: str, run_id: str) -> str:
    """ms-swift's arguments as its first positional file holds them (4.6.0 has no --config)."""
    args = filled(plan.args, base, home, run_id)
    return yaml.safe_dump(args, sort_keys=False, allow_unicode=True, width=10_000)


def command_sh(plan: Plan, run: Run, rank: int, home: str) -> str:
    """What the supervisor runs. Secrets are in the environment that it inherits, so they are not here."""
    ranks = plan.rank_environment(rank, run.master_addr, run.master_port)
    env = plan.environment(run.base[rank] if run.inventory.shared_path else "")
    exports = [f"export {name}={shlex.quote(value)}" for name, value in {**env, **ranks}.items()]
    command = "exec " + shlex.join(filled(plan.words(ranks), run.base[rank], home, run.id))
    return "\n".join(['cd "$(dirname "$0")" || exit 1', CUDA_HOME, *exports, command, ""])


def start_script(run: Run, rank: int, args: str, command: str, secrets: Mapping[str, str]) -> str:
    """Writes the rank's files and starts its supervisor; ends when the process has a pid."""
    return "\n".join([
        "set -e; umask 077",
        f'run="$HOME/fleet/runs/{run.id}"; dir="$run/rank-{rank}"',
        'mkdir -p "$dir"',
        '[ ! -e "$dir/started" ] || { echo already; exit 0; }',
        f'printf %s {shlex.quote(run.to_json())} > "$run/run.json.{rank}" && mv "$run/run.json.{rank}" "$run/run.json"',
        f'printf %s {shlex.quote(args)} > "$dir/args.yaml"',
        f'printf %s {shlex.quote(command)} > "$dir/command.sh"',
        f'printf %s {shlex.quote(SUPERVISE)} > "$dir/supervise.sh"',
        *(f"export {name}={shlex.quote(value)}" for name, value in secrets.items()),
        "umask 022",
        'setsid nohup bash "$dir/supervise.sh" "$run" "$dir" > /dev/null 2> "$dir/supervise.err" < /dev/null &',
        'for _ in $(seq 200); do [ -s "$dir/pid" ] && exit 0; sleep 0.05; done',
        'cat "$dir/supervise.err" >&2; echo "no process within 10 s" >&2; exit 1',
    ])  # fmt: skip


def _start(connection: Connection, plan: Plan, run: Run, secrets: Mapping[str, str]) -> None:
    node = connection.node
    home = connection.run('printf %s "$HOME"', START_S).must(node, "looking for the home folder").out
    base = run.base[node.rank]
    command = command_sh(plan, run, node.rank, home)
    script = start_script(run, node.rank, args_yaml(plan, base, home, run.id), command, secrets)
    connection.run(script, START_S).must(node, "starting the trainer")


def _known(connection: Connection, run_id: str) -> tuple[str, bool]:
    """run.json as the node has it, and whether the node's rank was started."""
    rank = connection.node.rank
    script = f'cd "$HOME/fleet/runs/{run_id}" 2>/dev/null || exit 0; [ -e rank-{rank}/started ]; echo $?; cat run.json'
    answer = connection.run(script, START_S)
    started, _, text = answer.out.partition("\n")
    return text, started == "0"


def _stop(connection: Connection, run: Run, grace_s: int, asked: bool) -> None:
    rank = connection.node.rank
    script = "\n".join([
        f'dir="$HOME/fleet/runs/{run.id}/rank-{rank}"; grace={grace_s}; reap={REAP_S}; mark={"1" if asked else ""}',
        OURS,
        STOP,
    ])  # fmt: skip
    result = connection.run(script, grace_s + REAP_S + 30)
    if result.exit_code:
        do = f"Kill it by hand; until then GPU memory is held. Processes: {result.err.strip()}"
        raise CloudRefused(f"rank {rank} of {run.id} could not be stopped", where=connection.node.name, do=do)


def _run(machines: Machines, plan: Plan, ready: Ready, run_id: str) -> Run:
    inventory, offer = machines.inventory, plan.offer
    started_at = now()
    master = plan.ranks[0]
    output = filled(plan.output, ready.base[master], ready.home[master], run_id)
    quiet = plan.job.env.get("LOG_LEVEL", "INFO").upper() not in ("INFO", "DEBUG")
    return Run(
        id=run_id,
        inventory=inventory,
        base=ready.base,
        output_dir=output,
        master_addr=machines.node(master).private_address,
        master_port=ready.master_port,
        started_at=started_at,
        nnodes=plan.nnodes,
        nproc_per_node=plan.nproc_per_node,
        world_size=plan.world_size,
        trainer=plan.job.trainer,
        command=plan.job.command,
        ranks=plan.ranks,
        marked=not quiet and plan.job.trainer != "torchrun" and plan.job.command not in SERVERS,
        shared=bool(inventory.shared_path) and output.startswith(ready.base[master] + "/"),
        usd_per_hour=offer.usd_per_hour,
        most_usd=offer.most_usd,
        ends_at=started_at + offer.lifetime if offer.lifetime else None,
        step=plan.name,
        together=plan.together,
        then=tuple(step.name for step in plan.then),
    )


def _secrets(plan: Plan, operator_env: Mapping[str, str]) -> dict[str, str]:
    missing = [name for name in plan.job.secrets if name not in operator_env]
    if missing:
        raise BadInput(
            f"secrets: {', '.join(missing)} is not set here",
            where=str(plan.job_file),
            do=f"export {missing[0]}=... in this shell, or take it out of secrets.",
        )
    return {name: operator_env[name] for name in plan.job.secrets}
