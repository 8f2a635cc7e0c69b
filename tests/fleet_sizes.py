"""What `scripts/bench up` measures: a fleet made and ended by `fleet`, and by plain `pulumi`, at several sizes.

The nodes boot, listen, and arm their ends; their own set-up is left out, for a machine of two cores can't do it 256
times, and neither side waits for it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from project import Done, Going, Project

from infra.cloud import APP

STACK = "sandbox"
SIZES = (2, 16, 64, 256)
#: Of what a straight line says, for what else the machine does meanwhile.
SLACK = 1.1


@dataclass(frozen=True)
class Size:
    """Medians in seconds; memory of the process `fleet up` alone, at its most; our own calls, the provider's left out.

    resources: things in AWS that `down` removed.
    """

    nodes: int
    up_s: float
    pulumi_up_s: float
    down_s: float
    pulumi_destroy_s: float
    resources: int
    up_calls: int
    down_calls: int
    memory_mib: float

    def __str__(self) -> str:
        return (
            f"{self.nodes:5} nodes  up {self.up_s:6.1f} / {self.pulumi_up_s:6.1f} s   down {self.down_s:6.1f} / "
            f"{self.pulumi_destroy_s:6.1f} s   {self.resources:4} resources   own calls {self.up_calls} and "
            f"{self.down_calls}   {self.memory_mib:.0f} MiB"
        )


def measure(project: Project, nodes: int, repeat: int, *, warm_up: bool) -> Size:
    """Ours and theirs in turn, `repeat` times, and once before where the cloud is new."""
    project.nodes_set_up(False)
    project.stack(STACK, change={"swift-fleet:nodes": str(nodes)})
    project.fleet("sandbox", "start").ok()
    taken: list[tuple[float, float, float, float]] = []
    for number in range(repeat + warm_up):
        before = len(own_calls(project))
        up_s, memory = _up(project)
        made = len(own_calls(project))
        down_s, done = _timed(lambda: project.fleet("down", "-s", STACK, "--json", within=3600))
        resources, ended = int(done.events[-1]["resources"]), len(own_calls(project))
        pulumi_up_s, _ = _timed(lambda: project.pulumi("up", "--yes", "-s", STACK, within=3600))
        pulumi_destroy_s, _ = _timed(lambda: project.pulumi("destroy", "--yes", "-s", STACK, within=3600))
        if number or not warm_up:
            taken.append((up_s, pulumi_up_s, down_s, pulumi_destroy_s))
    times = [statistics.median(column) for column in zip(*taken, strict=True)]
    return Size(nodes, *times, resources, made - before, ended - made, memory)


def own_calls(project: Project) -> list[str]:
    return [call["action"] for call in project.calls() if call["app"] == APP]


def growth(sizes: Sequence[Size]) -> Iterator[str]:
    """Each size beside the line through the two before it: more is more than linear."""
    for one, two, three in zip(sizes, sizes[1:], sizes[2:], strict=False):
        for what, unit in (("up_s", "s"), ("down_s", "s"), ("memory_mib", "MiB"), ("resources", "resources")):
            first, second, third = (float(getattr(size, what)) for size in (one, two, three))
            each = (second - first) / (two.nodes - one.nodes)
            line = second + each * (three.nodes - two.nodes)
            verdict = "at most linear" if third <= line * SLACK else "MORE THAN LINEAR"
            found = f"{what.split('_')[0]:9} {third:6.0f} {unit}"
            said = f"the line through {one.nodes} and {two.nodes} is at {line:.0f}"
            yield f"{three.nodes:5} nodes  {found}, {said}: {verdict}"


def _up(project: Project) -> tuple[float, float]:
    """Seconds, and MiB at the most, of `fleet up`."""
    began = time.perf_counter()
    going = project.going("up", "-s", STACK, "--yes", "--json")
    memory = 0.0
    while going.goes_on():
        memory = max(memory, _peak_mib(going))
        time.sleep(0.1)
    going.ended().ok()
    return time.perf_counter() - began, memory


def _peak_mib(going: Going) -> float:
    try:
        text = Path(f"/proc/{going.pid}/status").read_text()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith("VmHWM")), 0.0)


def _timed(act: Callable[[], Done]) -> tuple[float, Done]:
    began = time.perf_counter()
    done = act().ok()
    return time.perf_counter() - began, done
