"""Is every node set up, and alike? Waits for `scripts/setup.sh` on each node, and names what failed where.

On a stack the node's user data starts it; on own machines and on this one `start` ships and starts it. What it
publishes in `~/fleet/bootstrap/` is described at its top.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from infra.errors import CloudRefused, FleetError
from training.remote import Connection, Machines, NotLetIn, Unreachable, all_or_raise
from training.run import SetupStep

ASK_S = 20.0
MOST = timedelta(minutes=45)
BACKOFF_S = (0.5, 2.0)
SCRIPTS = Path(__file__).parents[1] / "scripts"
TAIL_LINES = 15
#: Facts that must be the same on all nodes: ranks of other versions hang in their first collective.
ALIKE = ("ms_swift", "torch", "transformers", "python", "freeze_sha256")

#: Whether a process holds setup.sh's lock, seen without taking it: who takes it to look makes a set-up end at once.
HELD = r"""
held() { [ -e lock ] && grep -q ":$(stat -c %i lock) " /proc/locks; }
"""

START = r"""
mkdir -p "$HOME/fleet/bootstrap"; cd "$HOME/fleet/bootstrap" || exit 1
held && { echo running; exit 0; }
grep -qs "\"lock\": *\"$sum\"" ready.json && [ "$(cat "$HOME/swift-env/.lock")" = "$sum" ] && { echo ready; exit 0; }
rm -f ready.json steps.tsv
FLEET_SHARED_PATH=$shared setsid nohup bash "$HOME/fleet/setup/setup.sh" > setup.log 2>&1 < /dev/null &
for _ in $(seq 50); do held && break; kill -0 $! 2>/dev/null || break; sleep 0.1; done
echo started
"""

POLL = r"""
cd "$HOME/fleet/bootstrap" 2>/dev/null || exit 0
[ ! -e lock ] || held || echo "not held"
cat steps.tsv 2>/dev/null | sed 's/^/step\t/'
[ ! -s ready.json ] || { printf 'ready\t'; tr -d '\n' < ready.json; echo; }
"""


@dataclass(frozen=True)
class Setup:
    """What a node says of its environment. facts: all of ready.json."""

    rank: int
    facts: Mapping[str, str]

    def __str__(self) -> str:
        names = {"ms_swift": "swift", "torch": "torch"}
        return " · ".join(f"{name} {self.facts[key]}" for key, name in names.items() if key in self.facts)


@dataclass(frozen=True)
class Bootstrapped:
    """All nodes' set-ups, which are alike."""

    nodes: Mapping[int, Setup]

    @property
    def summary(self) -> str:
        """`2 of 2 · swift 4.6.0 · torch 2.11.0 · identical`"""
        count = len(self.nodes)
        return f"{count} of {count} · {next(iter(self.nodes.values()))}" + (" · identical" if count > 1 else "")


@dataclass
class _Node:
    steps: dict[str, tuple[str, float, str]] = field(default_factory=dict)
    seen: int = 0
    not_held: int = 0
    setup: Setup | None = None
    error: FleetError | None = None
    wait_s: float = BACKOFF_S[0]
    due: float = 0.0

    @property
    def open(self) -> bool:
        return self.setup is None and self.error is None


def bootstrap(
    machines: Machines,
    tell: Callable[[SetupStep], None] = lambda step: None,
    *,
    most: timedelta = MOST,
) -> Bootstrapped:
    """Sets up what nobody else does, and waits until every node is ready and alike. tell: each step as it changes."""
    deadline = datetime.now(UTC) + most
    if machines.inventory.source != "stack":
        start(machines, SCRIPTS / "setup.sh", SCRIPTS / "swift-lock.txt")
    return Bootstrapped(wait_ready(machines, tell, deadline))


def start(machines: Machines, script: Path, lock: Path) -> dict[int, str]:
    """Ships the set-up and starts it on each node; a no-op where it runs, or has ended for this lock file.

    Gives a word a node: started, running or ready. script, lock: scripts/setup.sh and its lock file.
    """
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    begin = f"sum={digest}; shared={shlex.quote(machines.inventory.shared_path)}\n{HELD}{START}"

    def one(connection: Connection) -> str:
        for file in (script, lock):
            connection.put(file, f"~/fleet/setup/{file.name}")
        return connection.run(begin, ASK_S).must(connection.node, "starting the set-up").out.strip()

    return all_or_raise(machines.each(one, idempotent=True))


