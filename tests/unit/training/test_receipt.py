from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.receipt import Asked, Money, Receipt, lines, make_receipt, no_longer_serves, read_receipt, size, span
from training.record import STAGES, Request, Stage
from training.run import Cause, Checkpoint, Note, Outcome, Step
from training.told import StepDone, seconds_by_stage

GOLDEN = Path(__file__).parent / "golden"
AT = datetime(2026, 11, 24, 5, 0, tzinfo=UTC)
REQUEST = Request("run-7f3a", "/jobs/job.yaml", "stack", "dev")
MONEY = Money(110.17, "AWS Price List, us-east-1, 2026-07-20", 440.68, 0.5, {"instances": 110.08, "EBS": 0.09}, 4.0)
OUTCOME = Outcome(
    AT, "succeeded", AT, AT, {0: 0, 1: 0}, world_size=16, step=100, max_steps=100, first_loss=6.512, last_loss=1.25
)
CAUSE = Cause(1, 733, "CUDA out of memory", "TROUBLE-19", "GPU memory runs out", "max_length lower")
RECEIPT = Receipt(
    request=REQUEST,
    outcome=OUTCOME,
    money=MONEY,
    stages={"up": 60.0, "launch": 0.2, "train": 1380.0, "down": 360.0},
    steps=(),
    checkpoints=("/c/checkpoint-100",),
    kept="runs/run-7f3a/output",
    files=12,
    bytes=61 << 20,
    resources_removed=31,
    proof=(Asked("ec2 DescribeInstances tag:swift-fleet:stack=dev", ()), Asked("iam ListRoles dev", ())),
)


def after(seconds: float) -> datetime:
    return AT + timedelta(seconds=seconds)


def step(number: int, loss: float = 1.0, at: float = 0) -> Step:
    return Step(after(at), 0, number, 10, loss, None, None, None, None, None)


