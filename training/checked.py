"""Everything that can be said of a job file before anything is made: its keys, its arguments, its paths, its plugins.

All findings at once. Needs no network, and imports neither torch nor ms-swift.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from infra.errors import BadInput
from infra.written import problems, read_yaml
from training import chain
from training.findings import Finding, Severity, refuse
from training.job import COMMANDS, Job, JobStep
from training.place import place
from training.plan import Offer, Plan, make_plan
from training.references import with_examples
from training.swift.arguments import VERSION
from training.swift.check import check
from training.swift.given import World
from training.swift.plugins import read_plugins
from training.swift.profiles import missing, needed
from training.swift.resume import unresumable

MOST_BYTES = 2_000_000


@dataclass(frozen=True)
class Checked:
    """job: None where the file is no job. lines: the line of each key, as in `infra.written.read_yaml`."""

    file: Path
    job: Job | None
    findings: tuple[Finding, ...]
    lines: Mapping[str, int]


def check_file(file: Path, offer: Offer | None = None) -> Checked:
    """offer: the fleet that will run it; without one, nothing that needs the number of its GPUs is checked.

    Never raises for what the file holds: a file that can't be read, or is no YAML, is one finding.
    """
    try:
        data, lines = read_yaml(file)
    except BadInput as error:
        return Checked(file, None, (Finding("error", error.where, error.what, error.do),), {})
    job, wrong = problems(Job, data)
    found = [Finding("error", one.key, one.what, one.do) for one in wrong]
    if job is None:
        return Checked(file, None, (*found, *_arguments(data)), lines)
    for number, step in enumerate(job.steps):
        found += [_placed(one, chain.place_of(number)) for one in _of_step(job, step, file, offer)]
    shape = chain.Shape(offer.nodes, offer.gpus_per_node, offer.shared) if offer else None
    found += [*chain.check(job, shape), *_retried(job)]
    return Checked(file, job, tuple(found), lines)


def _placed(finding: Finding, at: str) -> Finding:
    """A finding with its key where it stands in the file; one of a data file or of the whole job is there already."""
    ours = finding.where.split(".")[0] in JobStep.model_fields
    return replace(finding, where=at + finding.where) if ours else finding


def _of_step(job: Job, step: Job, file: Path, offer: Offer | None) -> list[Finding]:
    """Of one step by itself: its paths, data, plugins and arguments."""
    placed = place(step, file.parent)
    plugins, said = read_plugins(_plugin_files(step, file.parent))
    found = [*placed.findings, *(_pinned(job) if step is job else ()), *_data(step, file.parent, offer)]
    found += [*_apart(step, offer), *_installed(step), *said]
    if step.trainer == "torchrun":
        return found
    args = with_examples(job.steps, step.args)
    world = world_of(step, offer) if offer else None
    version = job.ms_swift or VERSION
    command = f"{step.trainer} {step.command}"
    return found + check(command, args, version=version, world=world, env=step.env, plugins=plugins)


def checked_plan(file: Path, offer: Offer) -> tuple[Plan, Mapping[str, int]]:
    """The plan of a job file without errors, with what else was found; else BadInput with a line for each error."""
    checked = check_file(file, offer)
    refuse(checked.findings, file, checked.lines)
    assert checked.job, "a file that is no job has an error"
    plan = make_plan(checked.job, file.resolve(), offer, lines=checked.lines)
    return replace(plan, findings=checked.findings), checked.lines


def world_of(job: Job, offer: Offer) -> World:
    if not job.distributed:
        return World(1, 1, offer.gpus_per_node)
    nodes = len(chain.ranks_of(job, offer.nodes, offer.gpus_per_node))
    return World(nodes, job.nproc_per_node or max(1, offer.gpus_per_node), offer.gpus_per_node)


def _arguments(data: Mapping[str, Any]) -> list[Finding]:
    """Of the arguments in a file that is no job yet: as long as it says whose they are."""
    trainer, command, args = data.get("trainer", "swift"), data.get("command"), data.get("args", {})
    if not isinstance(trainer, str) or command not in COMMANDS.get(trainer, ()) or not isinstance(args, dict):
        return []
    return check(f"{trainer} {command}", {name: value for name, value in args.items() if value is not None})


def _data(job: Job, folder: Path, offer: Offer | None) -> list[Finding]:
    """Of the rows that are here, and of names of the hub. What reads rows is imported where there are some."""
    if job.trainer == "torchrun" or not (job.args.get("dataset") or job.args.get("val_dataset")):
        return []
    from training.swift.data.check import check_files, task_of

    task = task_of(job.command, job.args)
    ranks = world_of(job, offer).size if offer else None
    return check_files(job.args, task, folder, ranks) if task else []


def _pinned(job: Job) -> list[Finding]:
    if job.ms_swift in (None, VERSION):
        return []
    do = f"ms_swift: {VERSION}, or change scripts/locks/*.in and run scripts/lock"
    return [Finding("warning", "ms_swift", f"the nodes get ms-swift {VERSION}, not {job.ms_swift}", do)]


def _retried(job: Job) -> list[Finding]:
    """Of a job that is to go on by itself: what no checkpoint of it could be gone on from."""
    if not job.retries:
        return []
    if job.then:
        return [Finding("error", "retries", "a job of several steps is not tried again by itself", "Take retries out")]
    found = unresumable(job.trainer, job.command, job.args)
    return [Finding("error", *found)] if found else []


def _apart(job: Job, offer: Offer | None) -> list[Finding]:
    """Of Megatron's output where no two nodes see one folder: each writes its own pieces of a checkpoint, the last its
    log and state, node 0 what names them. An absolute path is the person's word; preflight looks whether it is one."""
    if job.trainer != "megatron" or not offer or offer.shared or world_of(job, offer).nnodes == 1:
        return []
    if str(job.args.get("output_dir", "output")).startswith(("/", "~")):
        return []
    do = "A stack with sharedFiles: true, or a folder that all nodes see at one path, /data/output say"
    what = f"a checkpoint would be spread over {offer.nodes} nodes that share no folder: no rank could read it whole"
    return [Finding("error", "args.output_dir", what, do)]


def _installed(job: Job) -> list[Finding]:
    """What fleet won't put on the nodes."""
    asked = needed(job.trainer, job.command, job.args)
    if engine := missing(job.args):
        return [Finding("note", "", f"{engine} is in no profile", "Install it on the nodes before the run.")]
    if job.profile and job.profile != asked.profile and asked.profile != "base":
        # base has nothing of what others are there for; of the others some hold the same packages.
        how: Severity = "warning" if job.profile == "base" else "note"
        what = f"{asked.why} asks for {asked.profile}, the job says {job.profile}"
        return [Finding(how, "profile", what, "Take profile out: the arguments choose it.")]
    return []


def _plugin_files(job: Job, folder: Path) -> dict[str, bytes]:
    """The plugins that are here, by the names that the job gives them."""
    named = [*job.plugins]
    for argument in ("external_plugins", "custom_register_path"):
        value = job.args.get(argument, [])
        named += [str(one) for one in (value if isinstance(value, list) else [value])]
    found = {}
    for name in named:
        path = folder / Path(name).expanduser()
        if path.is_file() and path.stat().st_size <= MOST_BYTES:
            found[name] = path.read_bytes()
    return found
