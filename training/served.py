"""An endpoint that somebody ended serves no more: said so where this clone remembers it, record and receipt."""

from __future__ import annotations

from pathlib import Path

from training.lifecycle import run_folder
from training.receipt import no_longer_serves
from training.record import Record


def stopped(root: Path, run_id: str) -> None:
    """The run, by `fleet stop`."""
    Record(root / ".fleet").state(run_id, "stopped")
    receipt = run_folder(root, run_id) / "receipt.json"
    if receipt.exists():
        no_longer_serves(receipt)


def stopped_with(root: Path, stack: str) -> None:
    """All that a stack's fleet served, which has ended."""
    for request, _, state in Record(root / ".fleet").runs():
        if state == "serves" and (request.source, request.fleet) == ("stack", stack):
            stopped(root, request.run_id)
