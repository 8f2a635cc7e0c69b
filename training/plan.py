"""`Job` + offer -> `Plan`: what will run on each rank, what is sent there, what it costs. Pure; prints before it acts.

The plan is made before a machine exists, so paths on the nodes carry two placeholders that the launch fills in:
`{base}` (the shared folder, or the node's own `~/fleet`) and `{run}` (the run's id).
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from infra.errors import BadInput
from training.chain import place_of, ranks_of
from training.findings import Finding, refuse
from training.job import Job
from training.place import Shipment, place
from training.swift.arguments import words
from training.swift.environment import environment
from training.swift.profiles import folder
from training.swift.setting import truth

#: torchrun's rendezvous port and the last one that the security group opens for it.
MASTER_PORTS = range(29500, 29601)


#: Commands that write a run's folder; the others (infer, deploy, eval, ...) know no output_dir (ms-swift 4.6).
SAVING_COMMANDS = {"sft", "pt", "rlhf", "export", "merge-lora", "sample"}
#: What others write goes there too, unless it has an absolute path: of infer one file, of eval a folder.
RESULTS = {"infer": ("result_path", "output/infer.jsonl"), "eval": ("eval_output_dir", "output")}


@dataclass(frozen=True)
class Offer:
    """What a fleet would be, before it exists.

    usd_per_hour: of the whole fleet; None where no price is known (own machines, this machine).
    price_source: whose price and of which day.
    lifetime: after which every node ends itself; what the budget buys, where that is shorter.
    ends_after: when the last of its ends comes, AWS's own: a few minutes after the lifetime.
    shared: whether its nodes see one folder.
    budget_usd, max_usd_per_hour: the limits that the stack sets, None where it sets none.
    """

    instance_type: str
    nodes: int
    gpus_per_node: int
    gpu_memory_gib: float | None = None
    usd_per_hour: float | None = None
    price_source: str = ""
    lifetime: timedelta | None = None
    ends_after: timedelta | None = None
    budget_usd: float | None = None
    max_usd_per_hour: float | None = None
    shared: bool = False

    @property
    def most_usd(self) -> float | None:
        """What it costs if nobody touches it again and only the last of its ends comes, boot included."""
        if self.usd_per_hour is None or self.ends_after is None:
            return None
        return self.usd_per_hour * self.ends_after.total_seconds() / 3600


@dataclass(frozen=True)
class Plan:
    """One job on one offer. `args` is what the swift YAML file on the nodes will hold.

    shipments, on_nodes: of all steps, so that nothing starts before everything is there.
    script: where torchrun finds its script on the nodes. findings: warnings and notes that checks gave.
    then: the steps after this one, each a plan by itself.
    """

    job: Job
    job_file: Path
    offer: Offer
    args: Mapping[str, Any]
    nproc_per_node: int
    shipments: tuple[Shipment, ...] = ()
    on_nodes: tuple[str, ...] = field(default=())
    script: str = ""
    findings: tuple[Finding, ...] = ()
    then: tuple[Plan, ...] = ()

    @property
    def steps(self) -> tuple[Plan, ...]:
        return (self, *self.then)

    @property
    def name(self) -> str:
        return self.job.called

    @property
    def stays(self) -> bool:
        """Whether it ends with an endpoint that nothing ends but the fleet's end, or a person."""
        return self.steps[-1].job.serves

    @property
    def ranks(self) -> tuple[int, ...]:
        """The fleet's ranks that get a process; the first of them is the step's NODE_RANK 0."""
        return ranks_of(self.job, self.offer.nodes, self.offer.gpus_per_node)

    @property
    def output(self) -> str:
        """The folder that is fetched when it is over; "" where there is none."""
        if "output_dir" in self.args:
            return str(self.args["output_dir"])
        given = str(self.args.get(RESULTS.get(self.job.command, ("",))[0], ""))
        folder = given.rpartition("/")[0] if self.job.command == "infer" else given
        return folder if folder.startswith(_output_dir("")) else ""

    @property
    def nnodes(self) -> int:
        """Nodes that act as one: a server on several ranks is several."""
        return len(self.ranks) if self.job.distributed else 1

    @property
    def world_size(self) -> int:
        return self.nnodes * self.nproc_per_node if self.job.distributed else 1

    @property
    def together(self) -> bool:
        """Whether several ranks train as one. Without GPUs ms-swift's do by `use_cpu` alone: ddp_backend makes a group
        that accelerate does not use (transformers 5, TrainingArguments._setup_devices)."""
        joined = self.offer.gpus_per_node > 0 or self.job.trainer != "swift" or self.on_cpus
        return self.job.trains and self.world_size > 1 and joined

    @property
    def on_cpus(self) -> bool:
        return truth(self.args, "use_cpu") or truth(self.job.env, "ACCELERATE_USE_CPU")

    @property
    def swift_env(self) -> str:
        """The folder on the nodes of what it runs with: ~/swift-env, or its profile's own."""
        return folder(self.job.needed.profile)

    def rank_environment(self, rank: int, master_addr: str, master_port: int) -> dict[str, str]:
        """The five variables that make a rank; ms-swift's wrapper turns them into torchrun's options."""
        return {
            "NNODES": str(self.nnodes),
            "NODE_RANK": str(self.ranks.index(rank) if self.job.distributed else 0),
            "MASTER_ADDR": master_addr,
            "MASTER_PORT": str(master_port),
            "NPROC_PER_NODE": str(self.nproc_per_node),
        }

    def environment(self, shared: str = "") -> dict[str, str]:
        """What a rank has beside those: the job's own and its trainer's. shared: the folder that all nodes see."""
        given = (self.job.trainer, self.job.env, shared if self.nnodes > 1 else "", self.job.command)
        return environment(*given, on_cpus=self.on_cpus)

    def command_line(self, rank: int, master_addr: str = "<node 0>", master_port: int = 29500) -> str:
        """The rank's command as one would type it on the node."""
        env = self.rank_environment(rank, master_addr, master_port)
        return " ".join([*(f"{k}={_typed(v)}" for k, v in env.items()), *map(_typed, self.words(env))])

    def words(self, env: Mapping[str, str]) -> list[str]:
        """The command of the rank with these five variables, its paths still with their placeholders."""
        program = f"{self.swift_env}/bin/{self.job.trainer}"
        if self.job.trainer != "torchrun":
            return [program, self.job.command, "args.yaml"]
        where = [word for name, value in env.items() for word in (f"--{name.lower()}", value)]
        return [program, *where, self.script, *options(self.args)]


