"""Waiting on AWS within a deadline, retrying what AWS says to retry, and putting its errors into words."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from botocore.exceptions import ClientError

T = TypeVar("T")

# The embedded cloud answers in milliseconds; the published provider's first polls come after 2 to 10 s. At most as
# long as its own: 256 nodes boot for minutes on one machine, and each asks for itself.
FIRST_POLL = 0.02
LONGEST_POLL = 4.0


class Cancelled(RuntimeError):
    """The engine asked to stop."""


class TimedOut(RuntimeError):
    """A state that did not come within the resource's timeout."""


class Deadline:
    """Until when an operation may wait. `cancel` ends every wait at once."""

    def __init__(self, seconds: float, cancel: threading.Event | None = None) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds
        self._cancel = cancel or threading.Event()

    def capped(self, seconds: float) -> Deadline:
        """A nearer end, for waits that the type fixes."""
        left = max(0.0, self._end - time.monotonic())
        return Deadline(min(seconds, left), self._cancel)

    def fixed(self, seconds: float) -> Deadline:
        """A wait whose length the type fixes, whatever customTimeouts say."""
        return Deadline(seconds, self._cancel)

    def pause(self, seconds: float) -> bool:
        """Waits; False when the time is up."""
        if self._cancel.wait(min(seconds, max(0.0, self._end - time.monotonic()))):
            raise Cancelled("stopped by the engine while waiting")
        return time.monotonic() < self._end


def until(probe: Callable[[], T | None], deadline: Deadline, what: str) -> T:
    """What `probe` gives once it gives something. Raises TimedOut."""
    pause = FIRST_POLL
    while True:
        found = probe()
        if found:
            return found
        if not deadline.pause(pause):
            raise TimedOut(f"timeout while waiting for {what} (timeout: {deadline.seconds:.0f}s)")
        pause = min(pause * 2, LONGEST_POLL)


def retrying(call: Callable[[], T], deadline: Deadline, *codes: str, saying: str = "") -> T:
    """The call's answer, tried again while AWS answers with one of the codes (and, if given, this text)."""
    pause = FIRST_POLL
    while True:
        try:
            return call()
        except ClientError as error:
            if not is_code(error, *codes) or saying not in str(error) or not deadline.pause(pause):
                raise
        pause = min(pause * 2, LONGEST_POLL)


def code_of(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def is_code(error: ClientError, *codes: str) -> bool:
    """Whether the error has one of the codes; a code that ends in * stands for all that begin so."""
    got = code_of(error)
    return any(got == code or (code.endswith("*") and got.startswith(code[:-1])) for code in codes)


@contextmanager
def tolerating(*codes: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if not is_code(error, *codes):
            raise


def or_none(call: Callable[[], T], *codes: str) -> T | None:
    """The call's answer, or None where AWS answers that the thing is not there."""
    with tolerating(*codes):
        return call()
    return None


def told(error: ClientError) -> str:
    """AWS's error as the AWS SDK for Go words it, which is what people search for."""
    meta = error.response.get("ResponseMetadata", {})
    message = re.sub(r"\s+", " ", str(error.response.get("Error", {}).get("Message", ""))).strip()
    status = meta.get("HTTPStatusCode", 0)
    retries = meta.get("RetryAttempts", 0)
    tried = f"exceeded maximum number of attempts, {retries + 1}, " if retries else ""
    return f"operation {error.operation_name}, {tried}StatusCode: {status}, api error {code_of(error)}: {message}"
