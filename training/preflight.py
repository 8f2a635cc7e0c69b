"""Can these nodes train this plan, together? Asked before a rank starts, on all nodes at once, fast things first.

A gang that cannot meet waits 900 s in torchrun's rendezvous and then says little: every cause of that which
can be seen beforehand is looked for here, and named with its node.
"""

from __future__ import annotations

import json
import secrets
import shlex
import statistics
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from infra.errors import FleetError
from training import hardware
from training.allreduce import all_reduce, pays
from training.checks import ANSWER, check
from training.connection import Connection, quoted
from training.inventory import Node
from training.launch import refuse_busy
from training.meeting import meet, same_folder
from training.megatron import environments
from training.onnode import BUSY
from training.pairs import all_pairs
from training.plan import Plan
from training.readiness import Check, Readiness, Ready
from training.remote import Machines

ASK_S = 60.0
CLOCK_SKEW_S = 5.0
CLOCK_SAMPLES = 3
DISK_GIB, DISK_GIB_NO_GPU = 10, 2
#: NCCL's ranks on one node meet there; Docker's default of 64 MiB ends in a bus error.
SHM_GIB = 1

VERSIONS = """
import hashlib, importlib.metadata as m, importlib.util as u, json, pathlib, platform, re
found = {d.metadata["Name"].lower().replace("_", "-"): d.version for d in m.distributions() if d.metadata["Name"]}
text = "\\n".join(sorted(f"{k}=={v}" for k, v in found.items()))
main = {k: found.get(k, "") for k in ("ms-swift", "torch", "transformers")}
torch = u.find_spec("torch")
cuda = None
if torch:
    told = re.search(r"^cuda.* = '(.+)'", pathlib.Path(torch.origin).with_name("version.py").read_text(), re.M)
    cuda = told[1] if told else ""
print(json.dumps({"cuda": cuda, "python": platform.python_version(), **main,
    "packages": hashlib.sha256(text.encode()).hexdigest()[:12]}))
"""

ASK = r"""
echo "home $HOME"
if mkdir -p -- "$base" 2>/dev/null && cd -- "$base"; then
  echo "base $(pwd -P)"
  echo "disk $(df -Pk . | awk 'NR==2 {print $4}')"
fi
cd /
echo "shm $(df -Pk /dev/shm 2>/dev/null | awk 'NR==2 {print $2}')"
echo "gpus $(timeout 20 nvidia-smi -L 2>/dev/null | grep -c '^GPU ')"
[ -x "$environment/bin/$trainer" ] && echo "trainer 1"
echo "versions $("$environment/bin/python" -I -c "$versions" 2>/dev/null)"
n=0
for path in "${paths[@]}"; do
  if [ -r "$path" ] && { [ ! -d "$path" ] || [ -x "$path" ]; }; then
    echo "path$n $(find -L "$path" -type f -printf '%s\n' 2>/dev/null | awk '{s += $1} END {printf "%d", s}')"
  fi
  n=$((n + 1))
done
"""


@dataclass(frozen=True)
class Asked:
    """A node's answers: `said` by ASK's keys, busy runs, its clock minus ours in seconds, a sample a time, and what its
    hardware said."""

    said: Mapping[str, str]
    busy: tuple[str, ...]
    skews_s: tuple[float, ...]
    hardware: hardware.Hardware = field(default_factory=hardware.Hardware)


def preflight(machines: Machines, plan: Plan, base: str = "", skip: Collection[str] = ()) -> Ready:
    """What was checked on each node; BadInput with a line for each check that failed, or that names an active run.

    One bad node does not stop the others' checks: what could not be asked is itself a check that failed.
    base: what `ship` gave; by default the shared folder or the nodes' own `~/fleet`. skip: names of `training.checks`.
    """
    return look(machines, plan, base, skip).require()


def look(machines: Machines, plan: Plan, base: str = "", skip: Collection[str] = ()) -> Ready:
    """As `preflight`, with what failed as values."""
    inventory = machines.inventory
    script = _script(plan, base or inventory.shared_path or "~/fleet")
    answers = machines.each(lambda c: _ask(c, script), idempotent=True)
    asked = {rank: one for rank, one in answers.items() if not isinstance(one, FleetError)}
    refuse_busy(inventory.name, sorted({run for one in asked.values() for run in one.busy}))
    checks: dict[int, list[Check]] = {rank: [] for rank in answers}
    for rank, answer in answers.items():
        if isinstance(answer, FleetError):
            checks[rank].append(Check(ANSWER, False, answer.what, "an answer", answer.do))
            continue
        checks[rank] += node_checks(plan, machines.node(rank), answer, asked.get(0, answer))
    megatron = next((step for step in plan.steps if step.job.trainer == "megatron"), None)
    if megatron and "megatron" not in skip:
        able = [rank for rank, one in asked.items() if "trainer" in one.said]
        for rank, found in environments(machines, megatron, able, inventory.shared_path).items():
            checks[rank] += found
    master_port = 0
    if all(rank in asked for rank in machines.ranks):
        nonce = secrets.token_hex(8)
        master_port, met = meet(machines, inventory.master.private_address, nonce)
        folders = one_folder(plan, inventory.shared_path) if "shared-folder" not in skip else []
        same = [same_folder(machines, folder, nonce) for folder in folders]
        pairs = all_pairs(machines, nonce) if "ports" not in skip else {}
        for rank in checks:
            checks[rank] += [*met[rank], *(one for found in same for one in found[rank]), *pairs.get(rank, [])]
        checks = {rank: [one for one in found if one.name not in skip] for rank, found in checks.items()}
        well = bool(master_port) and all(one.ok for found in checks.values() for one in found)
        if well and "all-reduce" not in skip and pays(plan, len(checks)):
            for rank, last in all_reduce(machines, plan, nonce).items():
                checks[rank] += last
    return Ready(
        nodes={rank: Readiness(rank, machines.node(rank).name, tuple(found)) for rank, found in checks.items()},
        home=tuple(asked[r].said.get("home", "") if r in asked else "" for r in machines.ranks),
        base=tuple(asked[r].said.get("base", "") if r in asked else "" for r in machines.ranks),
        master_addr=inventory.master.private_address,
        master_port=master_port,
        skew_s={rank: statistics.median(one.skews_s) for rank, one in asked.items()},
        skipped=tuple(skip),
    )


