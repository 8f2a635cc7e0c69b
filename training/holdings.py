"""`fleet ps`: what bills by the hour, in the accounts that this clone's stacks name; with --all whoever's it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from infra.cloud import Cloud
from infra.errors import CloudRefused
from infra.ledger import Bill, known_region, look
from infra.prices import aged
from infra.stack_files import known_stacks
from training.receipt import span
from training.stack_cloud import AT_REST, cloud_at_rest

#: What is asked for, and what is not: "nothing else bills" would be more than was looked at.
ASKED = "instances, volumes, elastic addresses, NAT gateways, EFS, FSx, unused reservations"
ASKED_OF_ALL = f"{ASKED}, snapshots, VPC endpoints, load balancers"


@dataclass(frozen=True)
class Account:
    """Where to ask, and the stacks of this clone that live there."""

    cloud: Cloud
    stacks: tuple[str, ...]
    regions: tuple[str, ...]


@dataclass(frozen=True)
class Holdings:
    """unasked: each question without an answer, and why; notes: what was not asked for a good reason."""

    bills: tuple[Bill, ...]
    regions: tuple[str, ...]
    unasked: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    prices: tuple[str, ...] = ()
    of_all: bool = False

    @property
    def usd_per_hour(self) -> float:
        """Of what has a known price."""
        return sum(bill.usd_per_hour or 0.0 for bill in self.bills)

    def as_json(self) -> dict[str, Any]:
        rows = [
            {
                "region": one.found.region,
                "kind": one.found.kind,
                "id": one.found.id,
                "detail": one.found.detail,
                "stack": one.found.stack or None,
                "since": one.found.since.isoformat() if one.found.since else None,
                "usd_per_hour": one.usd_per_hour,
                "unknown": one.unknown,
            }
            for one in self.bills
        ]
        return {
            "bills": rows,
            "usd_per_hour_known": self.usd_per_hour,
            "regions": self.regions,
            "unasked": self.unasked,
            "notes": self.notes,
            "prices": self.prices,
        }


def accounts(root: Path, stack: str | None) -> tuple[list[Account], list[str]]:
    """Each account that a stack file names, or that of one stack; and of which there is nothing to ask."""
    grouped: dict[object, list[tuple[str, Cloud]]] = {}
    notes = []
    for name in [stack] if stack else known_stacks(root):
        cloud = cloud_at_rest(root, name)
        if cloud is None:
            notes.append(f"stack {name}: {AT_REST}")
            continue
        key = (cloud.profile, cloud.access_key, tuple(sorted(cloud.endpoints.items())))
        grouped.setdefault(key, []).append((name, cloud))
    found = [
        Account(
            cloud=members[0][1],
            stacks=tuple(name for name, _ in members),
            regions=tuple(dict.fromkeys(cloud.region for _, cloud in members)),
        )
        for members in grouped.values()
    ]
    return found, notes


def ask(root: Path, stack: str | None, regions: Sequence[str], of_all: bool, today: date) -> Holdings:
    """regions: where to look; by default the stacks' own, or with `of_all` every one that the account has enabled."""
    found, notes = accounts(root, stack)
    bills: list[Bill] = []
    looked: list[str] = []
    unasked: list[str] = []
    sources: list[str] = []
    for account in found:
        try:
            where = [known_region(account.cloud, name) for name in regions]
            where = where or (account.cloud.regions() if of_all else list(account.regions))
            ledger = look(account.cloud, where, of_all)
        except CloudRefused as error:
            unasked.append(f"account of stack {', '.join(account.stacks)}: {error.sentence}")
            continue
        bills += [one for one in ledger.bills if of_all or one.found.stack in account.stacks]
        unasked += ledger.unasked
        looked += [region for region in ledger.regions if region not in looked]
        source = aged(ledger.source, ledger.as_of, today, ledger.note)
        sources += [source] if ledger.source and source not in sources else []
    return Holdings(tuple(bills), tuple(looked), tuple(unasked), tuple(notes), tuple(sources), of_all)


def lines(holdings: Holdings, at: datetime) -> list[str]:
    out = _table(holdings.bills, at)
    unknown = sum(one.usd_per_hour is None for one in holdings.bills)
    if holdings.bills:
        more = f", and {unknown} whose price is UNKNOWN" if unknown else ""
        out += ["", f"all         ${holdings.usd_per_hour:.4f} an hour for {len(holdings.bills) - unknown}{more}"]
        out += [f"price       {source}" for source in holdings.prices]
    elif holdings.regions:
        whose = "" if holdings.of_all else " of this clone's stacks"
        out.append(f"nothing{whose} bills by the hour{', as far as it could be asked' if holdings.unasked else ''}")
    for one in holdings.bills:
        if one.unknown:
            out.append(f"UNKNOWN     {one.found.id}: {one.unknown}")
    if holdings.regions:
        asked = ASKED_OF_ALL if holdings.of_all else ASKED
        out.append(f"asked       {', '.join(holdings.regions)}: {asked}; no other service")
    return out + [f"note        {note}" for note in holdings.notes]


def _table(bills: Iterable[Bill], at: datetime) -> list[str]:
    rows = [
        (
            one.found.region,
            one.found.kind,
            one.found.id,
            one.found.detail,
            f"stack {one.found.stack}" if one.found.stack else "not ours",
            _age(one.found.since, at),
            "UNKNOWN" if one.usd_per_hour is None else f"${one.usd_per_hour:.4f}",
        )
        for one in bills
    ]
    if not rows:
        return []
    rows = [("region", "kind", "id", "what", "whose", "age", "an hour"), *rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _age(since: datetime | None, at: datetime) -> str:
    """Days from the second on; unknown where AWS does not say when it was made."""
    if since is None:
        return "unknown"
    days = (at - since).days
    return f"{days} days" if days >= 2 else span((at - since).total_seconds())
