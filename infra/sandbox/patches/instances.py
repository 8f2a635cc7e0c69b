"""The life of an instance takes time. moto jumps from state to state; here the API only asks for a change and the state
in between (`pending`, `stopping`, `shutting-down`) stays until the instance's host has carried it out and says so.
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-lifecycle.html
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from moto.core.responses import ActionResult
from moto.core.types import Base64EncodedString
from moto.core.utils import utcnow
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import ec2_backends
from moto.ec2.models.instances import Instance, InstanceState, StateReason
from moto.ec2.responses import EC2Response
from moto.ec2.utils import filter_dict_attribute_mapping

from infra.sandbox.patches.hook import replace

CODES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}
_terminate, _stop, _start = Instance.terminate, Instance.stop, Instance.start

# What GetConsoleOutput shows of an instance; whoever runs the hosts sets it.
console: Callable[[str], str] = lambda instance_id: ""  # noqa: E731
# Whether nothing answers on it, although it runs; set likewise.
is_dead: Callable[[str], bool] = lambda instance_id: False  # noqa: E731
# The cloud's time; set likewise.
now: Callable[[], datetime] = lambda: datetime.now(UTC)  # noqa: E731


def install() -> None:
    replace(Instance, "terminate", terminate)
    replace(Instance, "stop", stop)
    replace(Instance, "start", start)
    replace(Instance, "reboot", reboot)
    replace(EC2Response, "get_console_output", get_console_output)
    replace(Instance, "instance_status", property(status_check))
    replace(Instance, "system_status", property(status_check))
    # Filters of DescribeInstances that moto does not know
    filter_dict_attribute_mapping.update(
        {
            "client-token": "client_token",
            "instance-lifecycle": "lifecycle",
            "placement-group-name": "placement.group_name",
            "capacity-reservation-id": "capacity_reservation_id",
        }
    )


def every() -> Iterator[Instance]:
    """All instances of all accounts and regions, the terminated ones too."""
    for regions in list(ec2_backends.values()):
        for backend in list(regions.values()):
            for reservation in list(backend.reservations.values()):
                yield from list(reservation.instances)


def find(instance_id: str) -> Instance | None:
    return next((instance for instance in every() if instance.id == instance_id), None)


def set_state(instance: Instance, name: str) -> None:
    instance._state.name, instance._state.code = name, CODES[name]


# What the API asks for ---------------------------------------------------------------------------------------------


def terminate(self: Instance) -> InstanceState:
    previous = copy.copy(self._state)
    if previous.name not in ("terminated", "shutting-down"):
        set_state(self, "shutting-down")
    return previous


def stop(self: Instance) -> InstanceState:
    previous = copy.copy(self._state)
    if previous.name in ("terminated", "shutting-down"):
        raise _incorrect_state(self)
    if previous.name in ("pending", "running"):
        set_state(self, "stopping")
    return previous


def start(self: Instance) -> InstanceState:
    previous = copy.copy(self._state)
    if previous.name in ("terminated", "shutting-down", "stopping"):
        raise _incorrect_state(self)
    if previous.name == "stopped":
        _start(self)
        set_state(self, "pending")
    return previous


def reboot(self: Instance) -> None:
    if self.state != "running":
        raise _incorrect_state(self)
    self.reboots_asked = reboots_asked(self) + 1  # type: ignore[attr-defined]


def reboots_asked(instance: Instance) -> int:
    return getattr(instance, "reboots_asked", 0)


def power_off_from_within(instance: Instance) -> None:
    """A machine that shuts itself down, which `InstanceInitiatedShutdownBehavior` turns into a stop or a terminate."""
    if instance.instance_initiated_shutdown_behavior == "terminate":
        instance.terminate()
    elif instance.state in ("pending", "running"):
        instance.stop()
    instance.own_shutdown = True  # type: ignore[attr-defined]


# What the host reports ---------------------------------------------------------------------------------------------


def is_running(instance: Instance) -> None:
    if instance.state == "pending":
        set_state(instance, "running")


def is_stopped(instance: Instance) -> None:
    if instance.state == "stopping":
        _stop(instance)
        _say_why(instance)


def is_terminated(instance: Instance, reason: StateReason | None = None) -> None:
    """Everything that the instance held is free again: its addresses (moto keeps them until garbage collection), its
    interfaces, and the volumes that go with it."""
    if instance.state == "terminated":
        return
    backend = instance.ec2_backend
    addresses: set[tuple[Any, Any]] = {(instance.subnet_id, address) for address in instance._private_ips}
    addresses |= {(nic.subnet.id, nic.private_ip_address) for nic in instance.nics.values()}
    for address in list(backend.addresses):
        if address.association_id and (address.instance is instance or address.eni in instance.nics.values()):
            backend.disassociate_address(association_id=address.association_id)
    _terminate(instance)
    instance.ended_at = now()  # type: ignore[attr-defined]
    for subnet_id, address in addresses:
        for subnets in backend.subnets.values():
            if address and (subnet := subnets.get(subnet_id)):
                subnet.del_subnet_ip(address)
    instance._private_ips.clear()
    if reason:
        instance.state_reason = reason
    else:
        _say_why(instance)


def ended_at(instance: Instance) -> datetime | None:
    """In the cloud's time; None for one that is not terminated."""
    return getattr(instance, "ended_at", None)


def forget(instance: Instance) -> None:
    for reservation in list(instance.ec2_backend.reservations.values()):
        if instance in reservation.instances:
            reservation.instances.remove(instance)


def ended_by_aws(instance: Instance, why: StateReason) -> None:
    """The reason that a terminate of AWS's own leaves, when the machine is gone."""
    instance.ended_because = why  # type: ignore[attr-defined]


def status_check(self: Instance) -> dict[str, Any]:
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_InstanceStatusSummary.html"""
    if self.state != "running":
        return {"Status": "not-applicable"}
    dead = is_dead(self.id)
    reachable = {"Name": "reachability", "Status": "failed" if dead else "passed"}
    return {"Details": [reachable], "Status": "impaired" if dead else "ok"}


def could_not_boot(instance: Instance, why: str) -> None:
    is_terminated(instance, StateReason(f"Server.InternalError: {why}", "Server.InternalError"))


def get_console_output(self: EC2Response) -> ActionResult:
    instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
    answer: dict[str, Any] = {"InstanceId": instance.id, "Timestamp": utcnow()}
    if text := console(instance.id):
        answer["Output"] = Base64EncodedString.from_raw_string(text)
    return ActionResult(answer)


def _say_why(instance: Instance) -> None:
    if why := getattr(instance, "ended_because", None):
        instance.state_reason = why
    elif getattr(instance, "own_shutdown", False):
        code = "Client.InstanceInitiatedShutdown"
        instance.state_reason = StateReason(f"{code}: Instance initiated shutdown", code)
        instance.own_shutdown = False  # type: ignore[attr-defined]


def _incorrect_state(instance: Instance) -> EC2ClientError:
    message = f"The instance '{instance.id}' is not in a state from which this can be done: it is {instance.state}."
    return EC2ClientError("IncorrectInstanceState", message)
