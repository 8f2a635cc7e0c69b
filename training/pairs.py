"""Does every node reach every other? NCCL and gloo connect any two of them, on ports that the kernel chooses."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from infra.errors import FleetError
from training.checks import check
from training.connection import Connection, Result
from training.onnode import LISTEN, PYTHON
from training.readiness import Check
from training.remote import Machines

ASK_S = 30.0
DIAL_S = 5
#: A listener's longest life: it ends by itself once every other node has called.
LISTEN_S = 40

LISTENER = """
import socket, sys, time
nonce, guests, end = sys.argv[1].encode(), int(sys.argv[2]), time.time() + float(sys.argv[3])
try:
    server = socket.create_server(("", 0), family=socket.AF_INET6, backlog=1024, dualstack_ipv6=True)
except (OSError, ValueError):
    server = socket.create_server(("", 0), backlog=1024)
print(server.getsockname()[1], flush=True)
while guests and time.time() < end:
    server.settimeout(max(0.01, end - time.time()))
    try:
        guest, _ = server.accept()
        guest.sendall(nonce)
        guest.close()
        guests -= 1
    except OSError:
        pass
"""

DIALLER = """
import concurrent.futures, socket, sys
nonce, most_s = sys.argv[1].encode(), float(sys.argv[2])
def dial(peer):
    rank, address, port = peer.split(",")
    try:
        with socket.create_connection((address, int(port)), most_s) as s:
            got = b""
            while len(got) < len(nonce) and (more := s.recv(64)):
                got += more
        return rank, "ok" if got == nonce else "something else answers there"
    except OSError as error:
        return rank, error.strerror or str(error) or type(error).__name__
with concurrent.futures.ThreadPoolExecutor(64) as pool:
    for rank, said in pool.map(dial, sys.argv[3:]):
        print(rank, said)
"""


def all_pairs(machines: Machines, nonce: str) -> dict[int, list[Check]]:
    """Each node's check: every node listens, then every node calls all the others, all at once."""
    ranks = machines.ranks
    if len(ranks) < 2:
        return {}
    values = f"listener={shlex.quote(LISTENER)}; asked=({nonce} {len(ranks) - 1} {LISTEN_S})"
    listening = machines.run(f"{values}\n{LISTEN}", ASK_S)
    ports = {rank: _port(answer) for rank, answer in listening.items()}
    peers = {rank: f"{rank},{machines.node(rank).private_address},{port}" for rank, port in ports.items() if port}

    def call(connection: Connection) -> Result:
        others = " ".join(shlex.quote(peer) for rank, peer in peers.items() if rank != connection.node.rank)
        return connection.run(f'{PYTHON}\n"$python" -I -c {shlex.quote(DIALLER)} {nonce} {DIAL_S} {others}', ASK_S)

    called = machines.each(call, idempotent=True)
    return {
        rank: [one] for rank, one in judged({rank: _answers(one, ranks, rank) for rank, one in called.items()}).items()
    }


def judged(calls: Mapping[int, Mapping[int, str]]) -> dict[int, Check]:
    """calls: caller -> called -> "ok" or what came instead. Pure.

    A node that most others can't reach is itself what is bad, and is not counted against its callers.
    """
    others = len(calls) - 1
    unheard = {
        rank: [caller for caller, said in calls.items() if caller != rank and said.get(rank) != "ok"] for rank in calls
    }
    deaf = {rank for rank, callers in unheard.items() if len(callers) * 2 > others}
    return {rank: _judged(rank, calls[rank], unheard[rank] if rank in deaf else [], deaf, others) for rank in calls}


def _judged(rank: int, said: Mapping[int, str], callers: list[int], deaf: set[int], others: int) -> Check:
    needed = f"reaches all {others} others, and they reach it, on any port"
    failed = {one: why for one, why in said.items() if why != "ok" and one not in deaf}
    if callers:
        return check("ports", False, f"not reached from {_ranks(callers)}", needed)
    if failed:
        why = next(iter(failed.values()))
        return check("ports", False, f"does not reach {_ranks(list(failed))}: {why}", needed)
    return check("ports", True, f"{others} of {others} others", needed)


def _ranks(ranks: list[int]) -> str:
    shown = ", ".join(map(str, ranks[:8]))
    more = f" and {len(ranks) - 8} more" if len(ranks) > 8 else ""
    return f"rank{'s' if len(ranks) > 1 else ''} {shown}{more}"


def _port(answer: Result | FleetError) -> int:
    text = "" if isinstance(answer, FleetError) else answer.out.strip()
    return int(text) if text.isdigit() else 0


def _answers(answer: Result | FleetError, ranks: tuple[int, ...], rank: int) -> dict[int, str]:
    """What a node's calls gave; "no answer" for those that it doesn't tell of (nobody listened there)."""
    text = "" if isinstance(answer, FleetError) else answer.out
    told = dict(line.split(" ", 1) for line in text.splitlines() if " " in line)
    return {other: told.get(str(other), "nothing listens there") for other in ranks if other != rank}
