"""A named stack as Pulumi's Automation API opens it, the program inline: what the engine tells and refuses, in our
words, and the lock that a dead engine left.
"""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import tenacity

from infra import engine, refusals
from infra.errors import BadInput, CloudRefused, FleetError, Held, Interrupted
from infra.settings import PROJECT

if TYPE_CHECKING:
    from pulumi import automation

T = TypeVar("T")


@dataclass(frozen=True)
class Change:
    """One step of the engine: op "create", kind "ec2:Instance", name "node-000", state "started|done|failed".

    of: the arguments that differ, where the engine tells.
    """

    op: str
    kind: str
    name: str
    state: str
    message: str = ""
    of: tuple[str, ...] = ()

    @property
    def of_aws(self) -> bool:
        """Whether it is a thing in the cloud; components, providers and the stack itself are Pulumi's own."""
        return not self.kind.startswith(("infra:", "pulumi:", "providers:", "index:Stash"))


OnChange = Callable[[Change], None]


def ignore(change: Change) -> None:
    return None


@dataclass
class Session:
    """program: what the engine runs; environment: what it needs beside this process's own."""

    root: Path
    name: str
    program: Callable[[], None]
    environment: Mapping[str, str] = field(default_factory=dict)
    _opened: automation.Stack | None = field(default=None, repr=False)
    _refused: FleetError | None = field(default=None, repr=False)

    def run(self, act: Callable[[automation.Stack], T]) -> T:
        """`act` on the stack, which is made if there is none; once more where a dead engine had locked it."""
        from pulumi.automation import errors

        def done() -> T:
            return act(self._open())

        try:
            with engine.ends_in_order():
                return _whole(done)
        except errors.ConcurrentUpdateError as error:
            self._unlock(str(error))
        except errors.CommandError as error:
            raise self._refused or translated(error, self.name) from error
        try:
            with engine.ends_in_order():
                return _whole(done)
        except errors.CommandError as error:
            raise self._refused or translated(error, self.name) from error

    def _program(self) -> None:
        """`program`, and what it refuses kept as it is: the engine hands on a text, as a failure of its own."""
        from pulumi import RunError

        self._refused = None
        try:
            self.program()
        except RunError as error:
            self._refused = error.__cause__ if isinstance(error.__cause__, FleetError) else None
            raise

    def exists(self) -> bool:
        """Whether the engine knows the stack; who only looks, or ends, makes none."""
        from pulumi.automation import errors

        try:
            _whole(lambda: self._open(create=False))
        except errors.StackNotFoundError:
            return False
        except errors.CommandError as error:
            raise translated(error, self.name) from error
        return True

    @cached_property
    def _command(self) -> automation.PulumiCommand:
        """Found once: to find it is to ask it twice for its version, 0.2 s each."""
        from pulumi import automation

        try:
            return automation.PulumiCommand(root=str(engine.ensure().parent.parent))
        except subprocess.CalledProcessError as error:
            where = f"stack {self.name}"
            raise CloudRefused(f"the engine can't say its version: {error}", where=where, do="Try again.") from error

    def _open(self, create: bool = True) -> automation.Stack:
        if self._opened is None:
            from pulumi import automation

            sys.unraisablehook = _unraised
            options = automation.LocalWorkspaceOptions(
                work_dir=str(self.root),
                env_vars=dict(self.environment),
                pulumi_command=self._command,
            )
            choose = automation.create_or_select_stack if create else automation.select_stack
            self._opened = choose(
                stack_name=self.name,
                project_name=PROJECT,
                program=self._program,
                opts=options,
            )
        return self._opened

    def _unlock(self, said: str) -> None:
        """Waits for whoever holds the stack; a lock whose process on this machine is dead is lifted."""
        holder = re.search(r"created by \S+@(\S+) \(pid (\d+)\)", said)
        if not holder or holder.group(1) != socket.gethostname():
            raise Held(
                f"another command works on it: {said.strip().splitlines()[-1].strip()}",
                where=f"stack {self.name}",
                do=f"Wait, or, if that machine is gone: pulumi cancel -s {self.name}",
            )
        process = Path(f"/proc/{holder.group(2)}")
        patient = tenacity.Retrying(
            retry=tenacity.retry_if_result(bool),
            wait=tenacity.wait_fixed(0.5),
            stop=tenacity.stop_after_delay(600),
            retry_error_callback=lambda state: True,
        )
        if patient(process.exists):
            raise Held(
                f"pulumi (pid {holder.group(2)}) has worked on it for 10 minutes more",
                where=f"stack {self.name}",
                do="End it, or wait.",
            )
        if self._opened:
            self._opened.cancel()


def _unraised(what: sys.UnraisableHookArgs) -> None:
    """The SDK drops the coroutine of a program whose resource was refused; collected, it would show a traceback that
    says nothing of the refusal (pulumi 3.272, runtime/stack.py)."""
    if getattr(what.object, "__name__", "") not in ("run_pulumi_func", "run_in_stack"):
        sys.__unraisablehook__(what)


