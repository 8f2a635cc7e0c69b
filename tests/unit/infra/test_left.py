"""What of a stack still bills, in words."""

from __future__ import annotations

import pytest

from infra.billed import Found
from infra.ledger import Bill
from infra.left import NOTHING, UNTOLD, in_words


def bill(kind: str, usd: float | None) -> Bill:
    return Bill(Found("us-east-1", kind, "id", "", "dev", None), usd)


NODE, DISK, HELD = bill("instance", 2.0), bill("volume", 0.02), bill("reservation", 2.0)


@pytest.mark.parametrize(
    ("bills", "all_asked", "words"),
    [
        ([NODE, DISK, NODE, DISK], True, "The fleet is up, $4.04 an hour"),
        ([NODE, DISK, HELD], True, "1 of 2 nodes is up, $4.02 an hour"),
        ([NODE, NODE, NODE], True, "3 of 2 nodes are up, $6.00 an hour"),
        ([NODE, bill("instance", None)], True, "The fleet is up, at least $2.00 an hour"),
        ([bill("instance", None)], True, "1 of 2 nodes is up, price unknown"),
        ([NODE], False, "1 of 2 nodes is up, at least $2.00 an hour"),
        ([DISK], False, UNTOLD),
        (
            [HELD, bill("NAT gateway", 0.045)],
            True,
            "No node is up, 1 reservation and 1 NAT gateway are left, $2.04 an hour",
        ),
        ([bill("file system", 0.1)], True, "No node is up, 1 file system is left, $0.10 an hour"),
        ([], True, NOTHING),
    ],
)
def test_what_bills_is_said_with_its_price(bills: list[Bill], all_asked: bool, words: str) -> None:
    assert in_words(bills, 2, all_asked=all_asked) == words
