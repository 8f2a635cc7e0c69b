"""`python -m infra.sandbox STATE_DIR PORT SSH_PORT`: the sandbox in the foreground, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
import threading
from pathlib import Path

from infra.sandbox import processes
from infra.sandbox.environ import scratch
from infra.sandbox.state import Running, announce, hold

# What one cloud leaves behind and the next must not see. Pulumi's state speaks of resources that are gone with it.
LEFTOVERS = ("hosts", "efs", "trash", "pulumi", "requests.jsonl", "sandbox.json")


def main(argv: list[str]) -> int:
    state, port, ssh_port = Path(argv[0]).absolute(), int(argv[1]), int(argv[2])
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("asyncssh").setLevel(logging.WARNING)
    try:
        with hold(state / "alive.lock", wait=False):
            _clear(state)
            _serve(state, port, ssh_port)
            # The lock must not be free before the process is gone, and moto's objects take seconds to be collected.
            logging.shutdown()
            os._exit(0)
    except BlockingIOError:
        print(f"another sandbox runs in {state}", file=sys.stderr)
        return 2


def _serve(state: Path, port: int, ssh_port: int) -> None:
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    from infra.sandbox.cloud import Cloud

    cloud = Cloud(state, port, ssh_port)
    cloud.start()
    announce(Running(os.getpid(), cloud.port, ssh_port, cloud.since.isoformat(timespec="seconds"), str(state)))
    # Not without end: a signal that the kernel gives to another thread wakes this one up only when it next looks.
    while not ended.wait(1):
        continue
    cloud.stop()


def _clear(state: Path) -> None:
    """Ends what a killed sandbox left running, then removes what the last cloud held."""
    stuck = processes.end(lambda: processes.with_home_under(state / "hosts"))
    if stuck:
        logging.warning("processes of the last sandbox could not be ended: %s", stuck)
    for host in (state / "hosts").glob("*"):
        shutil.rmtree(scratch(host), ignore_errors=True)
    for name in LEFTOVERS:
        path = state / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    (state / "pulumi").mkdir(parents=True, exist_ok=True)  # the file backend must exist


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