def _whole(read: Callable[[], T]) -> T:
    """A state in a folder is cut off for a moment while an engine on its way out writes it: read once more then."""
    patient = tenacity.Retrying(
        retry=tenacity.retry_if_exception(lambda error: "failed to load checkpoint: EOF" in str(error)),
        wait=tenacity.wait_fixed(0.5),
        stop=tenacity.stop_after_delay(15),
        reraise=True,
    )
    return patient(read)


def events(on_change: OnChange) -> Callable[[automation.EngineEvent], None]:
    states = (("resource_pre_event", "started"), ("res_outputs_event", "done"), ("res_op_failed_event", "failed"))

    def on_event(event: automation.EngineEvent) -> None:
        for kind_of_event, state in states:
            step = getattr(event, kind_of_event)
            if step is not None:
                data = step.metadata
                op = str(getattr(data.op, "value", data.op))
                if op == "delete" and data.old and data.old.retain_on_delete:
                    op = "keep"  # the engine forgets it, and AWS still has it
                kind = (
                    ":".join(part.split("/")[0] for part in data.type.split(":")[1:-1]) + ":" + data.type.split(":")[-1]
                )
                on_change(Change(op, kind, data.urn.split("::")[-1], state, of=tuple(data.diffs or ())))
        said = event.diagnostic_event
        if said is not None and said.severity in ("error", "warning"):
            on_change(Change("say", "pulumi", said.severity, "done", _plain(said.message)))

    return on_event


def _plain(text: str) -> str:
    return re.sub(r"<\{%.*?%\}>", "", text).strip()


def translated(error: Exception, stack: str) -> FleetError:
    """The engine's failure as one line: its error diagnostics, without the wrapping that every failure carries."""
    text = str(error)
    if "incorrect passphrase" in text:
        return BadInput(
            "wrong passphrase",
            where=f"stack {stack}",
            do="Set PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE to the one it was made with.",
        )
    if "passphrase must be set" in text:
        return BadInput("its secrets need a passphrase", where=f"stack {stack}", do="Set PULUMI_CONFIG_PASSPHRASE.")
    if "PULUMI_ACCESS_TOKEN" in text:
        return BadInput(
            "Pulumi doesn't know where to keep its state",
            where=f"stack {stack}",
            do="pulumi login, with an account, s3://BUCKET or file://FOLDER.",
        )
    # Of a wrapped failure ("1 error occurred:") the lines below it are what was said.
    found = re.findall(r"^(?:\s*stderr:)?\s*error: (?:\d+ errors? occurred:\s*\*\s*)?(.*\S)", text, re.MULTILINE)
    said = [line for line in dict.fromkeys(found) if line not in ("update failed", "preview failed", "destroy failed")]
    if any("cancel" in line for line in said):
        return Interrupted("the engine was interrupted", where=f"stack {stack}", do=f"fleet down -s {stack} ends it.")
    for known in filter(None, map(refusals.of_engine, said)):
        known.where = f"stack {stack}"
        return known
    shown = "; ".join(said[:3]) or "the engine was ended before it was done"
    return CloudRefused(shown.rstrip("."), where=f"stack {stack}")


# What the engine has recorded: the deployment of an exported state ---------------------------------------------------


def cut_off(recorded: Mapping[str, Any]) -> bool:
    """Whether the state tells of operations that an engine began and never ended."""
    return bool(recorded.get("pending_operations"))


def half_made(recorded: Mapping[str, Any]) -> bool:
    """Whether an `up` that ended in its own time left what may be gone: something that failed after it was created, or
    a fleet that never came up whole, which a `sweep` from elsewhere may have ended since."""
    failed = any(one.get("initErrors") for one in recorded.get("resources", []))
    return not cut_off(recorded) and (failed or never_whole(recorded))


def outputs_in(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """The stack's outputs as they are recorded; none of ours is a secret, which would stand there encrypted."""
    resources = recorded.get("resources", [])
    return next((dict(one.get("outputs", {})) for one in resources if one["type"] == "pulumi:pulumi:Stack"), {})


def never_whole(recorded: Mapping[str, Any]) -> bool:
    """Whether things of a fleet were made, and no `up` of it has ever come to its end.

    An engine keeps a stack's outputs until an `up` comes to its end: they may be those of the fleet before, now gone.
    """
    told = outputs_in(recorded)
    of_it = {told.get("vpcId"), told.get("fileSystemId"), *(node["id"] for node in told.get("nodes", []))}
    return made_any(recorded) and not of_it & ids(recorded)


def ids(recorded: Mapping[str, Any]) -> set[str]:
    """The ids and names of what the engine knows of."""
    found = recorded.get("resources", [])
    return {one["id"] for one in found if one.get("id")} | {
        str(name) for one in found if (name := one.get("outputs", {}).get("name"))
    }


def made_any(recorded: Mapping[str, Any]) -> bool:
    """Whether there is anything of AWS's in it, or may be."""
    held = (one for one in recorded.get("resources", []) if one.get("custom"))
    return cut_off(recorded) or any(not one["type"].startswith("pulumi:") for one in held)
