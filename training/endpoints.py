"""What a fleet serves: the port that a server really got, whether it answers, and where others reach it.

`swift deploy` and `swift rollout` take the next free port where theirs is busy (swift/arguments/deploy_args.py), so the
port is the one that uvicorn says, of a page the one that Gradio says; that it answers is asked on the node itself.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from urllib.parse import urlsplit

from infra.errors import FleetError, TrainingFailed
from training.inventory import Node
from training.onnode import PYTHON, SERVES
from training.remote import Machines
from training.run import Endpoint, Outcome, Run, now

ASK_S = 60.0
#: From "Uvicorn running on": it listens by then, and answers at once.
HEALTH_S = 120
PATHS = ("/health", "/v1/models", "/")
#: Addresses that stand for all of a machine's, and those that only the machine itself reaches.
ALL, OWN = ("0.0.0.0", "::"), ("127.0.0.1", "localhost", "::1")

#: Prints the first path that answers. 401 and 403 are answers too: of a server that wants its api_key.
HEALTH = """
import ssl, sys, time, urllib.error, urllib.request
base, end = sys.argv[1], time.time() + float(sys.argv[2])
anyone = ssl._create_unverified_context()
said = "no answer"
while time.time() < end:
    for path in sys.argv[3:]:
        try:
            urllib.request.urlopen(base + path, timeout=10, context=anyone).close()
            print(path); sys.exit(0)
        except urllib.error.HTTPError as error:
            if error.code in (401, 403):
                print(path); sys.exit(0)
            said = f"{path}: {error}"
        except OSError as error:
            said = f"{path}: {error}"
    time.sleep(1)
print(said, file=sys.stderr); sys.exit(1)
"""


def reached(url: str, node: Node) -> str:
    """Where a server that listens at `url` on its node is reached by the others. Pure."""
    parts = urlsplit(url)
    host = node.private_address if parts.hostname in ALL else parts.hostname
    return f"{parts.scheme}://{f'[{host}]' if ':' in str(host) else host}:{parts.port}"


def on_node(url: str) -> str:
    """Where it is reached on its own node. Pure."""
    parts = urlsplit(url)
    host = "127.0.0.1" if parts.hostname in ALL else parts.hostname
    return f"{parts.scheme}://{f'[{host}]' if ':' in str(host) else host}:{parts.port}"


def answering(machines: Machines, run: Run, outcome: Outcome) -> tuple[Endpoint, ...]:
    """The endpoints of a run whose ranks have all said where they listen, each once it answers.

    Raises TrainingFailed where one does not.
    """
    found = []
    for rank in run.ranks:
        url = outcome.serves[rank]
        words = shlex.join([on_node(url), str(HEALTH_S), *PATHS])
        script = f'{PYTHON}\n"$python" -I -c {shlex.quote(HEALTH)} {words}'
        answer = machines.on(rank, lambda c, script=script: c.run(script, HEALTH_S + ASK_S), idempotent=True)  # type: ignore[misc]
        if answer.exit_code:
            said = (answer.err.strip() or "no answer").splitlines()[-1]
            raise TrainingFailed(
                f"{run.step} listens on rank {rank} at {url} and does not answer: {said}",
                where=machines.node(rank).name,
                do=f"fleet logs {run.id} --rank {rank}",
            )
        found.append(Endpoint(now(), run.id, rank, reached(url, machines.node(rank)), on_node(url), answer.out.strip()))
    return tuple(found)


def endpoints(machines: Machines, ranks: Iterable[int] | None = None) -> tuple[Endpoint, ...]:
    """What lives and listens on the fleet now. A node that can't be asked is left out."""
    found = []
    for rank, one in machines.run(SERVES, ASK_S, ranks, idempotent=True).items():
        if isinstance(one, FleetError):
            continue
        rows = [line.split() for line in one.out.splitlines() if line.startswith("serves ")]
        found += [Endpoint(now(), run, rank, reached(url, machines.node(rank)), on_node(url)) for _, run, url in rows]
    return tuple(found)
