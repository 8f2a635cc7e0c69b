"""fleet gpus: what a fleet's GPUs do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from training.cli import options

if TYPE_CHECKING:
    from training.gpus import Use

EVERY_S = 5.0


@click.command()
@options.where
@click.option("-f", "--follow", is_flag=True, help="Again every 5 seconds, until Ctrl-C.")
@options.json
def gpus(stack: str | None, hosts: str | None, local: bool, key: Path | None, follow: bool, as_json: bool) -> None:
    """What each GPU of a fleet does: busy, memory held, temperature, power. Also beside a run: it starts nothing there.

    Busy is the share of the last second in which some kernel ran. Busy at idle power is a rank that waits for another.
    """
    from training.gpus import gpus as ask
    from training.remote import Machines

    inventory = options.fleet_from(stack, hosts, local, key).inventory()
    with Machines(inventory) as machines:
        while True:
            found = ask(machines)
            if as_json:
                options.put_json({"nodes": [_as_json(rank, one) for rank, one in found.items()]})
            else:
                click.echo("\n".join(line for rank, one in found.items() for line in _lines(rank, one)))
            if not follow:
                return
            time.sleep(EVERY_S)


def _as_json(rank: int, found: list[Use] | str) -> dict[str, object]:
    known = not isinstance(found, str)
    return {"rank": rank, "gpus": [asdict(one) for one in found] if known else [], "error": "" if known else found}  # type: ignore[arg-type]


def _lines(rank: int, found: list[Use] | str) -> Iterator[str]:
    if isinstance(found, str):
        yield f"rank {rank:<4} {found}"
        return
    for one in found:
        memory = f"{_shown(one.held_gib, '.1f')} of {_shown(one.memory_gib, '.1f')} GiB"
        watts = f"{_shown(one.watts, '.0f')} of {_shown(one.watts_at_most, '.0f')} W"
        said = [f"{_shown(one.busy_percent, 'd'):>3} %", f"{memory:>18}", f"{watts:>12}"]
        yield f"rank {rank:<4} GPU {one.index:<2} {'  '.join([*said, _shown(one.celsius, 'd')])} °C  {one.name}"


def _shown(value: float | None, form: str) -> str:
    return "?" if value is None else format(value, form)
