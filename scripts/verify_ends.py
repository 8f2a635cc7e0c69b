"""What `scripts/verify-aws` waits for: each end of a fleet by itself, on the smallest machine, by AWS's own word."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import yaml
from verify_free import Step, Unexpected, fleet

from infra.settings import IMAGE_GIB
from infra.stack_files import stack_file
from training.stack_fleet import StackFleet

#: Of the catalog: for what only has to end.
SMALLEST = "m7i.large"
LOOK_S = 10
#: Of all that they wait, with their boots.
MINUTES = 150
#: Of STACK: how its machines are reached.
KEPT = (
    *("vpcCidr", "vpcId", "subnetId", "subnetCidr", "securityGroupId", "zone", "instanceRole"),
    *("access", "operatorCidr", "sshFromAnywhere", "sshUser", "sshPort", "publicAddresses"),
)
STOP = "sudo systemctl stop $(systemctl list-timers | grep -o 'fleet-{}[a-z0-9-]*.timer')"
BY_ITSELF, BY_AWS = "Client.InstanceInitiatedShutdown", "Client.UserInitiatedShutdown"


def lease(one: StackFleet) -> str:
    with smallest(one, {"lifetime": "10m", "idleMinutes": "0"}) as made:
        return _ended(made, (), BY_ITSELF, 20)


def schedule(one: StackFleet) -> str:
    with smallest(one, {"lifetime": "10m", "idleMinutes": "0"}) as made:
        said = _ended(made, ("lease",), BY_AWS, 25)
        asked = {"NamePrefix": f"swift-fleet-{made.name}-"}
        _until(lambda: not made.stack.cloud.client("scheduler").list_schedules(**asked)["Schedules"], "the schedule", 5)
        return f"{said}; it deleted itself"


def idle(one: StackFleet) -> str:
    with smallest(one, {"lifetime": "3h", "idleMinutes": "15"}) as made:
        return _ended(made, (), BY_ITSELF, 45)


def alarm(one: StackFleet) -> str:
    with smallest(one, {"lifetime": "3h", "idleMinutes": "15"}) as made:
        return _ended(made, ("lease", "idle"), BY_AWS, 75)


def _ended(made: StackFleet, without: tuple[str, ...], by: str, minutes: int) -> str:
    """Its one machine, `without` those ends, until AWS says that it ends, and who ended it."""
    fleet("up", "-s", made.name, "--yes")
    for end in without:
        fleet("ssh", "-s", made.name, "0", "--", "bash", "-c", STOP.format(end))
    (node,) = made.live()
    print(f"  {node} is up; to end by itself within {minutes} min", flush=True)
    _until(lambda: _machine(made, node)["State"]["Name"] in ("shutting-down", "terminated"), node, minutes)
    found = _machine(made, node)
    why = found.get("StateReason", {}).get("Code", "")
    told = f"{found.get('StateTransitionReason') or 'AWS tells no time'}, {why}"
    if why != by:
        raise Unexpected(f"{told}; expected {by}")
    return told


def _machine(made: StackFleet, node: str) -> Any:
    asked = [{"Name": "instance-id", "Values": [node]}]
    (group,) = made.stack.cloud.client("ec2").describe_instances(Filters=asked)["Reservations"]
    return group["Instances"][0]


def _until(gone: Callable[[], bool], what: str, minutes: int) -> None:
    until = time.monotonic() + minutes * 60
    while not gone():
        if time.monotonic() > until:
            raise Unexpected(f"{what} is still there after {minutes} min")
        time.sleep(LOOK_S)


@contextmanager
def smallest(one: StackFleet, change: dict[str, str]) -> Iterator[StackFleet]:
    """A stack of one small machine beside STACK, in its account and region, for as long as it is looked at."""
    data = yaml.safe_load(stack_file(one.root, one.name).read_text(encoding="utf-8"))
    given = {f"swift-fleet:{key}" for key in KEPT}
    config = {key: value for key, value in data["config"].items() if not key.startswith("swift-fleet:") or key in given}
    own = {"nodes": "1", "instanceType": SMALLEST, "sharedFiles": "false", "rootVolumeGib": str(IMAGE_GIB), **change}
    stack = f"{one.name}-ends"
    file = stack_file(one.root, stack)
    file.write_text(yaml.safe_dump({**data, "config": config | {f"swift-fleet:{k}": v for k, v in own.items()}}))
    try:
        yield StackFleet(one.root, stack)
    finally:
        fleet("down", "-s", stack)
        file.unlink()


ENDS = (
    Step("lease", "a shutdown from within terminates", lease),
    Step("schedule", "a one-time schedule with the universal target ends the nodes, and deletes itself", schedule),
    Step("idle", "systemd-run --on-calendar makes a timer that repeats; who lists terminals only", idle),
    Step("alarm", "an alarm's action terminate works; CPUUtilization of a node that idles stays below", alarm),
)
