"""Do the nodes meet? Node 0 listens where torchrun will, the others connect; all look into the shared folder."""

from __future__ import annotations

import re
import shlex

from infra.errors import CloudRefused, FleetError
from training.checks import MASTER_PORT, check
from training.connection import Result, quoted
from training.onnode import LISTEN
from training.plan import MASTER_PORTS
from training.readiness import Check
from training.remote import Machines

ASK_S = 30.0
CONNECT_S = 5
#: NFS shows a new file to other clients after at most its attribute cache's minimum (nfs(5): acdirmin 30 s; EFS less).
SHARED_S = 35

#: Takes the first port that is free on every address, IPv4 and IPv6, and greets who connects. It lets the other side
#: close first, so that no TIME_WAIT is left on the port that torchrun takes next.
LISTENER = """
import socket, sys, time
nonce, first, last, guests, most_s = sys.argv[1].encode(), *map(int, sys.argv[2:6])
def listen(port):
    found = []
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        try:
            s = socket.socket(family, socket.SOCK_STREAM)
        except OSError:
            continue
        try:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            s.bind((address, port)); s.listen(128); found.append(s)
        except OSError as error:
            if error.errno in (97, 99):
                continue
            for one in [s, *found]: one.close()
            return []
    return found
for port in range(first, last + 1):
    open_ = listen(port)
    if open_: break
else:
    print("none", flush=True); sys.exit(0)
import os
print("port", port, os.getpid(), flush=True)
end = time.time() + most_s
import select
while guests and time.time() < end:
    for s in select.select(open_, [], [], max(0, end - time.time()))[0]:
        guest, _ = s.accept()
        guest.settimeout(2)
        try:
            guest.sendall(nonce); guest.recv(1)
        except OSError:
            pass
        guest.close(); guests -= 1
"""


def meet(machines: Machines, address: str, nonce: str) -> tuple[int, dict[int, list[Check]]]:
    """The port where every node reached node 0 (0 if none is free), and each node's check."""
    ranks = machines.ranks
    port, pid, said = _listen(machines, nonce)
    if not port:
        ports = f"one of {MASTER_PORTS.start}-{MASTER_PORTS.stop - 1} free on node 0"
        busy = Check(MASTER_PORT, False, said, ports, "End what holds them: ss -ltnp.")
        return 0, {rank: [busy] if rank == ranks[0] else [] for rank in ranks}
    reach = (
        f"timeout {CONNECT_S} bash -c {shlex.quote(f'exec 3<>/dev/tcp/{address}/{port} && head -c {len(nonce)} <&3')}"
    )
    answers = machines.run(reach, ASK_S, idempotent=True)
    machines.run(f"kill {pid} 2>/dev/null; true", ASK_S, ranks[:1])
    return port, {rank: [_reached(answers[rank], address, port, nonce)] for rank in ranks}


def same_folder(machines: Machines, shared_path: str, nonce: str) -> dict[int, list[Check]]:
    """Whether a file that node 0 writes in the shared folder is there for all, and all may write, at one path."""
    ranks = machines.ranks
    folder = quoted(shared_path)
    write = f'cd {folder} && pwd -P && printf %s {nonce} > ".fleet-{nonce}-$rank"'
    read = (
        f"cd {folder} || exit 1; for _ in $(seq {SHARED_S * 5}); do [ -s .fleet-{nonce}-{ranks[0]} ] && break; "
        f"ls > /dev/null; sleep 0.2; done; cat .fleet-{nonce}-{ranks[0]}"
    )
    written = machines.each(lambda c: c.run(f"rank={c.node.rank}\n{write}", ASK_S), idempotent=True)
    seen = machines.run(read, SHARED_S + ASK_S, idempotent=True)
    machines.run(f"cd {folder} && rm -f .fleet-{nonce}-*", ASK_S)
    where = _text(written[ranks[0]])
    return {rank: [_shared(shared_path, written[rank], seen[rank], where, nonce)] for rank in ranks}


def free_port(machines: Machines, rank: int) -> int:
    """A port of the rendezvous that is free on a node."""
    script = f"listener={shlex.quote(LISTENER)}; asked=(x {MASTER_PORTS.start} {MASTER_PORTS.stop - 1} 0 0)\n{LISTEN}"
    said = machines.on(rank, lambda c: c.run(script, ASK_S).must(c.node, "looking for a free port"), idempotent=True)
    found = re.search(r"^port (\d+) ", said.out, re.MULTILINE)
    if not found:
        ports = f"{MASTER_PORTS.start}-{MASTER_PORTS.stop - 1}"
        raise CloudRefused(
            f"none of {ports} is free", where=machines.node(rank).name, do="ss -ltnp shows what holds them."
        )
    return int(found[1])


def _listen(machines: Machines, nonce: str) -> tuple[int, int, str]:
    asked = f"asked=({nonce} {MASTER_PORTS.start} {MASTER_PORTS.stop - 1} {len(machines.ranks)} 60)"
    script = f"listener={shlex.quote(LISTENER)}; {asked}\n{LISTEN}"
    first = machines.ranks[0]
    result = machines.run(script, ASK_S, [first])[first]
    said = _text(result)
    found = re.search(r"^port (\d+) (\d+)$", said, re.MULTILINE)
    if found:
        return int(found[1]), int(found[2]), said
    return 0, 0, "none is free" if said == "none" else said or "no answer"


def _reached(answer: Result | FleetError, address: str, port: int, nonce: str) -> Check:
    ok = isinstance(answer, Result) and answer.out == nonce
    found = "reached" if ok else _text(answer, error=True) or f"no answer in {CONNECT_S} s"
    return check("rendezvous", ok, found, f"{address}:{port} reached from every node")


def _shared(path: str, written: Result | FleetError, seen: Result | FleetError, where: str, nonce: str) -> Check:
    needed = f"{path} is {where or 'there'} on every node, writable, one folder"
    for answer in (written, seen):
        if isinstance(answer, FleetError) or answer.exit_code:
            return check("shared-folder", False, _text(answer, error=True), needed)
    if _text(written) != where:
        return check("shared-folder", False, _text(written), needed)
    if _text(seen) != nonce:
        return check("shared-folder", False, "node 0's file is not there", needed)
    return check("shared-folder", True, where, needed)


def _text(answer: Result | FleetError, *, error: bool = False) -> str:
    if isinstance(answer, FleetError):
        return answer.what
    lines = (answer.err if error else answer.out).strip().splitlines()
    return lines[-1] if error and lines else "\n".join(lines)
