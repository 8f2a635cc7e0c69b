"""What a fleet's GPUs do at this moment: nvidia-smi on every node at once. Reading is pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from infra.errors import FleetError
from training.connection import Result
from training.remote import Machines

ASK_S = 30.0
FIELDS = "index,name,utilization.gpu,memory.used,memory.total,temperature.gpu,power.draw,power.limit"
ASK = f"timeout 20 nvidia-smi --query-gpu={FIELDS} --format=csv,noheader,nounits 2>&1"


@dataclass(frozen=True)
class Use:
    """One GPU. busy_percent: of the last second in which a kernel ran; it says nothing of how well. None: not told."""

    index: int
    name: str
    busy_percent: int | None
    held_gib: float | None
    memory_gib: float | None
    celsius: int | None
    watts: float | None
    watts_at_most: float | None


def gpus(machines: Machines) -> dict[int, list[Use] | str]:
    """The GPUs of each rank, or what came instead of them."""
    answers: Mapping[int, Result | FleetError] = machines.run(ASK, ASK_S, idempotent=True)
    return {rank: str(one) if isinstance(one, FleetError) else read(one) for rank, one in answers.items()}


def read(answer: Result) -> list[Use] | str:
    """nvidia-smi's lines as values; where it can't tell, its own last line."""
    rows = [line.split(", ") for line in answer.out.splitlines() if line.count(", ") >= 7]
    if answer.exit_code or not rows:
        said = answer.out.strip().splitlines()
        return "no GPU: there is no nvidia-smi" if answer.exit_code == 127 else said[-1] if said else "no GPU"
    return [_use(row) for row in rows]


def _use(row: list[str]) -> Use:
    index, name, *rest = row
    busy, held, memory, celsius, watts, most = (_number(one) for one in rest[:6])
    return Use(int(index), name, _whole(busy), _gib(held), _gib(memory), _whole(celsius), watts, most)


def _number(text: str) -> float | None:
    """None of `[N/A]` and `[Not Supported]`."""
    try:
        return float(text)
    except ValueError:
        return None


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _gib(mib: float | None) -> float | None:
    return None if mib is None else round(mib / 1024, 1)
