from __future__ import annotations

import io
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from infra.errors import BadInput, Interrupted
from training.record import Stage
from training.run import Checkpoint, LogLines, Note, RankEnded, RankLost, SetupStep, Step, World, from_json
from training.screen import Screen, one_stage

GOLDEN = Path(__file__).parent / "golden"
AT = datetime(2026, 11, 24, 5, 0, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return AT + timedelta(seconds=seconds)


EVENTS = [
    Stage(after(0), "up", "started"),
    Stage(after(1), "up", "note", "3 of 31 resources  node-000"),
    Stage(after(1), "up", "note", "3 of 31 resources  node-000"),
    Stage(after(60), "up", "done", "2 of 2 nodes"),
    Stage(after(60), "bootstrap", "started"),
    SetupStep(after(61), 1, "environment", "running"),
    Stage(after(70), "bootstrap", "done", "ms-swift 4.6.0"),
    Stage(after(70), "train", "started"),
    World(after(71), 16),
    World(after(72), 1, together=False),
    Step(after(75), 0, 2, 100, 6.51234, None, 1e-4, 1.5, 147, 20.1),
    Step(after(1800), 0, 100, 100, 1.25, None, None, None, None, None),
    Checkpoint(after(1801), "/c/checkpoint-100"),
    Note(after(1802), "a note"),
    RankEnded(after(1803), 0, 0),
    RankEnded(after(1803), 1, 137),
    RankLost(after(1804), 1, after(1790), "no answer in 10 s"),
    LogLines(after(1804), 0, 1, ("not shown",)),
    Stage(after(1805), "train", "failed", "rank 1 ended with exit code 137"),
]


def test_where_nothing_can_move_each_event_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(as_json=False, usd_per_hour=110.17, most_usd=440.68)
    for event in EVENTS:
        screen.show(event)
    screen.close()
    assert capsys.readouterr().out == (GOLDEN / "screen.txt").read_text()


def test_the_price_is_that_of_the_place_where_the_fleet_came_to_be(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(as_json=False, usd_per_hour=10, most_usd=40)
    screen.show(Stage(AT, "up", "started"))
    screen.priced(20, 80)
    screen.show(Step(after(3600), 0, 1, 2, 1.0, None, None, None, None, None))
    assert "$20.00 spent, $80.00 at most" in capsys.readouterr().out


def test_with_json_each_event_is_an_object_a_line_that_reads_back(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(as_json=True)
    for event in EVENTS:
        screen.show(event)
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(told) == len(EVENTS)
    for event, data in zip(EVENTS, told, strict=True):
        if isinstance(event, Stage):
            assert (data["event"], data["stage"], data["state"]) == ("Stage", event.stage, event.state)
        else:
            assert from_json(data) == event


def test_an_event_is_written_in_one_piece_for_they_come_from_several_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    class Pieces(io.StringIO):
        def write(self, text: str) -> int:
            pieces.append(text)
            return len(text)

    pieces: list[str] = []
    monkeypatch.setattr(sys, "stdout", Pieces())
    screen = Screen(as_json=True)
    for event in EVENTS:
        screen.show(event)
    assert all(piece.endswith("}\n") for piece in pieces if piece) and len([*filter(None, pieces)]) == len(EVENTS)


def test_dollars_are_not_spoken_of_where_no_price_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(as_json=False)
    for event in EVENTS:
        screen.show(event)
    assert "$" not in capsys.readouterr().out


def test_a_stage_that_was_stopped_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    Screen(as_json=False).show(Stage(AT, "train", "interrupted", "stopped"))
    assert capsys.readouterr().out.startswith("‖ train       stopped")


@pytest.mark.parametrize(
    ("error", "shown"),
    [(KeyboardInterrupt(), "‖ down        interrupted"), (Interrupted("cut"), "‖ down "), (BadInput("no"), "✗ down ")],
)
def test_a_stage_that_was_interrupted_is_not_shown_as_one_that_failed(
    capsys: pytest.CaptureFixture[str], error: BaseException, shown: str
) -> None:
    with pytest.raises(type(error)), one_stage("down", as_json=False):
        raise error
    assert shown in capsys.readouterr().out
