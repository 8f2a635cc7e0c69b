"""The cloud's own time: the real one plus an offset that only moves forward, when a test asks for it.

What falls due at a time comes from *sources* (the timers of the hosts, the schedules in moto). One thread waits for the
next due moment or for a wake-up; it never polls.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

# A wait is cut at this length, so that a real clock set forward by NTP or by a resume from sleep is noticed.
LONGEST_WAIT_S = 60.0


@dataclass(frozen=True)
class Due:
    """`at` is in the cloud's time. `run` must take its subject out of the source, or it will be due again."""

    at: datetime
    what: str
    run: Callable[[], None]


Source = Callable[[], Iterable[Due]]


class Clock:
    def __init__(self, real: Callable[[], float] = time.time) -> None:
        self._real = real
        self._offset = timedelta(0)
        self._sources: list[Source] = []
        self._news = threading.Condition()
        self._awake = False
        self._stopped = False
        self._thread = threading.Thread(target=self._loop, name="sandbox-clock", daemon=True)

    @property
    def offset(self) -> timedelta:
        return self._offset

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._real(), UTC) + self._offset

    def advance(self, seconds: float) -> datetime:
        if seconds < 0:
            raise ValueError("the clock only goes forward")
        with self._news:
            self._offset += timedelta(seconds=seconds)
        self.wake()
        return self.now()

    def follow(self, source: Source) -> None:
        self._sources.append(source)

    def wake(self) -> None:
        """Something may have become due earlier than the thread knows."""
        with self._news:
            self._awake = True
            self._news.notify_all()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        with self._news:
            self._stopped = True
            self._news.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def run_due(self) -> datetime | None:
        """Does everything that is due, in order of time; the moment of what comes next, None if nothing does."""
        while True:
            waiting = sorted((due for source in self._sources for due in source()), key=lambda due: due.at)
            if not waiting:
                return None
            if waiting[0].at > self.now():
                return waiting[0].at
            waiting[0].run()

    def _loop(self) -> None:
        while True:
            with self._news:
                if self._stopped:
                    return
                self._awake = False
            upcoming = self.run_due()
            with self._news:
                if not self._awake and not self._stopped:
                    self._news.wait(self._pause(upcoming))

    def _pause(self, upcoming: datetime | None) -> float | None:
        if upcoming is None:
            return None
        return min(LONGEST_WAIT_S, max(0.001, (upcoming - self.now()).total_seconds()))
