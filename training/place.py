"""The paths that a job names -> what is sent to the nodes, what is their own, what the hub's, and what is missing."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.errors import BadInput
from training.findings import Finding
from training.job import Job
from training.references import REFERENCE

DATA_SUFFIXES = {".jsonl", ".json", ".csv", ".parquet", ".txt"}
#: Arguments whose value may be a file or folder of the operator's that the nodes need.
DATA_ARGS = ("dataset", "val_dataset", "cached_dataset", "cached_val_dataset")
FOLDER_ARGS = (
    "model", "ref_model", "reward_model", "teacher_model", "adapters", "ref_adapters", "resume_from_checkpoint",
    "mcore_model", "mcore_adapter", "mcore_ref_model", "mcore_ref_adapter",
)  # fmt: skip
#: Of these a hub has none.
OWN_ARGS = ("mcore_model", "mcore_adapter", "mcore_ref_model", "mcore_ref_adapter", "resume_from_checkpoint")
#: Arguments whose value may be a file of the operator's, and else is a name or a text.
FILE_SUFFIXES = (".py", ".json", ".txt")
FILE_ARGS = ("external_plugins", "custom_register_path", "custom_dataset_info", "deepspeed", "fsdp", "system")


@dataclass(frozen=True)
class Shipment:
    """A file or folder of the operator's that goes to the nodes: `local` -> `{base}/<there>`."""

    arg: str
    local: Path
    there: str
    size: int


@dataclass(frozen=True)
class Placed:
    """A job's arguments with each path as the nodes will find it, what is sent there, and what is missing here."""

    args: Mapping[str, Any]
    shipments: tuple[Shipment, ...]
    on_nodes: tuple[str, ...]
    script: str
    findings: tuple[Finding, ...]


def place(job: Job, folder: Path) -> Placed:
    """folder: the job file's, from which relative paths go."""
    shipments: list[Shipment] = []
    on_nodes: list[str] = []
    missing: list[Finding] = []

    def placed(where: str, arg: str, value: Any) -> str:
        try:
            text, shipment = _place(arg, str(value), folder)
        except BadInput as error:
            missing.append(Finding("error", where, error.what, error.do))
            return str(value)
        if shipment:
            shipments.append(shipment)
        elif text.startswith(("/", "~")):
            on_nodes.append(text.split("#")[0])
        return text

    args: dict[str, Any] = {}
    for name, value in job.args.items():
        if name not in DATA_ARGS + FOLDER_ARGS + FILE_ARGS or isinstance(value, Mapping) or _is_an_answer(name, job):
            args[name] = value
        elif isinstance(value, list):
            args[name] = [placed(f"args.{name}", name, one) for one in value]
        else:
            args[name] = placed(f"args.{name}", name, value)
    if job.plugins:
        more = args.get("external_plugins", [])
        sent = [placed("plugins", "plugins", one) for one in job.plugins]
        args["external_plugins"] = [*(more if isinstance(more, list) else [more]), *sent]
    script = placed("command", "command", job.command) if job.trainer == "torchrun" else ""
    return Placed(args, tuple(shipments), tuple(on_nodes), script, tuple(missing))


def _is_an_answer(name: str, job: Job) -> bool:
    """Whether `model` is the name by which a server knows it."""
    asks = job.args.get("eval_url") or job.args.get("base_url") or job.args.get("sampler_engine") == "client"
    return name == "model" and bool(asks)


def _place(arg: str, value: str, folder: Path) -> tuple[str, Shipment | None]:
    """Where the nodes will find what `value` names: a shipped file, a path of their own, or a hub id.

    What exists here is sent. Else an absolute or `~` path is the nodes' own (preflight looks for it on each),
    a relative path by its look is missing, and anything else is the id of a model or data set on the hub.
    """
    if REFERENCE.search(value):
        return value, None  # what an earlier step will leave on the nodes
    path_text, _, count = value.partition("#") if arg in DATA_ARGS else (value, "", "")
    if arg == "adapters" and (named := re.match(r"[\w.-]+=", value)):
        text, shipment = _place(arg, value[named.end() :], folder)  # deploy: the name by which requests ask for it
        return named.group(0) + text, shipment
    if arg in FILE_ARGS and not value.endswith(FILE_SUFFIXES):
        return value, None
    local = (folder / Path(path_text).expanduser()).resolve()
    if local.exists():
        shipment = shipped(arg, local)
        suffix = f"#{count}" if count else ""
        return f"{{base}}/{shipment.there}{suffix}", shipment
    if path_text.startswith(("/", "~")):
        return value, None
    if path_text.startswith(("{base}", "{run}")):
        return value, None
    ours = arg in ("plugins", "command", *FILE_ARGS, *OWN_ARGS)
    if ours or path_text.startswith(".") or Path(path_text).suffix in DATA_SUFFIXES:
        raise BadInput(f"{path_text} does not exist here", do=f"Looked for {local}. Check the path.")
    if arg in FOLDER_ARGS and not re.fullmatch(r"[\w.-]+/[\w.-]+", path_text):
        raise BadInput(f"{path_text} is neither a folder here nor a hub id", do="Write owner/name or a path.")
    return value, None


def shipped(arg: str, local: Path) -> Shipment:
    """The shipment of a file or folder that is here, in a place of its own on the nodes."""
    return Shipment(arg, local, f"data/{_digest(local)}/{local.name}", _size(local))


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
