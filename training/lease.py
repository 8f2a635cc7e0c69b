"""The nodes' own end, asked on the nodes: until when and whether its timers are armed; and moved there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from infra.errors import FleetError
from training.connection import Connection
from training.remote import Machines

STATE = "state=${FLEET_STATE_DIR:-/var/lib/swift-fleet}"
ASK = f"""
{STATE}
deadline=$(cat "$state/deadline" 2> /dev/null)
echo "deadline $deadline"
systemctl is-active --quiet "fleet-lease-$deadline.timer" && echo armed
echo "idle-minutes $(cat "$state/idle-minutes" 2> /dev/null)"
systemctl is-active --quiet fleet-idle.timer && echo idle-armed
echo "idle $(cat "$state/idle" 2> /dev/null)"
"""
#: From `old` to `new`, epoch seconds. The next timer, named after its deadline, is armed before the last one goes: the
#: node has one at every moment. May run again after it was cut off anywhere.
MOVE = f"""
set -e
{STATE}
case $(cat "$state/deadline") in
  $old|$new) ;;
  *) echo "its deadline is another one by now" >&2; exit 1 ;;
esac
left=$((new - $(date +%s)))
[ "$left" -gt 0 ] || {{ echo "$(date -u -d "@$new") is past" >&2; exit 1; }}
systemctl is-active --quiet "fleet-lease-$new.timer" ||
  systemd-run --unit="fleet-lease-$new" --on-active="$left" --timer-property=AccuracySec=1s shutdown -h now
systemctl is-active --quiet "fleet-lease-$new.timer"
echo "$new" > "$state/deadline.new" && mv "$state/deadline.new" "$state/deadline"
! systemctl is-active --quiet "fleet-lease-$old.timer" || systemctl stop "fleet-lease-$old.timer"
"""
ASK_S = 15.0
#: Between two looks of the node at whether it works (infra/userdata.py).
IDLE_EVERY = timedelta(minutes=5)


@dataclass(frozen=True)
class Lease:
    """deadline: UTC, None where the node has none; armed: its timer runs; unknown: why the node can't tell.

    idle_after: None where the node knows of no idle end, 0 where it is off; idle_for: how long it has done nothing,
    None where it has not looked yet.
    """

    rank: int
    deadline: datetime | None
    armed: bool
    unknown: str = ""
    idle_after: timedelta | None = None
    idle_armed: bool = False
    idle_for: timedelta | None = None


def leases(machines: Machines) -> tuple[Lease, ...]:
    """Each node's lease, asked of all at once."""
    return tuple(
        one if isinstance(one, Lease) else Lease(rank, None, False, str(one))
        for rank, one in sorted(machines.each(_ask, idempotent=True).items())
    )


def move(machines: Machines, moves: Mapping[int, tuple[datetime, datetime]]) -> dict[int, FleetError]:
    """Moves each rank's deadline from one time to another, on all nodes at once. Gives the ranks where it failed,
    with why; of those whose node gave no answer it can't be told whether they moved."""
    results = machines.each(lambda connection: _move(connection, *moves[connection.node.rank]), moves, idempotent=True)
    return {rank: one for rank, one in results.items() if isinstance(one, FleetError)}


def parse(rank: int, said: str) -> Lease:
    """What a node said of its lease."""
    words = dict(line.partition(" ")[::2] for line in said.splitlines())
    deadline, minutes, looks = (words.get(key, "") for key in ("deadline", "idle-minutes", "idle"))
    trailing = looks[looks.rfind("b") + 1 :]
    return Lease(
        rank,
        datetime.fromtimestamp(int(deadline), UTC) if deadline.isdigit() else None,
        "armed" in words,
        idle_after=timedelta(minutes=int(minutes)) if minutes.isdigit() else None,
        idle_armed="idle-armed" in words,
        idle_for=trailing.count("i") * IDLE_EVERY if looks else None,
    )


def _ask(connection: Connection) -> Lease:
    return parse(connection.node.rank, connection.run(ASK, ASK_S).must(connection.node, "asking for its lease").out)


def _move(connection: Connection, old: datetime, new: datetime) -> None:
    times = f"old={int(old.timestamp())} new={int(new.timestamp())}"
    script = f"sudo bash -s << 'END-OF-MOVE'\n{times}\n{MOVE}END-OF-MOVE\n"
    connection.run(script, ASK_S).must(connection.node, "moving its lease")