def wait_ready(
    machines: Machines,
    on_progress: Callable[[SetupStep], None] = lambda step: None,
    deadline: datetime | None = None,
) -> dict[int, Setup]:
    """Each node's set-up once all are ready and alike; a node that doesn't answer yet is asked again.

    Raises at once where a node refuses for good or a step failed, with the tail of that step's log; at the
    deadline with the node that is missing and what it was last seen doing.
    """
    nodes = {rank: _Node() for rank in machines.ranks}
    last: dict[int, FleetError] = {}
    while any(node.open for node in nodes.values()):
        due = [rank for rank, node in nodes.items() if node.open and node.due <= time.monotonic()]
        for rank, answer in machines.each(_poll, due, idempotent=True).items():
            node = nodes[rank]
            node.due = time.monotonic() + node.wait_s
            node.wait_s = min(node.wait_s * 1.5, BACKOFF_S[1])
            if isinstance(answer, Unreachable | NotLetIn):
                last[rank] = answer
                continue
            last.pop(rank, None)
            if isinstance(answer, FleetError):
                node.error = answer
            else:
                for step in _read(node, rank, answer):
                    on_progress(step)
        failed = [rank for rank, node in nodes.items() if node.error]
        if failed:
            raise _with_tail(machines, failed[0], nodes[failed[0]])
        if deadline and datetime.now(UTC) >= deadline:
            raise _late(machines, nodes, last)
        pending = [node.due - time.monotonic() for node in nodes.values() if node.open]
        time.sleep(max(0.0, min(pending, default=0.0)))
    setups = {rank: node.setup for rank, node in nodes.items() if node.setup}
    _alike(machines, setups)
    return setups


def differences(setups: Mapping[int, Setup]) -> list[str]:
    """The facts that differ between nodes, a line each: `torch: 2.11.0 on rank 0, 2.10.0 on rank 1`. Pure."""
    lines = []
    for key in ALIKE:
        found: dict[str, list[int]] = {}
        for rank, setup in setups.items():
            found.setdefault(str(setup.facts.get(key, "?")), []).append(rank)
        if len(found) > 1:
            said = [f"{value} on rank {', '.join(map(str, ranks))}" for value, ranks in found.items()]
            lines.append(f"{key}: {'; '.join(said)}")
    return lines


def _poll(connection: Connection) -> str:
    return connection.run(HELD + POLL, ASK_S).must(connection.node, "asking for the set-up").out


def _read(node: _Node, rank: int, answer: str) -> list[SetupStep]:
    """The steps that are new in an answer; notes what the node now is."""
    lines = answer.splitlines()
    rows = [line.split("\t")[1:] for line in lines if line.startswith("step\t")]
    new = []
    for row in rows[node.seen :]:
        step, state, epoch, detail = (*row, "", "", "", "")[:4]
        at = float(epoch) if epoch.replace(".", "", 1).isdigit() else time.time()
        node.steps[step] = (state, at, detail)
        new.append(SetupStep(datetime.fromtimestamp(at, UTC), rank, step, state, detail))
    node.seen = len(rows)
    failed = [step for step, (state, _, _) in node.steps.items() if state == "failed"]
    node.not_held = node.not_held + 1 if "not held" in lines else 0
    ready = [line.partition("\t")[2] for line in lines if line.startswith("ready\t")]
    if failed:
        detail = node.steps[failed[-1]][2]
        node.error = CloudRefused(f"set-up step {failed[-1]} failed" + (f": {detail}" if detail else ""))
    elif ready:
        node.setup = Setup(rank, {key: str(value) for key, value in json.loads(ready[0]).items()})
    elif node.not_held > 1:
        node.error = CloudRefused(f"set-up ended in step {_doing(node)} without being ready")
    return new


def _doing(node: _Node) -> str:
    running = [step for step, (state, _, _) in node.steps.items() if state == "running"]
    return (running or list(node.steps) or ["none"])[-1]


def _with_tail(machines: Machines, rank: int, node: _Node) -> FleetError:
    error = node.error
    assert error
    failed = [step for step, (state, _, _) in node.steps.items() if state == "failed"]
    if not isinstance(error, CloudRefused) or error.where:
        return error
    log = f"{(failed or [_doing(node)])[-1]}.log"
    tail = f"tail -n {TAIL_LINES}"
    script = f'cd "$HOME/fleet/bootstrap"; {tail} {shlex.quote(log)} 2>/dev/null || {tail} setup.log'
    answer = machines.run(script, ASK_S, [rank], idempotent=True)[rank]
    text = "" if isinstance(answer, FleetError) else answer.out.rstrip()
    do = f"The end of ~/fleet/bootstrap/{log} there:\n{text}" if text else f"Look at ~/fleet/bootstrap/{log} there."
    return CloudRefused(error.what, where=machines.node(rank).name, do=do)


def _late(machines: Machines, nodes: Mapping[int, _Node], last: Mapping[int, FleetError]) -> FleetError:
    lines = []
    for rank, node in nodes.items():
        if node.open:
            name = machines.node(rank).name
            said = str(last[rank]) if rank in last else f"{name}  still in set-up step {_doing(node)}"
            lines.append(said)
    return CloudRefused(
        "\n".join(lines) + "\nnot ready in time", do="Give more time, or look at the nodes' ~/fleet/bootstrap."
    )


def _alike(machines: Machines, setups: Mapping[int, Setup]) -> None:
    found = differences(setups)
    if found:
        do = "Set the nodes up anew from one lock file: ranks of other versions hang."
        raise CloudRefused(f"the nodes differ in {' · '.join(found)}", where=machines.inventory.name, do=do)