MISSED = "p5.48xlarge in us-east-1a: InsufficientInstanceCapacity: We do not have sufficient capacity in that zone."
VARIANTS = {
    "succeeded": RECEIPT,
    "left_up": replace(RECEIPT, left_up=True, proof=(), resources_removed=None),
    "something_left": replace(
        RECEIPT, proof=(Asked("ec2 DescribeVolumes tag:swift-fleet:stack=dev", ("volume vol-1", "volume vol-2")),)
    ),
    "budget": replace(RECEIPT, money=replace(MONEY, budget=440.68, not_counted=("EFS by the GB",))),
    "overrun": replace(RECEIPT, money=replace(MONEY, budget=50.0)),
    "ended_by_itself": replace(
        RECEIPT, money=replace(MONEY, budget=50.0, at_most=True), outcome=None, left_up=True, nodes_gone=True, proof=()
    ),
    "walked": replace(RECEIPT, walk=(MISSED, MISSED.replace("-1a", "-1b"))),
    "own_hosts": replace(
        RECEIPT,
        request=replace(REQUEST, source="hosts", fleet="lab"),
        money=Money(None, "own machines", None, None, {}),
        proof=(),
    ),
    "no_price": replace(RECEIPT, money=Money(None, "", None, 0.5, {})),
    "failed": replace(RECEIPT, outcome=replace(OUTCOME, state="failed", step=37, cause=CAUSE)),
    "apart": replace(RECEIPT, outcome=replace(OUTCOME, world_size=2, together=False)),
    "never_trained": replace(RECEIPT, outcome=None, kept="", stages={"up": 3.0}),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_a_receipt_reads_as_it_always_did(name: str) -> None:
    assert "\n".join(lines(VARIANTS[name])) + "\n" == (GOLDEN / f"receipt_{name}.txt").read_text()


@pytest.mark.parametrize("name", VARIANTS)
def test_a_receipt_survives_its_json(tmp_path: Path, name: str) -> None:
    file = tmp_path / "receipt.json"
    file.write_text(json.dumps(VARIANTS[name].as_json()))
    assert read_receipt(file) == VARIANTS[name]


def test_a_server_that_was_stopped_serves_no_more_by_its_receipt(tmp_path: Path) -> None:
    file, up = tmp_path / "receipt.json", StepDone("deploy", "serves", 3.0, "http://198.51.100.1:8000")
    serving = replace(RECEIPT, outcome=replace(OUTCOME, state="running"), chain=(up,))
    file.write_text(json.dumps(serving.as_json()))
    assert read_receipt(file).serves == up.left and lines(serving)[0].startswith("run-7f3a  serves")
    no_longer_serves(file)
    assert read_receipt(file) == replace(serving, chain=(replace(up, state="served"),))
    assert lines(read_receipt(file))[0].startswith("run-7f3a  served")


TEXT = st.text(max_size=20)
USD = st.none() | st.floats(0, 1e6)
OUTCOMES = st.builds(
    Outcome,
    at=st.just(AT),
    state=st.sampled_from(["succeeded", "failed", "stopped", "lost"]),
    started_at=st.datetimes(timezones=st.just(UTC)),
    ended_at=st.datetimes(timezones=st.just(UTC)),
    exit_codes=st.dictionaries(st.integers(0, 300), st.none() | st.integers(0, 255)),
    cause=st.none() | st.builds(Cause, rank=st.integers(0, 9), line=st.integers(1, 9), text=TEXT),
    checkpoints=st.lists(TEXT).map(tuple),
)
RECEIPTS = st.builds(
    Receipt,
    request=st.builds(Request, TEXT, TEXT, st.sampled_from(["stack", "hosts", "local"]), TEXT, st.booleans()),
    outcome=st.none() | OUTCOMES,
    money=st.builds(Money, USD, TEXT, USD, USD, st.dictionaries(TEXT, st.floats(0, 1e6))),
    stages=st.dictionaries(st.sampled_from(STAGES), st.floats(0, 1e6)),
    steps=st.lists(st.builds(step, st.integers(0, 10**6), st.floats(-1e9, 1e9)), max_size=5).map(tuple),
    checkpoints=st.lists(TEXT).map(tuple),
    kept=TEXT,
    files=st.integers(0, 10**9),
    bytes=st.integers(0, 10**15),
    left_up=st.booleans(),
    resources_removed=st.none() | st.integers(0, 999),
    proof=st.lists(st.builds(Asked, TEXT, st.lists(TEXT, max_size=3).map(tuple)), max_size=3).map(tuple),
)


@settings(max_examples=40)
@given(RECEIPTS)
def test_any_receipt_survives_its_json_and_can_be_read(
    tmp_path_factory: pytest.TempPathFactory, receipt: Receipt
) -> None:
    file = tmp_path_factory.getbasetemp() / "receipt.json"
    file.write_text(json.dumps(receipt.as_json()))
    back = read_receipt(file)
    assert back.as_json() == receipt.as_json()
    assert lines(back) == lines(receipt)


def test_the_places_that_had_no_room_are_on_the_receipt() -> None:
    events = [Stage(AT, "up", "started"), Stage(AT, "up", "note", MISSED), Stage(after(9), "up", "done", "2 nodes")]
    assert make_receipt(REQUEST, events, MONEY).walk == (MISSED,)


def test_what_was_billed_is_time_times_price() -> None:
    assert MONEY.actual == pytest.approx(55.085)


@pytest.mark.parametrize("unknown", ["usd_per_hour", "billed_hours"])
def test_what_nobody_knows_is_unknown_and_never_nothing(unknown: str) -> None:
    assert replace(MONEY, **{unknown: None}).actual is None


@pytest.mark.parametrize(
    ("proof", "nothing"),
    [
        ((), False),
        ((Asked("a", ()),), True),
        ((Asked("a", ()), Asked("b", ("x",))), False),
        ((Asked("a", (), ("file system fs-1",)),), True),
    ],
)
def test_nothing_is_left_only_where_it_was_asked_and_answered(proof: tuple[Asked, ...], nothing: bool) -> None:
    assert replace(RECEIPT, proof=proof).nothing_left is nothing


def test_what_is_kept_is_named_beside_the_answer_and_bills() -> None:
    kept = replace(RECEIPT, proof=(Asked("efs DescribeFileSystems", (), ("file system fs-1",)),))
    assert lines(kept)[-1].endswith("none but file system fs-1, kept (retain: true), bills by the GB")


@pytest.mark.parametrize(
    ("events", "spent"),
    [
        ([], {}),
        ([Stage(after(0), "up", "started"), Stage(after(9), "up", "done")], {"up": 9}),
        ([Stage(after(0), "up", "started"), Stage(after(4), "up", "failed")], {"up": 4}),
        (
            [
                Stage(after(0), "train", "started"),
                Note(after(30), "killed here"),
                Stage(after(100), "train", "started"),
                Stage(after(110), "train", "done"),
            ],
            {"train": 40},
        ),
        (
            [
                Stage(after(0), "up", "started"),
                Stage(after(2), "up", "failed"),
                Stage(after(50), "up", "started"),
                Stage(after(53), "up", "done"),
            ],
            {"up": 5},
        ),
        ([Stage(after(7), "down", "done")], {}),
        (
            [
                Stage(after(5), "train", "started"),
                Stage(after(5), "train", "note", "x"),
                Stage(after(9), "train", "done"),
                Stage(after(0), "plan", "started"),
                Stage(after(1), "plan", "done"),
            ],
            {"plan": 1, "train": 4},
        ),
    ],
    ids=["none", "whole", "failed", "cut off", "tried twice", "end without start", "in the line's order"],
)
def test_each_stage_counts_over_all_its_tries(events: list, spent: dict[str, float]) -> None:
    assert seconds_by_stage(events) == spent
    assert list(seconds_by_stage(events)) == list(spent)


def test_a_run_that_was_resumed_has_each_step_and_checkpoint_once_and_its_last_outcome() -> None:
    events = [
        step(2, 5.0),
        step(4, 4.0),
        Checkpoint(AT, "/c/2"),
        replace(OUTCOME, state="lost"),
        step(4, 3.9),
        step(6, 3.0),
        Checkpoint(AT, "/c/2"),
        Checkpoint(AT, "/c/6"),
        OUTCOME,
    ]
    made = make_receipt(REQUEST, events, MONEY)
    assert [(one.step, one.loss) for one in made.steps] == [(2, 5.0), (4, 3.9), (6, 3.0)]
    assert made.checkpoints == ("/c/2", "/c/6")
    assert made.outcome == OUTCOME


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (14.4, "14 s"),
        (59.6, "1 min 00 s"),
        (112, "1 min 52 s"),
        (3599.6, "1 h 00 min"),
        (14940, "4 h 09 min"),
        (360000, "100 h 00 min"),
    ],
)
def test_a_time_is_said_in_two_units_at_most(seconds: float, text: str) -> None:
    assert span(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (61 << 20, "61.0 MiB"), (5 << 40, "5120.0 GiB")],
)
def test_a_size_is_said_in_the_unit_that_fits(count: int, text: str) -> None:
    assert size(count) == text
