"""With the cloud's clock, what was made before it was moved recedes: whoever asks when something was made counts by the
real time, as the hosts do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from moto.cloudwatch.models import cloudwatch_backends
from moto.ec2.models import ec2_backends
from moto.efs.models import efs_backends
from moto.fsx.models import fsx_backends
from moto.iam.models import iam_backends
from moto.scheduler.models import scheduler_backends

from infra.sandbox.patches import instances

#: moto's backends, what they keep, and where the moment stands at which it was made. Reservations count by the cloud's
#: clock (patches/reservations.py).
_DATED: tuple[tuple[Any, str, str], ...] = (
    (ec2_backends, "volumes", "create_time"),
    (ec2_backends, "key_pairs", "create_time"),
    (ec2_backends, "launch_templates", "create_time"),
    (ec2_backends, "nat_gateways", "_created_at"),
    (ec2_backends, "vpc_end_points", "creation_timestamp"),
    (efs_backends, "file_systems_by_id", "creation_time"),
    (fsx_backends, "file_systems", "created"),
    (iam_backends, "roles", "create_date"),
    (iam_backends, "instance_profiles", "create_date"),
    (cloudwatch_backends, "alarms", "configuration_updated_timestamp"),
)


def age(by: timedelta) -> None:
    for one, name in _dated():
        moment = getattr(one, name)
        setattr(one, name, moment - by if isinstance(moment, datetime) else moment - by.total_seconds())


def _dated() -> Iterator[tuple[Any, str]]:
    for one in instances.every():
        if one.state != "terminated":  # how long that one lived stays what it was
            yield one, "launch_time"
    for backends, kind, name in _DATED:
        for backend in _each(backends):
            for one in list(getattr(backend, kind).values()):
                yield one, name
    for backend in _each(scheduler_backends):
        for group in list(backend.schedule_groups.values()):
            for schedule in list(group.schedules.values()):
                yield schedule, "creation_date"


def _each(backends: Any) -> Iterator[Any]:
    for regions in list(backends.values()):
        yield from list(regions.values())
