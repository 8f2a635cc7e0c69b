"""Is every node set up, and alike? Waits for `scripts/setup.sh` on each node, and names what failed where.

On a stack the node's user data starts it, for one profile; on own machines and on this one, and for a profile that a
stack's nodes lack, `start` ships and starts it. What it publishes in `~/fleet/bootstrap/` is described at its top.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from infra.errors import CloudRefused, FleetError
from training.connection import Connection, NotLetIn, Unreachable, quoted
from training.inventory import Node
from training.remote import Machines, all_or_raise
from training.run import SetupStep
from training.swift.profiles import folder

ASK_S = 20.0
MOST = timedelta(minutes=45)
#: Of a profile whose packages are compiled on the node: flash-attn takes an hour on a few cores (its README).
MOST_COMPILED = timedelta(hours=2)
COMPILED = ("flash", "megatron")
#: A node that does not answer for so long is gone: its machine boots, or comes back from a reboot, in less.
SILENT = timedelta(minutes=5)
TELL_SILENCE_S = 60.0
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
sum=$(sha256sum < "$HOME/fleet/setup/$profile.txt" | cut -c1-64)
grep -qs "\"lock\": *\"$sum\"" "$profile.ready.json" && [ "$(cat "$env/.lock")" = "$sum" ] && { echo ready; exit 0; }
rm -f "$profile.ready.json" steps.tsv
export FLEET_PROFILE=$profile FLEET_SHARED_PATH=$shared
setsid nohup bash "$HOME/fleet/setup/setup.sh" > setup.log 2>&1 < /dev/null &
for _ in $(seq 50); do held && break; kill -0 $! 2>/dev/null || break; sleep 0.1; done
echo started
"""

POLL = r"""
cd "$HOME/fleet/bootstrap" 2>/dev/null || { echo gone; exit 0; }
[ ! -e lock ] || held || echo "not held"
cat steps.tsv 2>/dev/null | sed 's/^/step\t/'
for ready in *.ready.json; do
  [ ! -s "$ready" ] || { printf 'ready\t'; tr -d '\n' < "$ready"; echo; }
done
"""


@dataclass(frozen=True)
class Setup:
    """What a node says of an environment. facts: all of PROFILE.ready.json."""

    rank: int
    facts: Mapping[str, str]

    def __str__(self) -> str:
        names = {"ms_swift": "swift", "torch": "torch"}
        return " · ".join(f"{name} {self.facts[key]}" for key, name in names.items() if key in self.facts)


@dataclass(frozen=True)
class Bootstrapped:
    """All nodes' set-ups by profile; those of one are alike."""

    profiles: Mapping[str, Mapping[int, Setup]]

    @property
    def summary(self) -> str:
        """`2 of 2 · vllm: swift 4.6.0 · torch 2.11.0 · identical`"""
        named = {"" if name == "base" else f"{name}: ": nodes for name, nodes in self.profiles.items()}
        said = [f"{name}{nodes[min(nodes)]}" for name, nodes in named.items()]
        count = len(next(iter(self.profiles.values())))
        return " · ".join([f"{count} of {count}", *said, *(["identical"] if count > 1 else [])])


@dataclass
class _Progress:
    steps: dict[str, tuple[str, float, str]] = field(default_factory=dict)
    seen: int = 0
    not_held: int = 0
    setup: Setup | None = None
    error: FleetError | None = None
    wait_s: float = BACKOFF_S[0]
    due: float = 0.0
    silent_since: float | None = None
    silence_told: bool = False

    @property
    def open(self) -> bool:
        return self.setup is None and self.error is None


def bootstrap(
    machines: Machines,
    profiles: Sequence[str] = ("base",),
    tell: Callable[[SetupStep], None] = lambda step: None,
    *,
    scripts: Path = SCRIPTS,
) -> Bootstrapped:
    """Every node with each of the profiles, and alike. tell: each step as it changes. scripts: setup.sh and `locks/`.

    What a stack's nodes make by themselves is waited for first; then each profile is made where its lock's is missing.
    """
    if machines.inventory.source == "stack":
        wait_ready(machines, tell, datetime.now(UTC) + MOST)
    setups = {}
    for profile in profiles:
        words = start(machines, profile, scripts)
        deadline = datetime.now(UTC) + (MOST_COMPILED if profile in COMPILED else MOST)
        new = partial(_told, tell, {rank for rank, word in words.items() if word != "ready"})
        setups[profile] = wait_ready(machines, new, deadline, profile)
    return Bootstrapped(setups)


def start(machines: Machines, profile: str, scripts: Path = SCRIPTS) -> dict[int, str]:
    """Ships the set-up and starts it on each node; a no-op where it runs, or has ended for this profile's lock.

    Gives a word a node: started, running or ready.
    """
    values = {"profile": profile, "shared": machines.inventory.shared_path}
    given = "; ".join(f"{name}={shlex.quote(value)}" for name, value in values.items())
    begin = f"{given}; env={quoted(folder(profile))}\n{HELD}{START}"

    def one(connection: Connection) -> str:
        for file in (scripts / "setup.sh", scripts / "locks" / f"{profile}.txt"):
            connection.put(file, f"~/fleet/setup/{file.name}")
        return connection.run(begin, ASK_S).must(connection.node, "starting the set-up").out.strip()

    return all_or_raise(machines.each(one, idempotent=True))


