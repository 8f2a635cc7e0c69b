"""The timers that hosts have set with `systemd-run` or `shutdown +N`. They live as long as the machine is up, as
systemd's transient units do: a reboot or a stop forgets them. One that repeats fires at each of its moments, also when
the clock is moved over many; as systemd, not while its command still runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from infra.sandbox.clock import Clock, Due

#: (host, unit, command, whether to wait for its end)
Runner = Callable[[str, str, list[str], bool], None]


@dataclass(frozen=True)
class Timer:
    """`due` is in the cloud's time; `shown` is the same moment as the host's own `date` counts."""

    host: str
    unit: str
    due: datetime
    shown: datetime
    command: tuple[str, ...]
    every: float | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"due": self.due.timestamp(), "shown": self.shown.timestamp()}


class Timers:
    def __init__(self, clock: Clock, run: Runner) -> None:
        self._clock, self._run = clock, run
        self._lock = threading.Lock()
        self._timers: dict[tuple[str, str], Timer] = {}
        clock.follow(self._due)

    def add(
        self,
        host: str,
        unit: str,
        command: list[str],
        *,
        at: float | None = None,
        after: float | None = None,
        every: float | None = None,
    ) -> Timer:
        """`at`: epoch seconds as the host counts them, which know nothing of the clock's offset. Two timers of one
        unit are refused, as systemd does: KeyError."""
        offset = self._clock.offset
        due = (
            datetime.fromtimestamp(at, UTC) + offset
            if at is not None
            else self._clock.now() + timedelta(seconds=after or every or 0)
        )
        timer = Timer(host, unit, due, due - offset, tuple(command), every)
        with self._lock:
            if (host, unit) in self._timers:
                raise KeyError(unit)
            self._timers[host, unit] = timer
        self._clock.wake()
        return timer

    def of(self, host: str) -> list[Timer]:
        with self._lock:
            return sorted((t for t in self._timers.values() if t.host == host), key=lambda t: t.due)

    def remove(self, host: str, unit: str) -> bool:
        with self._lock:
            return self._timers.pop((host, unit), None) is not None

    def forget(self, host: str) -> None:
        with self._lock:
            self._timers = {key: timer for key, timer in self._timers.items() if timer.host != host}

    def _due(self) -> Iterator[Due]:
        with self._lock:
            timers = list(self._timers.values())
        for timer in timers:
            yield Due(timer.due, f"{timer.host} {timer.unit}", lambda timer=timer: self._fire(timer))  # type: ignore[misc]

    def _fire(self, timer: Timer) -> None:
        if not self.remove(timer.host, timer.unit):
            return
        if timer.every:
            step = timedelta(seconds=timer.every)
            with self._lock:
                self._timers[timer.host, timer.unit] = replace(timer, due=timer.due + step, shown=timer.shown + step)
        self._run(timer.host, timer.unit, list(timer.command), bool(timer.every))
