"""How far a transfer is, said about once a second from however many threads move it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

EVERY_S = 1.0


class Meter:
    """Adds up bytes and says `12.3 of 61.4 GiB`."""

    def __init__(self, say: Callable[[str], None], what: str, total: int) -> None:
        self._say, self._what, self._total = say, what, total
        self._moved, self._due, self._lock = 0, 0.0, threading.Lock()

    def add(self, moved: int) -> None:
        with self._lock:
            self._moved += moved
            if time.monotonic() < self._due:
                return
            self._due = time.monotonic() + EVERY_S
            said = amounts(min(self._moved, self._total), self._total)
        self._say(f"{self._what} {said}")


def amounts(moved: int, total: int) -> str:
    """Both in the unit that fits the total."""
    for power, unit in ((3, "GiB"), (2, "MiB"), (1, "KiB")):
        if total >= 1024**power:
            return f"{moved / 1024**power:.1f} of {total / 1024**power:.1f} {unit}"
    return f"{moved} of {total} bytes"
