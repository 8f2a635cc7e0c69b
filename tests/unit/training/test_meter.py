from __future__ import annotations

import pytest

from training.meter import Meter, amounts


@pytest.mark.parametrize(
    ("moved", "total", "said"),
    [
        (0, 10, "0 of 10 bytes"),
        (512, 2048, "0.5 of 2.0 KiB"),
        (3 << 20, 61 << 20, "3.0 of 61.0 MiB"),
        (1 << 30, 5 << 30, "1.0 of 5.0 GiB"),
    ],
)
def test_both_amounts_are_in_the_unit_that_fits_the_total(moved: int, total: int, said: str) -> None:
    assert amounts(moved, total) == said


def test_many_small_pieces_are_said_once_and_never_as_more_than_there_is() -> None:
    said: list[str] = []
    meter = Meter(said.append, "train.jsonl", 4)
    for _ in range(100):
        meter.add(10)
    assert said[0] == "train.jsonl 4 of 4 bytes"
    assert len(said) < 100
