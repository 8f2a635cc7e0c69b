"""What ended with its fleet serves no more, by record and receipt; what serves elsewhere still does."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from tests.unit.training.test_receipt import OUTCOME, RECEIPT
from training.lifecycle import run_folder
from training.receipt import read_receipt
from training.record import Record
from training.run import now
from training.served import stopped_with
from training.told import StepDone

UP = StepDone("deploy", "serves", 3.0, "http://198.51.100.1:8000")


def serving(root: Path, run_id: str, fleet: str) -> None:
    request = replace(RECEIPT.request, run_id=run_id, source="stack", fleet=fleet)
    record = Record(root / ".fleet")
    record.begin(request, now())
    record.state(run_id, "serves")
    receipt = replace(RECEIPT, request=request, outcome=replace(OUTCOME, state="running"), chain=(UP,))
    run_folder(root, run_id).mkdir(parents=True)
    (run_folder(root, run_id) / "receipt.json").write_text(json.dumps(receipt.as_json()))


def test_an_endpoint_ends_with_its_fleet_by_record_and_receipt_and_no_other_does(tmp_path: Path) -> None:
    serving(tmp_path, "run-0001", "dev")
    serving(tmp_path, "run-0002", "other")
    stopped_with(tmp_path, "dev")
    record = Record(tmp_path / ".fleet")
    assert [record.state_of("run-0001"), record.state_of("run-0002")] == ["stopped", "serves"]
    served = [read_receipt(run_folder(tmp_path, one) / "receipt.json").serves for one in ("run-0001", "run-0002")]
    assert served == ["", UP.left]
