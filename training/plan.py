"""`Job` + offer -> `Plan`: what will run on each rank, what is sent there, what it costs. Pure; prints before it acts.

The plan is made before a machine exists, so paths on the nodes carry two placeholders that the launch fills in:
`{base}` (the shared folder, or the node's own `~/fleet`) and `{run}` (the run's id).
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from infra.errors import BadInput
from training.job import Job

#: torchrun's rendezvous port and the last one that the security group opens for it.
MASTER_PORTS = range(29500, 29601)
DATA_SUFFIXES = {".jsonl", ".json", ".csv", ".parquet", ".txt"}
#: Arguments whose value may be a file or folder of the operator's that the nodes need.
DATA_ARGS = ("dataset", "val_dataset", "cached_dataset", "cached_val_dataset")
FOLDER_ARGS = ("model", "ref_model", "reward_model", "teacher_model", "adapters", "resume_from_checkpoint")


#: Commands that write a run's folder; the others (infer, deploy, eval, ...) know no output_dir (ms-swift 4.6).
SAVING_COMMANDS = {"sft", "pt", "rlhf", "export", "merge-lora", "sample"}


@dataclass(frozen=True)
class Offer:
    """What a fleet would be, before it exists.

    usd_per_hour: of the whole fleet; None where no price is known (own machines, this machine).
    price_source: whose price and of which day.
    lifetime: after which every node ends itself; what the budget buys, where that is shorter.
    budget_usd, max_usd_per_hour: the limits that the stack sets, None where it sets none.
    """

    instance_type: str
    nodes: int
    gpus_per_node: int
    gpu_memory_gib: float | None = None
    usd_per_hour: float | None = None
    price_source: str = ""
    lifetime: timedelta | None = None
    budget_usd: float | None = None
    max_usd_per_hour: float | None = None

    @property
    def most_usd(self) -> float | None:
        """What it costs if nobody touches it again, boot included."""
        if self.usd_per_hour is None or self.lifetime is None:
            return None
        return self.usd_per_hour * self.lifetime.total_seconds() / 3600


@dataclass(frozen=True)
class Shipment:
    """A file or folder of the operator's that goes to the nodes: `local` -> `{base}/<there>`."""

    arg: str
    local: Path
    there: str
    size: int


@dataclass(frozen=True)
class Plan:
    """One job on one offer. `args` is what the swift YAML file on the nodes will hold."""

    job: Job
    job_file: Path
    offer: Offer
    args: Mapping[str, Any]
    nproc_per_node: int
    shipments: tuple[Shipment, ...] = ()
    on_nodes: tuple[str, ...] = field(default=())

    @property
    def nnodes(self) -> int:
        return self.offer.nodes

    @property
    def world_size(self) -> int:
        return self.nnodes * self.nproc_per_node if self.job.distributed else 1

    def rank_environment(self, rank: int, master_addr: str, master_port: int) -> dict[str, str]:
        """The five variables that make a rank; ms-swift's wrapper turns them into torchrun's options."""
        return {
            "NNODES": str(self.nnodes),
            "NODE_RANK": str(rank),
            "MASTER_ADDR": master_addr,
            "MASTER_PORT": str(master_port),
            "NPROC_PER_NODE": str(self.nproc_per_node),
        }

    def command_line(self, rank: int, master_addr: str = "<node 0>", master_port: int = 29500) -> str:
        """The rank's command as one would type it on the node."""
        env = self.rank_environment(rank, master_addr, master_port)
        words = [f"{k}={v if v.startswith('<') else shlex.quote(v)}" for k, v in env.items()]
        return " ".join([*words, f"~/swift-env/bin/{self.job.trainer}", self.job.command, "args.yaml"])


def make_plan(job: Job, job_file: Path, offer: Offer, *, lines: Mapping[str, int] | None = None) -> Plan:
    """The plan, or BadInput that names each file or folder that is missing."""
    shipments: list[Shipment] = []
    on_nodes: list[str] = []
    problems: list[str] = []
    args: dict[str, Any] = {}
    for name, value in job.args.items():
        if name not in DATA_ARGS + FOLDER_ARGS:
            args[name] = value
            continue
        given = value if isinstance(value, list) else [value]
        placed = []
        for one in given:
            try:
                text, shipment = _place(name, str(one), job_file.parent)
            except BadInput as error:
                line = (lines or {}).get(f"args.{name}")
                problems.append(f"{job_file}:{line or 1}  args.{name}  {error}")
                continue
            placed.append(text)
            if shipment:
                shipments.append(shipment)
            elif text.startswith(("/", "~")):
                on_nodes.append(text.split("#")[0])
        args[name] = placed if isinstance(value, list) else (placed[0] if placed else value)
    if problems:
        raise BadInput("\n".join(problems))
    if "output_dir" in job.args or job.command in SAVING_COMMANDS:
        args["output_dir"] = _output_dir(str(job.args.get("output_dir", "output")))
    if job.nproc_per_node and offer.gpus_per_node and job.nproc_per_node > offer.gpus_per_node:
        raise BadInput(
            f"nproc_per_node {job.nproc_per_node} is more than the {offer.gpus_per_node} GPUs of a node",
            where=f"{job_file}:{(lines or {}).get('nproc_per_node', 1)}",
            do=f"Give at most {offer.gpus_per_node}.",
        )
    return Plan(
        job=job,
        job_file=job_file,
        offer=offer,
        args=args,
        nproc_per_node=job.nproc_per_node or max(1, offer.gpus_per_node),
        shipments=tuple(shipments),
        on_nodes=tuple(on_nodes),
    )


def _output_dir(given: str) -> str:
    return given if given.startswith(("/", "~")) else f"{{base}}/runs/{{run}}/{given.removeprefix('./')}"


def _place(arg: str, value: str, folder: Path) -> tuple[str, Shipment | None]:
    """Where the nodes will find what `value` names: a shipped file, a path of their own, or a hub id.

    What exists here is sent. Else an absolute or `~` path is the nodes' own (preflight looks for it on each),
    a relative path by its look is missing, and anything else is the id of a model or data set on the hub.
    """
    path_text, _, count = value.partition("#") if arg in DATA_ARGS else (value, "", "")
    local = (folder / Path(path_text).expanduser()).resolve()
    if local.exists():
        there = f"data/{_digest(local)}/{local.name}"
        suffix = f"#{count}" if count else ""
        return f"{{base}}/{there}{suffix}", Shipment(arg, local, there, _size(local))
    if path_text.startswith(("/", "~")):
        return value, None
    if path_text.startswith(".") or Path(path_text).suffix in DATA_SUFFIXES:
        raise BadInput(f"{path_text} does not exist here", do=f"Looked for {local}. Check the path.")
    if arg in FOLDER_ARGS and not re.fullmatch(r"[\w.-]+/[\w.-]+", path_text):
        raise BadInput(f"{path_text} is neither a folder here nor a hub id", do="Write owner/name or a path.")
    return value, None


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())


def _size(path: Path) -> int:
    return sum(p.stat().st_size for p in _files(path))


def _digest(path: Path) -> str:
    """Names a shipment by what it is, so that the same data is sent once and changed data never mixes with it.

    From names, sizes and times of change, not content: a data set may be hundreds of GB.
    """
    digest = hashlib.sha256()
    for p in _files(path):
        stat = p.stat()
        digest.update(f"{p}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode())
    return digest.hexdigest()[:12]


def ends_at(offer: Offer, now: datetime) -> datetime | None:
    return now + offer.lifetime if offer.lifetime else None
