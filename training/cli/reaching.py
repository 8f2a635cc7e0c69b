"""The machines of a run for a command, and what a command says when it is interrupted."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.errors import BadInput
from training.cli import options

if TYPE_CHECKING:
    from training.fleets import Fleet


@contextmanager
def reached(
    run_id: str | None, stack: str | None, hosts: str | None, local: bool, key: Path | None
) -> Iterator[tuple[Any, Any, Path]]:
    """The machines of a run, the run as its nodes know it, and this clone's folder of it."""
    from training.fleets import fleet_of
    from training.launch import find_run
    from training.lifecycle import run_folder
    from training.onnode import whole_run
    from training.record import Record
    from training.remote import Machines

    root = options.project_root()
    record = Record(root / ".fleet")
    run_id = whole_run(run_id or record.latest())
    request = record.request(run_id)
    if stack or hosts or local:
        fleet = options.fleet_from(stack, hosts, local, key)
    elif request:
        fleet = fleet_of(root, request.source, request.fleet, key)
    else:
        raise BadInput(f"{run_id} is not recorded here", do="Name its fleet: -s STACK, --hosts NAME or --local.")
    folder = run_folder(root, run_id)
    if (folder / "receipt.json").exists() and not fleet.is_up():
        raise BadInput(f"{run_id} is finished and its fleet is gone", do=f"What it left is in {folder}.")
    with Machines(fleet.inventory()) as machines:
        found = find_run(machines, run_id)
        if found is None:
            raise BadInput(f"the nodes of {fleet.name} know no {run_id}", do="fleet runs lists the runs.")
        yield machines, found, folder


@contextmanager
def interruptible(fleet: Fleet) -> Iterator[None]:
    """SIGTERM ends as Ctrl-C does (while an engine works, in its own order: infra/engine.py).

    Raises Interrupted that says what is left of the fleet and what it costs, unless the work itself has said so.
    """
    from infra.errors import Interrupted
    from training.stack_fleet import StackFleet

    def on_term(signum: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, on_term)
    try:
        yield
    except KeyboardInterrupt as error:
        do = ""
        if isinstance(fleet, StackFleet):
            ends = f"fleet down -s {fleet.name} leaves nothing"
            do = f"{fleet.what_is_left()}: fleet up -s {fleet.name} goes on, {ends}."
        raise Interrupted("interrupted", do=do) from error
    finally:
        signal.signal(signal.SIGTERM, before)
