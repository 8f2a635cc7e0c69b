"""What goes wrong x where it goes wrong: the rows of fault-cases.yaml, read for the tests that run each of them and for
the page that shows them (docs/faults.md).
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from project import Done, Project, eventually

from infra.sandbox import rehearsal

STAGES = ("plan", "preview", "up", "bootstrap", "preflight", "launch", "train", "collect", "down", "sweep")
#: What a row's fleet is unless it says otherwise: the least that is still a fleet.
STACK: Mapping[str, Any] = {"nodes": 1, "sharedFiles": False, "idleMinutes": 0, "zone": "us-east-1a"}
GONE = ("terminated", "shutting-down")
NOTHING, NO_NODE = "nothing", "no node"


@dataclass(frozen=True)
class Row:
    """One cell of the table: what befalls a command in a stage, and what comes of it.

    rehearse: command lines of `fleet sandbox`, in force before the command begins, or from the moment that the run
    has come to its stage (`during`). up: whether a fleet is up before. elsewhere: in a clone that knows the account and
    has no file of the stack. command: after `fleet`. reads: what the person reads, in its order, … for what differs
    from time to time. left: "nothing", "no node" (something that bills nothing by the hour) or "2 nodes", as the cloud
    says before `fleet down`, after which nothing is. args: of the job, beside its own. full: takes long.
    """

    fault: str
    stage: str
    rehearse: Sequence[str]
    command: str
    code: int
    reads: str
    left: str
    stack: Mapping[str, Any] = field(default_factory=dict)
    args: Mapping[str, Any] = field(default_factory=dict)
    up: bool = False
    during: bool = False
    elsewhere: bool = False
    full: bool = False

    @property
    def id(self) -> str:
        return f"{self.stage}: {self.fault}"

    @property
    def trains(self) -> bool:
        return self.command.startswith("run")

    @property
    def marks(self) -> list[pytest.MarkDecorator]:
        return [pytest.mark.full] if self.full else []


def rows() -> list[Row]:
    raw = yaml.safe_load(Path(__file__).with_name("fault-cases.yaml").read_text(encoding="utf-8"))
    found = [Row(**one) for one in raw]
    assert all(row.stage in STAGES for row in found)
    return sorted(found, key=lambda row: STAGES.index(row.stage))


def holds(row: Row, project: Project, job: Path) -> None:
    """Carries the row out and compares: exit code, what was read, what is left, and nothing after `fleet down`."""
    done, there = carried_out(row, project, job)
    if there != NOTHING:
        project.fleet("down", "-s", "sandbox", within=600).ok()
    assert done.code == row.code, done.all[-3000:]
    assert was_read(row.reads, done), done.all[-3000:]
    assert "Traceback" not in done.all
    assert there == row.left
    assert project.left() == []


def carried_out(row: Row, project: Project, job: Path) -> tuple[Done, str]:
    """How the row's command ended, and what it left. Whatever happens, no fault is in force afterwards."""
    project.stack(change={f"swift-fleet:{key}": value for key, value in {**STACK, **row.stack}.items()})
    try:
        if row.up:
            project.fleet("up", "--yes", "-s", "sandbox").ok()
        words = [str(_job(row, job)) if word == "JOB" else word for word in shlex.split(row.command)]
        if row.during:
            going = project.going(*words)
            eventually(lambda: _has_come_to(row.stage, going.lines) or not going.goes_on(), within=240)
            rehearse(project, row)
            done = going.ended(within=600)
        else:
            rehearse(project, row)
            done = (_another_clone(project) if row.elsewhere else project).fleet(*words, within=600)
    finally:
        rehearsal.clear(project.port)
    return done, left(project)


def _job(row: Row, job: Path) -> Path:
    if not row.args:
        return job
    data = yaml.safe_load(job.read_text(encoding="utf-8"))
    data["args"] |= row.args
    other = job.with_name("of-the-row.yaml")
    other.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    return other


def _another_clone(project: Project) -> Project:
    other = project.another(project.root.with_name("another"))
    (other.root / "stacks" / "Pulumi.sandbox.yaml").unlink()
    other.stack("mine")
    return other


def rehearse(project: Project, row: Row) -> None:
    """As a person types it in the project's folder, in this process: a second less a line."""
    from training.cli.sandbox import sandbox

    with contextlib.chdir(project.root), _environment(FLEET_SANDBOX_HOME=str(project.home)):
        for line in row.rehearse:
            done = CliRunner().invoke(sandbox, shlex.split(line), catch_exceptions=False)
            assert done.exit_code == 0, f"{line}\n{done.output}"


def left(project: Project) -> str:
    """What the cloud has of the stack, in the table's words."""
    things = project.left()
    nodes = [one for one in project.control("status")["instances"] if one["state"] not in GONE]
    if nodes:
        networks = sum(one.startswith("VPC") for one in things)
        return f"{len(nodes)} node{'s' if len(nodes) > 1 else ''}" + (f", {networks} VPCs" if networks > 1 else "")
    bills = [one for one in things if one.startswith(("capacity reservation", "NAT gateway"))]
    return ", ".join(bills) or (NO_NODE if things else NOTHING)


def was_read(reads: str, done: Done) -> bool:
    """Whether the person has read it: its words, in their order, whatever stands where the dots are."""
    said = re.sub(r"\s+", " ", done.all)
    return re.search(".*?".join(re.escape(part.strip()) for part in reads.split("…")), said) is not None


def _has_come_to(stage: str, lines: Sequence[str]) -> bool:
    begun = [line for line in lines if line.startswith(f"● {stage}")]
    return bool(begun) and (stage != "train" or any("step" in line for line in begun))


@contextlib.contextmanager
def _environment(**values: str) -> Any:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
