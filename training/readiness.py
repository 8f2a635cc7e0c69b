"""What preflight found: the value between it and the launch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from infra.errors import BadInput


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. do: what puts it right, where it is not ok."""

    name: str
    ok: bool
    found: str
    needed: str
    do: str


@dataclass(frozen=True)
class Readiness:
    """One node's checks."""

    rank: int
    name: str
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks)


@dataclass(frozen=True)
class Ready:
    """All nodes' checks, and what the launch needs of them.

    home, base: of each rank, absolute: its home folder, and what `{base}` stands for there.
    master_port: the first free one, reachable from every node; 0 where none was found.
    skew_s: of each rank, its clock minus this machine's. skipped: the checks that were not looked at.
    """

    nodes: Mapping[int, Readiness]
    home: tuple[str, ...]
    base: tuple[str, ...]
    master_addr: str
    master_port: int
    skew_s: Mapping[int, float]
    skipped: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return bool(self.master_port) and all(node.ok for node in self.nodes.values())

    @property
    def summary(self) -> str:
        """One line for a person: `2 of 2 nodes · GPUs 16 · clock 2 ms · master 10.0.0.4:29500`."""
        well = sum(node.ok for node in self.nodes.values())
        checks = [check for node in self.nodes.values() for check in node.checks]
        gpus = [int(check.found) for check in checks if check.name == "gpus" and check.ok]
        spread_ms = (max(self.skew_s.values()) - min(self.skew_s.values())) * 1000 if self.skew_s else 0.0
        said = [f"{well} of {len(self.nodes)} nodes", f"GPUs {sum(gpus)}", f"clock {spread_ms:.0f} ms"]
        said += list(dict.fromkeys(f"all-reduce {check.found}" for check in checks if check.name == "all-reduce"))[:1]
        said.append(f"master {self.master_addr}:{self.master_port}")
        return " · ".join([*said, *([f"skipped: {', '.join(self.skipped)}"] if self.skipped else [])])

    def require(self) -> Ready:
        """Itself, or BadInput with a line for each check that failed."""
        lines = [
            f"{node.name} (rank {node.rank})  {check.name}: {check.found}, needed: {check.needed}. {check.do}"
            for node in self.nodes.values()
            for check in node.checks
            if not check.ok
        ]
        if lines:
            raise BadInput("\n".join(lines))
        return self
