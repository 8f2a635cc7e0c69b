"""`job.yaml` -> `Job`: what to train, in ms-swift's own words, and what to do with it `then`.

`args` is exactly what a swift YAML file holds, so a file that works with `swift sft file.yaml` works as a job.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from infra.written import nearest, read_yaml, validate
from training.swift.profiles import Needed, Profile, needed

#: Commands of ms-swift 4.6, and which of them its wrapper starts under torchrun (swift/cli/main.py).
SWIFT_COMMANDS = (
    "sft", "pt", "rlhf", "infer", "deploy", "rollout", "eval", "export", "merge-lora", "sample", "app", "web-ui",
)  # fmt: skip
MEGATRON_COMMANDS = ("sft", "pt", "rlhf", "export")
DISTRIBUTED = {"swift": {"sft", "pt", "rlhf", "infer"}, "megatron": set(MEGATRON_COMMANDS)}
COMMANDS = {"swift": SWIFT_COMMANDS, "megatron": MEGATRON_COMMANDS}

#: Commands that go on until they are ended, asked by others or by a browser over HTTP.
SERVERS = ("deploy", "rollout", "app", "web-ui")

#: Of a step: it stands in paths, and between braces.
NAME = r"^[a-z][a-z0-9-]*$"

#: What makes a process a rank: set by the driver alone.
RANK_VARIABLES = ("NNODES", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT", "NPROC_PER_NODE")


class JobStep(BaseModel):
    """One command: all of a job, or one step of it.

    name: of the step, by which later ones name what it leaves; by default train, merge, quantize or its command.
    trainer, command: `swift sft`, `megatron pt`, ...; with torchrun a Python script of your own, beside the job file.
    args: ms-swift's arguments by their own names; a list is several values, a mapping one JSON value. torchrun's script
        gets them as `--name value`.
    plugins: Python files beside the job file that register rewards, losses, metrics: sent to every node, and given to
        ms-swift as `external_plugins`.
    env: variables of the training processes. The five that make a rank (NNODES NODE_RANK MASTER_ADDR
        MASTER_PORT NPROC_PER_NODE) are the driver's and refused here.
    ranks: the nodes that it runs on; by default all for what torchrun starts, node 0 for the rest.
    profile: the environment that it runs in, where that is not the one that its arguments ask for.
    nproc_per_node: processes a node; by default one a GPU, or one where there is none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=NAME)] | None = None
    trainer: Literal["swift", "megatron", "torchrun"] = "swift"
    command: str
    args: dict[str, Any] = Field(default_factory=dict)
    plugins: tuple[str, ...] = ()
    env: dict[str, str] = Field(default_factory=dict)
    ranks: tuple[Annotated[int, Field(ge=0)], ...] = ()
    profile: Profile | None = None
    nproc_per_node: Annotated[int, Field(ge=1)] | None = None

    @field_validator("env", mode="before")
    @classmethod
    def _text(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {k: str(v).lower() if isinstance(v, bool) else str(v) for k, v in value.items()}
        return value

    @field_validator("env")
    @classmethod
    def _not_ours(cls, value: dict[str, str]) -> dict[str, str]:
        taken = sorted(set(value) & set(RANK_VARIABLES))
        if taken:
            raise ValueError(f"{', '.join(taken)} is set by fleet for each rank: remove it")
        return value

    @field_validator("args")
    @classmethod
    def _no_null(cls, value: dict[str, Any]) -> dict[str, Any]:
        # ms-swift reads a YAML null as the text "None" (swift/cli/main.py parse_yaml_args).
        for name, given in value.items():
            if given is None:
                raise ValueError(f"args.{name} has no value: give one, or leave the line out")
        return value

    @field_validator("command")
    @classmethod
    def _known_command(cls, value: str, info: ValidationInfo) -> str:
        trainer = info.data.get("trainer")
        if trainer == "torchrun":
            if not value.endswith(".py"):
                raise ValueError(f"command {value!r} is no Python script: torchrun starts one, train.py say")
            return value
        known = COMMANDS.get(str(trainer), ())
        if trainer and value not in known:
            guess = nearest(value, known)
            hint = f"did you mean {guess}?" if guess else f"known: {', '.join(known)}"
            raise ValueError(f"command {value!r} is unknown to {trainer}: {hint}")
        return value

    @field_validator("ranks")
    @classmethod
    def _once(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(value)) < len(value):
            raise ValueError("a rank is named twice: a node runs one process group of a step")
        return value

    @property
    def needed(self) -> Needed:
        """The profile that its nodes must have, and why."""
        if self.profile:
            return Needed(self.profile, "as the job says")
        return needed(self.trainer, self.command, self.args)

    @property
    def distributed(self) -> bool:
        return self.trainer == "torchrun" or self.command in DISTRIBUTED[self.trainer]

    @property
    def serves(self) -> bool:
        """Whether it publishes an endpoint: it is done when that answers, and goes on."""
        return self.trainer == "swift" and self.command in SERVERS

    @property
    def trains(self) -> bool:
        return self.trainer == "torchrun" or self.command in ("sft", "pt", "rlhf")

    @property
    def called(self) -> str:
        """The step's name."""
        if self.name:
            return self.name
        if self.trains:
            return "train"
        if self.command not in ("export", "merge-lora") or self.trainer != "swift":
            return self.command
        if self.args.get("quant_method"):
            return "quantize"
        return "merge" if self.command == "merge-lora" or self.args.get("merge_lora") else "export"


class Job(JobStep):
    """What one job file says.

    ms_swift: the release that the job is written for, such as 4.6.0; that the nodes get another is a warning.
    secrets: names of variables taken from the operator's environment, sent over SSH's stdin and never stored.
    budget: USD for a fleet that the run makes itself, boot included: it ends when that is spent. Of this and the
        stack's own the smaller counts; a fleet that is up already keeps its deadline.
    then: steps after this one on the same fleet, in their order (merge, eval, quantize, deploy), each with the keys
        of a step: name to nproc_per_node.
    retries: how often `fleet run` goes on by itself, on the same fleet, from the newest checkpoint of a training that
        failed. An attempt that saved nothing new is the last.
    """

    ms_swift: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")] | None = None
    secrets: tuple[str, ...] = ()
    budget: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    then: tuple[JobStep, ...] = ()
    retries: Annotated[int, Field(ge=0, le=20)] = 0

    @property
    def steps(self) -> tuple[Job, ...]:
        """The job and what comes then, each as a job of its own."""
        common = {"ms_swift": self.ms_swift, "secrets": self.secrets}
        return (self, *(Job.model_validate({**dict(step), **common}) for step in self.then))

    @property
    def needs(self) -> tuple[Needed, ...]:
        """The profiles that its nodes must have for all steps, the first step's first."""
        found: dict[str, Needed] = {}
        for step in self.steps:
            found.setdefault(step.needed.profile, step.needed)
        return tuple(found.values())


def load_job(path: Path) -> tuple[Job, dict[str, int]]:
    """The job in a file, and the line of each of its keys for later findings (`args.lora_rank` -> 7)."""
    data, lines = read_yaml(path)
    return validate(Job, data, file=path, lines=lines), lines