def one_folder(plan: Plan, shared_path: str) -> list[str]:
    """The folders that must be one on all nodes: the shared one, and the one in which Megatron's output lies, for its
    ranks read each other's pieces of a checkpoint. Pure."""
    folders = [shared_path] if shared_path else []
    output = str(plan.args.get("output_dir", ""))
    outside = output.startswith(("/", "~")) and not (shared_path and f"{output}/".startswith(f"{shared_path}/"))
    if plan.job.trainer == "megatron" and plan.nnodes > 1 and outside:
        folders.append(output.rstrip("/").rpartition("/")[0] or "/")
    return folders


def node_checks(plan: Plan, node: Node, asked: Asked, first: Asked) -> list[Check]:
    """What one node's answers mean. Pure. first: node 0's answers, which the others are compared with."""
    said = asked.said
    gpus, found_gpus = node.gpus, int(said.get("gpus") or 0)
    disk_gib = int(said.get("disk") or 0) / 2**20
    disk_needed = DISK_GIB if found_gpus else DISK_GIB_NO_GPU
    shm_gib = int(said.get("shm") or 0) / 2**20
    skew_s, off = _skew(asked.skews_s, first.skews_s)
    versions, versions_0 = _versions(said), _versions(first.said)
    trainer = f"{plan.swift_env}/bin/{plan.job.trainer}"
    gpus_needed = str(gpus) if gpus is not None else f"{plan.nproc_per_node if found_gpus else 0} or more"
    gpus_ok = found_gpus >= (gpus or 0) and (not found_gpus or plan.nproc_per_node <= found_gpus)
    checks = [
        check("clock", not off, f"{skew_s * 1000:+.0f} ms from node 0", f"within {CLOCK_SKEW_S:g} s"),
        check(
            "disk",
            disk_gib >= disk_needed,
            f"{disk_gib:.1f} GiB free" if "base" in said else "the folder can't be made",
            f"{disk_needed} GiB free",
        ),
        check("gpus", gpus_ok, str(found_gpus), gpus_needed),
        *hardware.checks(asked.hardware, node, _torch_cuda(said)),
        check(
            "shm",
            found_gpus < 2 or shm_gib >= SHM_GIB,
            f"{shm_gib:.1f} GiB",
            f"{SHM_GIB} GiB" if found_gpus > 1 else "any",
        ),
        check("swift", "trainer" in said and bool(versions), versions or "no environment", trainer),
        check("versions", versions == versions_0, versions, versions_0),
    ]
    for number, path in enumerate(plan.on_nodes):
        size, size_0 = said.get(f"path{number}"), first.said.get(f"path{number}")
        found = f"{path}: {int(size):,} bytes" if size else f"{path} is not readable"
        needed = f"{int(size_0):,} bytes as on node 0" if size_0 else "readable"
        checks.append(check("files", size is not None and size == size_0, found, needed))
    return checks


def _torch_cuda(said: Mapping[str, str]) -> str | None:
    try:
        told = json.loads(said.get("versions", "")).get("cuda")
    except ValueError:
        return None
    return told if isinstance(told, str) else None


def _skew(samples: tuple[float, ...], first: tuple[float, ...]) -> tuple[float, bool]:
    """The node's clock minus node 0's, and whether most samples say that it is off: one may be a slow answer."""
    zero = statistics.median(first)
    off = sum(abs(one - zero) > CLOCK_SKEW_S for one in samples)
    return statistics.median(samples) - zero, off * 2 > len(samples)


def _versions(said: Mapping[str, str]) -> str:
    try:
        found = json.loads(said.get("versions", ""))
    except ValueError:
        return ""
    names = {"ms-swift": "swift", "torch": "torch", "transformers": "transformers", "python": "python"}
    shown = [f"{label} {found[key]}" for key, label in names.items() if found.get(key)]
    return " · ".join([*shown, f"packages {found.get('packages', '')}"]) if found.get("ms-swift") else ""


def _script(plan: Plan, base: str) -> str:
    paths = " ".join(quoted(path) for path in plan.on_nodes)
    return "\n".join([
        f"base={quoted(base)}; environment={quoted(plan.swift_env)}; trainer={plan.job.trainer}; paths=({paths})",
        f"versions={shlex.quote(VERSIONS)}",
        ASK,
        BUSY,
        hardware.ASK,
    ])  # fmt: skip


def _ask(connection: Connection, script: str) -> Asked:
    answer = connection.run(script, ASK_S).must(connection.node, "asking the node")
    told, _, of_hardware = answer.out.partition("\n== ")
    pairs = [line.split(" ", 1) for line in told.splitlines() if " " in line]
    skews = []
    for _ in range(CLOCK_SAMPLES):
        before = time.time()
        clock = connection.run("date +%s.%N", ASK_S).must(connection.node, "reading the clock").out
        skews.append(float(clock) - (before + time.time()) / 2)
    busy = tuple(value for key, value in pairs if key == "busy")
    return Asked(
        {key: value for key, value in pairs if key != "busy"}, busy, tuple(skews), hardware.read(f"== {of_hardware}")
    )
