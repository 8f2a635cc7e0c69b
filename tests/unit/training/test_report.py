from __future__ import annotations

import math
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.receipt import Asked, Money, Receipt
from training.report import HEIGHT, WIDTH, draw, usd, write_report
from training.run import Cause

from .test_receipt import OUTCOME, RECEIPT, RECEIPTS, step

NASTY = "<script>alert(1)</script>&\"'"


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.said = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.said += data


def page(folder: Path, receipt: Receipt) -> Page:
    write_report(receipt, folder / "report.html")
    return Page((folder / "report.html").read_text())


def test_it_shows_the_cost_the_curve_and_the_proof(tmp_path: Path) -> None:
    shown = page(tmp_path, replace(RECEIPT, steps=(step(1, 6.5), step(100, 1.25))))
    for text in ("run-7f3a succeeded", "$440.68", "$55.09", "6.5 to 1.25", "12 files, 61.0 MiB", "31 resources"):
        assert text in shown.said, text
    assert "polyline" in shown.tags


def test_it_shows_the_arguments_of_each_step_and_no_environment(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(
        "command: sft\nargs: {model: m, lora_rank: 8}\nenv: {HF_ENDPOINT: x9}\nthen: [{name: last, command: infer}]\n"
    )
    said = page(tmp_path, RECEIPT).said
    assert "sft of m, 2 arguments" in said and "lora_rank" in said and "last, 0 arguments" in said and "x9" not in said


def test_what_others_wrote_is_text_and_never_markup(tmp_path: Path) -> None:
    outcome = replace(OUTCOME, cause=Cause(0, 1, NASTY), last_checkpoint=NASTY)
    shown = page(
        tmp_path,
        replace(
            RECEIPT,
            request=replace(RECEIPT.request, fleet=NASTY),
            outcome=outcome,
            kept=NASTY,
            money=Money(1.0, NASTY, 1.0, 1.0, {NASTY: 1.0}),
            proof=(Asked(NASTY, (NASTY,)),),
        ),
    )
    assert "script" not in shown.tags
    assert shown.said.count("alert(1)") >= 6


def test_it_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    shown = page(tmp_path, RECEIPT)
    text = (tmp_path / "report.html").read_text()
    assert not {"script", "link", "img", "iframe"} & set(shown.tags)
    assert "http" not in text


def test_a_run_that_was_cut_off_in_training_has_a_report_too(tmp_path: Path) -> None:
    shown = page(tmp_path, replace(RECEIPT, outcome=None, steps=(step(1, 6.5), step(2, 6.0))))
    assert "ended before" in shown.said and "6.5 to 6" in shown.said


@settings(max_examples=40)
@given(RECEIPTS)
def test_any_receipt_becomes_a_page(tmp_path_factory: pytest.TempPathFactory, receipt: Receipt) -> None:
    assert "html" in page(tmp_path_factory.getbasetemp(), receipt).tags


@pytest.mark.parametrize("losses", [[], [(1, 2.0)], [(1, math.nan), (2, 1.0)]])
def test_no_curve_is_drawn_through_less_than_two_points(losses: list[tuple[int, float]]) -> None:
    assert draw(losses) is None


@given(st.lists(st.tuples(st.integers(0, 10**6), st.floats(width=32)), min_size=2, max_size=50))
def test_every_point_that_is_a_number_lies_in_the_picture(losses: list[tuple[int, float]]) -> None:
    losses = sorted(losses)
    finite = [one for one in losses if math.isfinite(one[1])]
    curve = draw(losses)
    if len(finite) < 2:
        assert curve is None
        return
    assert curve
    points = [tuple(map(float, point.split(","))) for point in curve.points.split(" ")]
    assert len(points) == len(finite)
    for x, y in points:
        assert 0 <= x <= WIDTH and 0 <= y <= HEIGHT


def test_money_that_is_not_known_is_said_so() -> None:
    assert (usd(None), usd(0), usd(1234.5), usd(0.0148)) == ("unknown", "$0.00", "$1,234.50", "$0.0148")