def wait_ready(
    machines: Machines,
    on_progress: Callable[[SetupStep], None] = lambda step: None,
    deadline: datetime | None = None,
    profile: str = "",
    silent: timedelta = SILENT,
) -> dict[int, Setup]:
    """Each node's set-up once all are ready and alike; a node that doesn't answer yet is asked again.

    profile: which; by default whichever its user data made.

    Raises at once where a node refuses for good or a step failed, with the tail of that step's log; after `silent`
    where one does not answer; at the deadline with the node that is missing and what it was last seen doing.
    """
    nodes = {rank: _Progress() for rank in machines.ranks}
    last: dict[int, FleetError] = {}
    while any(node.open for node in nodes.values()):
        due = [rank for rank, node in nodes.items() if node.open and node.due <= time.monotonic()]
        for rank, answer in machines.each(_poll, due, idempotent=True).items():
            node = nodes[rank]
            node.due = time.monotonic() + node.wait_s
            node.wait_s = min(node.wait_s * 1.5, BACKOFF_S[1])
            if isinstance(answer, Unreachable | NotLetIn):
                last[rank] = answer
                node.silent_since = node.silent_since or time.monotonic()
                silent_s = time.monotonic() - node.silent_since
                if silent_s >= silent.total_seconds():
                    node.error = _gone(machines.node(rank), answer, silent)
                elif silent_s >= TELL_SILENCE_S and not node.silence_told:
                    node.silence_told = True
                    detail = f"({answer.what.splitlines()[0]}), given up after {_minutes(silent)}"
                    on_progress(SetupStep(datetime.now(UTC), rank, "answer", "missing", detail))
                continue
            last.pop(rank, None)
            node.silent_since = None
            if isinstance(answer, FleetError):
                node.error = answer
            else:
                for step in _read(node, rank, answer, profile):
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


def _told(tell: Callable[[SetupStep], None], ranks: Collection[int], step: SetupStep) -> None:
    """Tells of those that work; the others' steps were told, or are of another day."""
    if step.rank in ranks:
        tell(step)


def _poll(connection: Connection) -> str:
    return connection.run(HELD + POLL, ASK_S).must(connection.node, "asking for the set-up").out


def _read(node: _Progress, rank: int, answer: str, profile: str) -> list[SetupStep]:
    """The steps that are new in an answer, none of what a stack's node had done before it was asked and is
    ready with; notes what the node now is."""
    first = not node.seen
    lines = answer.splitlines()
    rows = [line.split("\t")[1:] for line in lines if line.startswith("step\t")]
    new = []
    for row in rows[node.seen :]:
        step, state, epoch, detail = (*row, "", "", "", "")[:4]
        at = float(epoch) if epoch.replace(".", "", 1).isdigit() else time.time()
        node.steps[step] = (state, at, detail)
        new.append(SetupStep(datetime.fromtimestamp(at, UTC), rank, step, state, detail))
    lost = "gone" in lines and node.seen > 0
    node.seen = len(rows)
    failed = [step for step, (state, _, _) in node.steps.items() if state == "failed"]
    node.not_held = node.not_held + 1 if "not held" in lines else 0
    ready = [json.loads(line.partition("\t")[2]) for line in lines if line.startswith("ready\t")]
    mine = [facts for facts in ready if profile in ("", facts["profile"])]
    if mine:  # before a failed step: that is another profile's, for setup.sh takes its own ready.json away first
        node.setup = Setup(rank, {key: str(value) for key, value in mine[0].items()})
    elif failed:
        detail = node.steps[failed[-1]][2]
        node.error = CloudRefused(f"set-up step {failed[-1]} failed" + (f": {detail}" if detail else ""))
    elif lost:
        node.error = CloudRefused(
            "what its set-up had written is gone: the machine lost its disk", where=f"rank {rank}", do=_look(rank)
        )
    elif node.not_held > 1:
        node.error = CloudRefused(f"set-up ended in step {_doing(node)} without being ready")
    return [] if first and node.setup and not profile else new


def _look(rank: int) -> str:
    return f"Look at the machine; on a stack's fleet that is up, fleet replace {rank} gives another."


def _gone(node: Node, answer: FleetError, silent: timedelta) -> FleetError:
    what = f"it has not answered for {_minutes(silent)}: {answer.what}"
    return CloudRefused(what, where=f"{node.name} (rank {node.rank})", do=_look(node.rank))


def _minutes(span: timedelta) -> str:
    return f"{span / timedelta(minutes=1):g} min"


def _doing(node: _Progress) -> str:
    running = [step for step, (state, _, _) in node.steps.items() if state == "running"]
    return (running or list(node.steps) or ["none"])[-1]


def _with_tail(machines: Machines, rank: int, node: _Progress) -> FleetError:
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


def _late(machines: Machines, nodes: Mapping[int, _Progress], last: Mapping[int, FleetError]) -> FleetError:
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
