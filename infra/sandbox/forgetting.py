"""EC2 tells of a terminated machine for about an hour, then knows its id no more: a call that names it among others is
refused whole. moto remembers for ever.
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/how-ec2-instance-termination-works.html
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

from infra.sandbox.clock import Clock, Due
from infra.sandbox.patches import instances

SHOWN_FOR = timedelta(hours=1)


class Forgetting:
    """A source of the clock."""

    def __init__(self, clock: Clock, lock: AbstractContextManager[Any]) -> None:
        self._lock = lock
        clock.follow(self._due)

    def _due(self) -> Iterator[Due]:
        with self._lock:
            ended = [(one, at) for one in instances.every() if (at := instances.ended_at(one))]
        for one, at in ended:
            yield Due(at + SHOWN_FOR, f"the end of what is told of {one.id}", lambda one=one: self._forget(one))  # type: ignore[misc]

    def _forget(self, instance: Any) -> None:
        with self._lock:
            instances.forget(instance)