def _typed(word: str) -> str:
    """A word as a person types it: what a shell, or fleet, is to fill in stays as it is."""
    return word if word.startswith(("<", "~/", "{base}")) else shlex.quote(word)


def options(args: Mapping[str, Any]) -> list[str]:
    """Arguments as words of a command line, just as ms-swift makes them of its YAML file (swift/cli/main.py)."""
    return [word for name, value in args.items() for word in (f"--{name}", *words(value))]


def make_plan(job: Job, job_file: Path, offer: Offer, *, lines: Mapping[str, int] | None = None) -> Plan:
    """The plan, or BadInput that names each file or folder that is missing."""
    plans = [_of_step(step, place_of(number), job_file, offer, lines or {}) for number, step in enumerate(job.steps)]
    shipments = {one.there: one for plan in plans for one in plan.shipments}
    on_nodes = dict.fromkeys(path for plan in plans for path in plan.on_nodes)
    return replace(plans[0], shipments=tuple(shipments.values()), on_nodes=tuple(on_nodes), then=tuple(plans[1:]))


def _of_step(job: Job, at: str, job_file: Path, offer: Offer, lines: Mapping[str, int]) -> Plan:
    """at: where its keys stand in the job file, as `training.chain.place_of` says."""
    placed = place(job, job_file.parent)
    refuse([replace(one, where=at + one.where) for one in placed.findings], job_file, lines)
    args = dict(placed.args)
    if "output_dir" in job.args or job.command in SAVING_COMMANDS:
        args["output_dir"] = _output_dir(str(job.args.get("output_dir", "output")))
    elif result := RESULTS.get(job.command):
        name, usual = result
        given = str(args.get(name, usual))
        args[name] = _output_dir(given if "/" in given or job.command == "eval" else f"output/{given}")
    if job.nproc_per_node and offer.gpus_per_node and job.nproc_per_node > offer.gpus_per_node:
        raise BadInput(
            f"nproc_per_node {job.nproc_per_node} is more than the {offer.gpus_per_node} GPUs of a node",
            where=f"{job_file}:{lines.get(f'{at}nproc_per_node', 1)}",
            do=f"Give at most {offer.gpus_per_node}.",
        )
    return Plan(
        job=job,
        job_file=job_file,
        offer=offer,
        args=args,
        nproc_per_node=job.nproc_per_node or max(1, offer.gpus_per_node),
        shipments=placed.shipments,
        on_nodes=placed.on_nodes,
        script=placed.script,
    )


def _output_dir(given: str) -> str:
    return given if given.startswith(("/", "~", "{")) else f"{{base}}/runs/{{run}}/{given.removeprefix('./')}"


def ends_at(offer: Offer, now: datetime) -> datetime | None:
    return now + offer.lifetime if offer.lifetime else None
