"""What of a stack still bills after something went wrong, in words: money first, then what ends it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from infra.cloud import Cloud
from infra.errors import CloudRefused
from infra.ledger import Bill, look

UNTOLD = "Whether the fleet is up can't be told"
NOTHING = "No node is up, nothing bills by the hour"


@contextmanager
def adding_what_is_left(cloud: Cloud, stack: str, nodes: int) -> Iterator[None]:
    """A refusal while the stack is ended says what it left, and at what price."""
    try:
        yield
    except CloudRefused as error:
        do = f"{error.do} {what_is_left(cloud, stack, nodes)}: fleet down -s {stack} tries again."
        raise type(error)(error.what, where=error.where or f"stack {stack}", do=do.strip()) from error


def what_is_left(cloud: Cloud, stack: str, nodes: int) -> str:
    """Asked of AWS, whatever any state says: "The fleet is up, $0.45 an hour". nodes: how many make it whole."""
    try:
        ledger = look(cloud, [cloud.region])
    except CloudRefused:
        return UNTOLD
    mine = [bill for bill in ledger.bills if bill.found.stack == stack]
    return in_words(mine, nodes, all_asked=not ledger.unasked)


def in_words(bills: Sequence[Bill], nodes: int, *, all_asked: bool = True) -> str:
    """bills: the stack's own. all_asked: whether no question was left without an answer. Pure."""
    there = Counter(bill.found.kind for bill in bills)
    up = there.pop("instance", 0)
    if not (up or all_asked):
        return UNTOLD
    return f"{_nodes(up, nodes) if up else _others(there)}{_price(bills, all_asked)}"


def _nodes(up: int, nodes: int) -> str:
    return "The fleet is up" if up == nodes else f"{up} of {nodes} nodes {'is' if up == 1 else 'are'} up"


def _others(there: Counter[str]) -> str:
    left = " and ".join(f"{count} {kind}{'s' if count > 1 else ''}" for kind, count in there.items())
    return f"No node is up, {left} {'are' if there.total() > 1 else 'is'} left" if left else NOTHING


def _price(bills: Sequence[Bill], all_asked: bool) -> str:
    known = [bill.usd_per_hour for bill in bills if bill.usd_per_hour is not None]
    if not bills:
        return ""
    if not known:
        return ", price unknown"
    least = "" if all_asked and len(known) == len(bills) else "at least "
    return f", {least}${sum(known):.2f} an hour"
