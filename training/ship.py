"""Brings the plan's files to the nodes: once onto a shared folder, else to every node at once. Resumable.

A shipment's folder is named by what it holds (`data/<digest>/`), so one that is there whole is never sent again.
Bytes go to `<name>.part`; only when size and sha256 agree does the file get its name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.errors import CloudRefused
from training.connection import Connection, quoted
from training.meter import Meter
from training.place import Shipment
from training.plan import Plan
from training.remote import Machines, all_or_raise

ASK_S = 60.0
#: A node hashes 200 MB/s at the least.
HASH_BYTES_PER_S = 200e6

#: size of <file>, of <file>.part, for each name on stdin's list; "-" where there is none.
SIZES = r"""
for name in "${names[@]}"; do
  echo "$(stat -c %s -- "$name" 2>/dev/null || echo -) $(stat -c %s -- "$name.part" 2>/dev/null || echo -)"
done
"""


@dataclass(frozen=True)
class Shipped:
    """What came to one node: files and bytes that were sent, files that were there."""

    files: int = 0
    sent_bytes: int = 0
    kept: int = 0


@dataclass(frozen=True)
class Item:
    """One file on its way: its path under `{base}`."""

    local: Path
    there: str
    size: int


def ship(machines: Machines, plan: Plan, say: Callable[[str], None] = lambda text: None) -> str:
    """Sends what the plan ships; gives the folder that `{base}` stands for. say: how far it is."""
    base = machines.inventory.shared_path or "~/fleet"
    send(machines, plan, base, say)
    return base


def send(
    machines: Machines, plan: Plan, base: str, say: Callable[[str], None] = lambda text: None
) -> dict[int, Shipped]:
    """As `ship`: to rank 0 alone where the folder is shared; gives what each node got."""
    if not plan.shipments:
        return {}
    ranks = machines.ranks[:1] if machines.inventory.shared_path else machines.ranks
    meter = Meter(say, "data", sum(one.size for one in plan.shipments) * len(ranks))
    sums = Sums()

    def one(connection: Connection) -> Shipped:
        parts = [_send(connection, base, shipment, sums, meter.add) for shipment in plan.shipments]
        return Shipped(sum(p.files for p in parts), sum(p.sent_bytes for p in parts), sum(p.kept for p in parts))

    return all_or_raise(machines.each(one, ranks, idempotent=True))


def items(shipment: Shipment) -> list[Item]:
    """The files of a shipment, each with its place."""
    if shipment.local.is_file():
        return [Item(shipment.local, shipment.there, shipment.local.stat().st_size)]
    files = sorted(path for path in shipment.local.rglob("*") if path.is_file())
    return [
        Item(path, f"{shipment.there}/{path.relative_to(shipment.local).as_posix()}", path.stat().st_size)
        for path in files
    ]


class Sums:
    """sha256 of this machine's files, each read once however many nodes it goes to."""

    def __init__(self) -> None:
        self._known: dict[Path, str] = {}

    def of(self, path: Path) -> str:
        if path not in self._known:
            with path.open("rb") as file:
                self._known[path] = hashlib.file_digest(file, "sha256").hexdigest()
        return self._known[path]


def _send(
    connection: Connection, base: str, shipment: Shipment, sums: Sums, progress: Callable[[int], None]
) -> Shipped:
    files = items(shipment)
    folder = f"{base}/{shipment.there.rsplit('/', 1)[0]}"
    mark = f"{folder}/.whole"
    if connection.run(f"[ -e {quoted(mark)} ]", ASK_S).exit_code == 0:
        progress(shipment.size)
        return Shipped(kept=len(files))
    sizes = _sizes(connection, base, files)
    sent, moved = [], 0
    for item, (whole, part) in zip(files, sizes, strict=True):
        if whole == item.size:
            progress(item.size)
            continue
        offset = part if part is not None and part <= item.size else 0
        progress(offset)
        connection.put(item.local, f"{base}/{item.there}.part", offset, progress)
        sent.append(item)
        moved += item.size - offset
    bad = _settle(connection, base, files, sent, sums)
    for item in bad:
        # A part of another content, or a file cut at the right size: once more, from its first byte.
        connection.put(item.local, f"{base}/{item.there}.part", 0)
        moved += item.size
    still = _settle(connection, base, bad, bad, sums) if bad else []
    if still:
        do = f"Is {still[0].local} being written to? Else the disk or the way is bad."
        raise CloudRefused(f"{still[0].there} arrived with another sha256", where=connection.node.name, do=do)
    connection.run(f": > {quoted(mark)}", ASK_S).must(connection.node, "marking the data as whole")
    return Shipped(len(sent), moved, len(files) - len(sent))


def _sizes(connection: Connection, base: str, files: Sequence[Item]) -> list[tuple[int | None, int | None]]:
    names = " ".join(quoted(f"{base}/{item.there}") for item in files)
    answer = connection.run(f"names=({names})\n{SIZES}", ASK_S).must(connection.node, "looking for data")
    rows = [line.split() for line in answer.out.splitlines()]
    return [(_number(whole), _number(part)) for whole, part in rows]


def _settle(connection: Connection, base: str, files: Sequence[Item], parts: Sequence[Item], sums: Sums) -> list[Item]:
    """Names the `.part`s that are right and checks the rest; gives the files that are not, removed."""
    fresh: Mapping[Path, Item] = {item.local: item for item in parts}
    if not files:
        return []
    lines = []
    for number, item in enumerate(files):
        final = quoted(f"{base}/{item.there}")
        now = quoted(f"{base}/{item.there}.part") if item.local in fresh else final
        lines.append(
            f'[ "$(sha256sum < {now} | cut -c1-64)" = {sums.of(item.local)} ] '
            + (f"&& mv -f -- {now} {final} " if item.local in fresh else "")
            + f"|| {{ rm -f -- {now}; echo {number}; }}"
        )
    timeout_s = ASK_S + sum(item.size for item in files) / HASH_BYTES_PER_S
    answer = connection.run("\n".join(lines), timeout_s).must(connection.node, "checking sums")
    return [files[int(number)] for number in answer.out.split()]


def _number(text: str) -> int | None:
    return int(text) if text.isdigit() else None
