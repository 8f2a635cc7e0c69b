"""Has each node what Megatron needs? `scripts/check_megatron_env.py`, run in the nodes' own environment."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infra.errors import FleetError
from training.checks import check
from training.connection import Result, quoted
from training.inventory import Inventory
from training.plan import Plan
from training.readiness import Check, Readiness, Ready
from training.remote import Machines
from training.swift.arguments import VERSION

SCRIPT = Path(__file__).parents[1] / "scripts" / "check_megatron_env.py"
#: Each of its imports has 180 s, and they run side by side; a cold disk takes a minute.
ASK_S = 240.0
#: Exit code of a node without the environment.
NO_ENVIRONMENT = 9
#: What is shown of a node where all is well.
SHOWN = ("megatron-core", "mcore-bridge", "transformer-engine", "flash-attn")


def environments(machines: Machines, plan: Plan, ranks: list[int], shared: str) -> dict[int, list[Check]]:
    """Each node's checks. ranks: those that have ms-swift. shared: the folder of all nodes, or ""."""
    answers = machines.run(script(plan, shared), ASK_S, ranks, idempotent=True)
    return {rank: judged(answer) for rank, answer in answers.items()}


def ready(inventory: Inventory, plan: Plan) -> Ready:
    """The nodes of a fleet that is up, by this check alone."""
    with Machines(inventory) as machines:
        found = environments(machines, plan, list(machines.ranks), inventory.shared_path)
    nodes = {rank: Readiness(rank, inventory.nodes[rank].name, tuple(checks)) for rank, checks in found.items()}
    return Ready(nodes, (), (), inventory.master.private_address, 0, {})


def script(plan: Plan, shared: str) -> str:
    """The shell that a node runs: the variables of its rank, and the job's arguments that decide what is needed."""
    env = plan.environment(shared)
    exports = [f"export {name}={quoted(value)}" for name, value in env.items()]
    args = plan.args
    asked = ["--json", "--swift", VERSION, "--nodes", str(plan.nnodes), "--model", str(args.get("model", ""))]
    asked += ["--attention", str(args.get("attention_backend", "unfused" if plan.job.command == "export" else "flash"))]
    asked += ["--fp8", str(args.get("fp8_recipe", "delayed"))] if args.get("fp8_format") else []
    python = f"{quoted(plan.swift_env)}/bin/python"
    there = f"[ -x {python} ] || exit {NO_ENVIRONMENT}"
    return "\n".join([there, *exports, f"{python} -I - {shlex.join(asked)} << 'PY'", SCRIPT.read_text(), "PY"])


def judged(answer: Result | FleetError) -> list[Check]:
    """A node's answer: a check for each that failed, else one that says what there is and what is less than best."""
    if isinstance(answer, FleetError):
        return [check("megatron", False, answer.what, "an answer")]
    if answer.exit_code == NO_ENVIRONMENT:
        do = "fleet run sets the node up with it before it looks."
        return [Check("megatron", False, "no environment yet", "the profile megatron", do)]
    try:
        told: Mapping[str, Any] = json.loads(answer.out)
    except ValueError:
        said = (answer.err.strip() or answer.out.strip() or "nothing").splitlines()[-1]
        return [check("megatron", False, f"check_megatron_env.py said: {said}", "its JSON")]
    rows = told["checks"]
    failed = [one for one in rows if one["state"] == "fail"]
    if failed:
        return [_failed(one) for one in failed]
    found = {one["name"]: one["found"] for one in rows}
    warned = [f"{one['name']} {one['found']} (better: {one['needed']})" for one in rows if one["state"] == "warn"]
    return [check("megatron", True, " · ".join([*(f"{name} {found[name]}" for name in SHOWN), *warned]), "")]


def _failed(row: Mapping[str, str]) -> Check:
    return Check("megatron", False, f"{row['name']} {row['found']}", row["needed"], row["hint"])
