"""Which processes belong to a host, and how they end. A host has no container around it: its processes are known by the
HOME that they inherited, whatever session or process group they moved to."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

GRACE_S = 2.0
LAST_S = 10.0


def with_home(home: Path) -> list[int]:
    return _matching(lambda value: value == os.fsencode(home))


def with_home_under(folder: Path) -> list[int]:
    prefix = os.fsencode(folder) + b"/"
    return _matching(lambda value: value.startswith(prefix))


def cpu_seconds(home: Path) -> float:
    """CPU time of a host's processes, and of their children that have ended."""
    ticks = 0
    for pid in with_home(home):
        try:
            fields = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def end(find: Callable[[], Iterable[int]], grace_s: float = GRACE_S) -> list[int]:
    """TERM, then KILL for what is still there after the grace, until none is found (one may fork meanwhile).
    Returns those that could not be ended."""
    _signal(find(), signal.SIGTERM)
    start = time.monotonic()
    while left := list(find()):
        waited = time.monotonic() - start
        if waited > grace_s + LAST_S:
            return left
        if waited > grace_s:
            _signal(left, signal.SIGKILL)
        time.sleep(0.02)
    return []


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def _matching(fits: Callable[[bytes], bool]) -> list[int]:
    found = []
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            environ = Path(entry.path, "environ").read_bytes()
        except OSError:  # it ended meanwhile, or is another user's
            continue
        home = next((v[5:] for v in environ.split(b"\0") if v.startswith(b"HOME=")), None)
        if home is not None and fits(home):
            found.append(int(entry.name))
    return found
