"""Machines that AWS takes back at a time: spot, two minutes after its notice, and what runs in a capacity block, half
an hour before the block's end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any

from moto.ec2.models.instances import Instance, StateReason

from infra.sandbox.clock import Clock, Due
from infra.sandbox.patches import instances, reservations
from infra.sandbox.patches.capacity import BLOCK_CLOSES

# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html
NOTICE = timedelta(minutes=2)
CLOSED = StateReason("Server.CapacityBlockExpiration: The Capacity Block ends", "Server.CapacityBlockExpiration")
TAKEN = StateReason("Server.SpotInstanceTermination: Spot instance termination", "Server.SpotInstanceTermination")


class Market:
    """A source of the clock. `changed` is told that the hosts have something to do."""

    def __init__(self, clock: Clock, lock: AbstractContextManager[Any], changed: Callable[[], None]) -> None:
        self._clock, self._lock, self._changed = clock, lock, changed
        self._own = threading.Lock()
        self._noticed: dict[str, datetime] = {}
        clock.follow(self._due)

    def notice(self, instance_id: str) -> datetime:
        """Announces the end of a spot machine; the moment at which it comes, in the cloud's time. A second notice
        moves nothing."""
        with self._own:
            at = self._noticed.setdefault(instance_id, self._clock.now() + NOTICE)
        self._clock.wake()
        return at

    def action(self, instance_id: str) -> dict[str, str] | None:
        """What the node's metadata says under spot/instance-action; None without a notice."""
        with self._own:
            at = self._noticed.get(instance_id)
        # The node's own clock knows nothing of the offset that tests move.
        shown = at - self._clock.offset if at else None
        return {"action": "terminate", "time": shown.strftime("%Y-%m-%dT%H:%M:%SZ")} if shown else None

    def _due(self) -> Iterator[Due]:
        with self._own:
            noticed = list(self._noticed.items())
        for instance_id, at in noticed:
            yield Due(at, f"interruption of {instance_id}", lambda name=instance_id: self._take(name))  # type: ignore[misc]

        with self._lock:
            closing = [
                (instance.id, block["EndsAt"] - BLOCK_CLOSES)
                for backend, block in reservations.blocks()
                for instance in reservations.inside(backend, block["CapacityReservationId"])
                if instance.state in ("pending", "running", "stopping")
            ]
        for instance_id, at in closing:
            yield Due(at, f"end of the block of {instance_id}", lambda name=instance_id: self._close(name))  # type: ignore[misc]

    def _close(self, instance_id: str) -> None:
        with self._lock:
            take_back(instances.find(instance_id), CLOSED)
        self._changed()

    def _take(self, instance_id: str) -> None:
        with self._own:
            self._noticed.pop(instance_id, None)
        with self._lock:
            take_back(instances.find(instance_id), TAKEN)
        self._changed()


def take_back(instance: Instance | None, why: StateReason) -> None:
    """AWS's own terminate, whatever protects the machine against its owner's."""
    if instance is not None:
        instance.terminate()
        instances.ended_by_aws(instance, why)
