"""Do all ranks meet in torch, and how fast? One all-reduce over the fleet, in the nodes' own environment.

It is what training does first, so what would hang there shows here, within a time and with its node. Detached: an
operator's machine that dies leaves processes that end by themselves.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from infra.errors import FleetError
from training.checks import check
from training.connection import Connection, Result, quoted
from training.plan import Plan
from training.readiness import Check
from training.remote import Machines

#: Until all ranks have met, torch's import from a cold disk included; and until everything is over.
MEET_S, MOST_S = 90, 150
ASK_S = 30.0

#: Bus bandwidth as nccl-tests counts it (doc/PERFORMANCE.md): bytes / seconds * 2 (n - 1) / n.
SCRIPT = """
import os, sys, time
from datetime import timedelta
import torch, torch.distributed as dist
print("torch", flush=True)
world, gpu = int(os.environ["WORLD_SIZE"]), torch.cuda.is_available()
if gpu:
    torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
dist.init_process_group("nccl" if gpu else "gloo", timeout=timedelta(seconds=float(sys.argv[1])))
data = torch.ones((1 << 30 if gpu else 1 << 22) // 4, device="cuda" if gpu else "cpu")
dist.all_reduce(data)
assert data[0].item() == data[-1].item() == world, f"the sum is {data[0].item()}, not {world}"
data.zero_()
rounds, wait = (10, torch.cuda.synchronize) if gpu else (3, lambda: None)
dist.all_reduce(data)
wait()
began = time.perf_counter()
for _ in range(rounds):
    dist.all_reduce(data)
wait()
seconds = (time.perf_counter() - began) / rounds
print("bus", data.nbytes / seconds * 2 * (world - 1) / world / 1e9, flush=True)
dist.destroy_process_group()
"""

#: Every process of this node under its own time limit; `done` comes last. Returns at once: more nodes than connections
#: act at a time, and none may wait for one that has not begun.
START = r"""
find "$HOME/fleet" -maxdepth 1 -name 'preflight-*' -mmin +10 -exec rm -rf {} + 2>/dev/null
dir="$HOME/fleet/preflight-$nonce"; mkdir -p "$dir"; cd "$dir" || exit 1
printf %s "$script" > all_reduce.py
cat > start.sh <<'END'
for local in $(seq 0 $((local_size - 1))); do
  ( RANK=$((first + local)) LOCAL_RANK=$local timeout -k 5 "$most" "$python" all_reduce.py "$meet" \
      > $local.log 2>&1 < /dev/null; echo $? > $local.code ) &
done
wait
: > done
END
export local_size first most meet python
setsid nohup bash start.sh > /dev/null 2>&1 < /dev/null &
"""

WAIT = r"""
dir="$HOME/fleet/preflight-$nonce"; cd "$dir" || exit 1
for _ in $(seq $((5 * (most + 10)))); do [ -e done ] && break; sleep 0.2; done
for local in $(seq 0 $((local_size - 1))); do
  echo "== $local $(cat $local.code 2>/dev/null || echo 124)"
  tail -n 30 $local.log | tail -c 4000
  echo
done
cd /; rm -rf "$dir"
"""

FREE_PORT = "python3 -c 'import socket; print(socket.create_server((\"\", 0)).getsockname()[1])'"


@dataclass(frozen=True)
class Process:
    """What one process gave. stage: how far it came: "", torch (imported), bus (all-reduced)."""

    code: int
    stage: str
    gb_per_s: float
    last: str


def pays(plan: Plan, nodes: int) -> bool:
    """Whether there is anything to meet: several processes, that train as one."""
    return plan.job.distributed and nodes * _processes(plan) > 1


def all_reduce(machines: Machines, plan: Plan, nonce: str) -> dict[int, list[Check]]:
    """Each node's check. Takes as long as torch's import where all is well, `MOST_S` where ranks don't meet."""
    master = machines.node(machines.ranks[0])
    port = machines.on(
        master.rank, lambda c: c.run(FREE_PORT, ASK_S).must(c.node, "looking for a free port")
    ).out.strip()
    processes = _processes(plan)
    shared = {
        **plan.job.env,
        "MASTER_ADDR": master.private_address,
        "MASTER_PORT": port,
        "WORLD_SIZE": str(len(machines.ranks) * processes),
    }
    exports = "\n".join(f"export {name}={shlex.quote(value)}" for name, value in shared.items())
    python = quoted(f"{plan.swift_env}/bin/python")
    values = f"nonce={nonce}; python={python}; meet={MEET_S}; most={MOST_S}; local_size={processes}"

    def start(connection: Connection) -> Result:
        first = machines.ranks.index(connection.node.rank) * processes
        script = f"{exports}\n{values}; first={first}; script={shlex.quote(SCRIPT)}\n{START}"
        return connection.run(script, ASK_S).must(connection.node, "starting the all-reduce")

    answers = machines.each(start)
    started = [rank for rank, one in answers.items() if isinstance(one, Result)]
    answers |= machines.run(f"{values}\n{WAIT}", MOST_S + ASK_S, started)
    whole = bool(master.efa) and len(machines.ranks) > 1 and processes == master.gpus
    floor = floors().get(master.instance_type) if whole else None
    return {rank: [one] for rank, one in judged({rank: read(one) for rank, one in answers.items()}, floor).items()}


def read(answer: Result | FleetError) -> tuple[Process, ...]:
    """A node's processes in order; one that failed where the node gave no answer."""
    if isinstance(answer, FleetError):
        return (Process(255, "", 0.0, answer.what),)
    parts = re.split(r"^== \d+ (\d+)\n", answer.out, flags=re.MULTILINE)
    found = tuple(_process(int(code), text) for code, text in zip(parts[1::2], parts[2::2], strict=True))
    return found or (_process(answer.exit_code or 255, answer.err),)


def judged(nodes: Mapping[int, tuple[Process, ...]], floor: float | None) -> dict[int, Check]:
    """What all nodes' processes mean. Pure. floor: GB/s, None where there is none.

    Where a process ended before it could call the others, its node is what is bad: the others waited for it.
    """
    needed = "every rank meets the others" + (f", {floor:g} GB/s or more" if floor else "; no floor is known")
    failed = {rank: next((one for one in some if one.code), None) for rank, some in nodes.items()}
    alone = {rank for rank, one in failed.items() if one and not one.stage}
    slowest = min(process.gb_per_s for some in nodes.values() for process in some)
    checks = {}
    for rank in nodes:
        one = failed[rank]
        if one and (not alone or rank in alone):
            late = one.code in (124, 137)
            checks[rank] = check("all-reduce", False, f"not met in {MOST_S} s" if late else one.last, needed)
        elif not any(failed.values()):
            found = f"{slowest:.3g} GB/s over {sum(map(len, nodes.values()))} ranks"
            checks[rank] = check("all-reduce", floor is None or slowest >= floor, found, needed)
    return checks


@cache
def floors() -> Mapping[str, float]:
    """GB/s of bus bandwidth by instance type."""
    found: Mapping[str, float] = yaml.safe_load(Path(__file__).with_name("floors.yaml").read_text(encoding="utf-8"))
    return found


def _processes(plan: Plan) -> int:
    """Of each node: as training has them with GPUs; on CPUs one, which proves the same."""
    return plan.nproc_per_node if plan.offer.gpus_per_node else 1


def _process(code: int, text: str) -> Process:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    bus = re.search(r"^bus ([\d.e+-]+)$", text, re.MULTILINE)
    stage = "bus" if bus else "torch" if "torch" in lines else ""
    errors = [line for line in lines if re.match(r"[\w.]*(Error|Exception|Interrupt)\b", line)]
    last = (errors or lines or [f"exit code {code}"])[-1]
    return Process(code, stage, float(bus[1]) if bus else 0.0, last[:200])
