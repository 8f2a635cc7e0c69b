"""What of a stack still bills after something went wrong, in words: money first, then what ends it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from infra.cloud import Cloud
from infra.cost import HOURS_A_MONTH
from infra.errors import CloudRefused
from infra.ledger import Bill, Ledger, look

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


@dataclass(frozen=True)
class Left:
    """What of a stack bills by the hour, dearest first. unasked: each question that had no answer, and why."""

    bills: tuple[Bill, ...]
    unasked: tuple[str, ...] = ()

    @property
    def usd_per_hour(self) -> float | None:
        """None where a price or an answer is missing."""
        known = [bill.usd_per_hour for bill in self.bills if bill.usd_per_hour is not None]
        return None if self.unasked or len(known) < len(self.bills) else sum(known)

    @property
    def ends(self) -> bool:
        """Whether `fleet down` would end any of it: files that are to stay it would not."""
        return any(not bill.found.kept for bill in self.bills)

    def lines(self) -> tuple[str, ...]:
        """reservation cr-0123: 2 of 2 x p5.48xlarge unused, $110.08 an hour"""
        return tuple(_line(bill) for bill in self.bills)


def what_bills(cloud: Cloud, stack: str) -> Left:
    """Asked of AWS in the cloud's region, whatever any state says."""
    return of_stack(look(cloud, [cloud.region]), stack)


def of_stack(ledger: Ledger, stack: str, without: Collection[str] = ()) -> Left:
    """without: ids that are to be left out. Pure."""
    bills = (bill for bill in ledger.bills if bill.found.stack == stack and bill.found.id not in without)
    return Left(tuple(bills), ledger.unasked)


def what_is_left(cloud: Cloud, stack: str, nodes: int) -> str:
    """Asked of AWS, whatever any state says: "The fleet is up, $0.45 an hour". nodes: how many make it whole."""
    try:
        left = what_bills(cloud, stack)
    except CloudRefused:
        return UNTOLD
    return in_words(left.bills, nodes, all_asked=not left.unasked)


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


def _line(bill: Bill) -> str:
    found, usd = bill.found, bill.usd_per_hour
    detail = found.detail.removeprefix(f"{found.kind}: ")
    price = f"price UNKNOWN: {bill.unknown}" if usd is None else f"${usd:.2f} an hour"
    if usd is not None and found.kind in ("file system", "volume"):  # sold by the month, and an hour of it is $0.00
        price = f"${usd * HOURS_A_MONTH:.2f} a month"
    return f"{found.kind} {found.id}: {detail}, {price}"
