"""What AWS says before anything is made: where the fleet goes and how it is wired there. Asked; nothing is changed.

Every refusal that can be foreseen is made here, in one line, so that `pulumi preview` shows it as `fleet plan` does.
"""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from infra import sweep
from infra.bought import check, read_bought
from infra.budget import ONE_BOOT
from infra.catalog import catalog
from infra.cloud import Cloud, translated
from infra.cost import over_cap, priced
from infra.errors import BadInput, CloudRefused
from infra.existing import SPARE, ExistingSubnet, Ground, check_group, ground, read_subnet, read_vpc
from infra.fabric import Interface, addressed, interfaces_of, read_type
from infra.files import ExistingFiles, read_files
from infra.fsx import ExistingLustre, read_lustre
from infra.image import image_of
from infra.nodes import fleet_name
from infra.place import Place, places
from infra.prices import rates
from infra.schedules import last_end
from infra.settings import GRACE, PREFIX, StackConfig
from infra.ways import ways


@dataclass(frozen=True)
class Site:
    """now: AWS's clock. operator_cidr: "" where SSH is open to nobody. image: of every node. subnet, files, lustre:
    existing ones, None for the stack's own. ground: where in an existing VPC. interfaces: of each node; none is one
    plain interface. reserved: whether a node that runs targets a reservation. alive: the nodes that run and stay.
    ends_at: when AWS ends them, None where it ends none.
    """

    place: Place
    operator_cidr: str
    now: datetime
    image: str
    region: str
    subnet: ExistingSubnet | None = None
    ground: Ground | None = None
    interfaces: tuple[Interface, ...] = ()
    files: ExistingFiles | None = None
    lustre: ExistingLustre | None = None
    reserved: bool = False
    alive: tuple[sweep.Node, ...] = ()
    ends_at: datetime | None = None


def survey(
    cloud: Cloud, config: StackConfig, stack: str, place: Place | None = None, leaving: Collection[str] = ()
) -> Site:
    """place: where to go; by default where the fleet runs already, else the first of `choices`. leaving: ids of nodes
    that others are about to replace, in their room and at their addresses.

    Raises BadInput for what the stack file can mend, CloudRefused for what AWS doesn't have.
    """
    there = [node for node in sweep.live(cloud, stack).values() if node.state != "shutting-down"]
    alive = [node for node in there if node.state in ("pending", "running")]
    go = [node for node in alive if node.id in leaving]
    stay = [node for node in there if node.id not in leaving]
    subnet, now = subnet_of(cloud, config), cloud.now()
    ends_at = last_end(cloud, stack) if alive or leaving else None
    missing = max(0, config.nodes - len(alive) + len(go))
    if missing and ends_at and ends_at - GRACE - now < ONE_BOOT:
        raise BadInput(
            f"the fleet ends at {ends_at:%Y-%m-%d %H:%M} UTC, before another node of it would be of use",
            where=f"stack {stack}",
            do=f"fleet extend 2h -s {stack} first, or fleet down -s {stack}.",
        )
    if config.capacity_reservation_id:
        bought = read_bought(cloud, config.capacity_reservation_id)
        back = sum(node.reservation == bought.id for node in go)
        check(bought, config, missing, now, coming_back=back, stands=ends_at is not None)
        place = bought.place
    elif place is None:
        place = where_it_runs(alive, config) or choices(cloud, config, subnet)[0]
    if subnet and subnet.zone != place.zone:
        raise BadInput(
            f"is in {subnet.zone}, the capacity in {place.zone}", where=subnet.id, do="Choose a subnet of that zone."
        )
    kind = read_type(cloud, place.instance_type)
    interfaces = interfaces_of(kind, cloud.region) if config.wants_efa else ()
    vpc_id = subnet.vpc_id if subnet else config.vpc_id
    files = read_files(cloud, config, stack, place.zone, vpc_id)
    if subnet:
        # A fleet that stands has its mount target.
        spare = SPARE if not alive and _mounted_there(config, files) else 0
        needed = max(0, missing - len(go)) * addressed(interfaces) + spare
        _refuse_full(subnet, needed)
    way, within = ways(config, len(interfaces) > 1), None
    if config.vpc_id:
        vpc = read_vpc(cloud, config.vpc_id, stack)
        within = ground(vpc, config, way, fleet_name(stack), config.nodes * addressed(interfaces))
    if config.security_group_id and vpc_id:
        check_group(cloud, config, vpc_id)
    return Site(
        place=place,
        operator_cidr="" if way.session else config.operator_cidr or own_address(),
        now=now,
        image=image_of(cloud, config, place, kind, stay, missing),
        region=cloud.region,
        subnet=subnet,
        ground=within,
        interfaces=interfaces,
        files=files,
        lustre=read_lustre(cloud, config, stack, vpc_id),
        reserved=any(node.reservation for node in alive),
        alive=tuple(node for node in alive if node not in go),
        ends_at=ends_at,
    )


def _mounted_there(config: StackConfig, files: ExistingFiles | None) -> bool:
    """Whether shared files get an address in the nodes' subnet."""
    if config.storage == "fsx":
        return config.makes_lustre
    return config.shared_files and (files is None or files.target)


def _refuse_full(subnet: ExistingSubnet, needed: int) -> None:
    if subnet.free < needed:
        what = f"has {subnet.free} addresses free, {needed} are needed"
        raise BadInput(what, where=subnet.id, do="Choose a larger subnet.")


def subnet_of(cloud: Cloud, config: StackConfig) -> ExistingSubnet | None:
    return read_subnet(cloud, config.subnet_id) if config.subnet_id else None


def choices(cloud: Cloud, config: StackConfig, subnet: ExistingSubnet | None = None) -> tuple[Place, ...]:
    """Where the fleet may go, cheapest first. Raises CloudRefused where AWS offers none of it."""
    offered = _offered(cloud, config.instance_types)
    if subnet:
        offered = {kind: zones & {subnet.zone} for kind, zones in offered.items()}
    found = _affordable(cloud, config, places(config, offered, lambda place: _usd_per_hour(cloud, config, place)))
    if not found:
        types = ", ".join(config.instance_types)
        where = subnet.zone if subnet else config.zone or ", ".join(config.candidates.zones) or cloud.region
        there = sorted(set().union(*offered.values()))
        raise CloudRefused(
            f"{types} is not offered in {where}",
            do=f"It is in {', '.join(there)}." if there and not subnet else "Choose another type or aws:region.",
        )
    return found


def _usd_per_hour(cloud: Cloud, config: StackConfig, place: Place) -> float | None:
    """Of one node. AWS is asked where prices differ from one place to another: spot, or several types."""
    if config.capacity == "spot" or len(config.instance_types) > 1:
        return rates(cloud, place.instance_type, config.capacity, place.zone).instance.usd
    return catalog().types[place.instance_type].usd_per_hour


def _affordable(cloud: Cloud, config: StackConfig, found: tuple[Place, ...]) -> tuple[Place, ...]:
    """What `maxUsdPerHour` allows. BadInput where it allows none, with the cheapest that there is."""
    if config.max_usd_per_hour is None or not found:
        return found
    why = [over_cap(there := config_at(config, place), priced(there, cloud)) for place in found]
    allowed = tuple(place for place, over in zip(found, why, strict=True) if over is None)
    if not allowed:
        raise BadInput(
            why[0] or "", where=f"{PREFIX}maxUsdPerHour", do="Take a cheaper type or fewer nodes, or raise it."
        )
    return allowed


def config_at(config: StackConfig, place: Place) -> StackConfig:
    """The stack as if it had asked for this place alone."""
    return config.model_copy(update={"instance_type": place.instance_type, "zone": place.zone})


def where_it_runs(alive: list[sweep.Node], config: StackConfig) -> Place | None:
    """A fleet that is up stays, whatever would be chosen today; what the stack file fixes is fixed there.

    Raises BadInput for another type where the machines can't take it: EC2 stops no one-time spot machine, and starts
    none that targets a reservation which has ended (User Guide, capacity-reservations-using).
    """
    if not alive:
        return None
    here = alive[0]
    if here.instance_type in config.instance_types:
        return Place(here.instance_type, config.zone or here.zone)
    if config.capacity == "spot" or max(config.nodes, len(alive)) > 1 or here.reservation:
        why = "a spot machine can't be stopped" if config.capacity == "spot" else "its machines are reserved as that"
        raise BadInput(
            f"the fleet runs on {here.instance_type}, and {why}",
            where=f"{PREFIX}instanceType",
            do="Leave the type as it is, or `fleet down` first.",
        )
    return Place(config.instance_type, config.zone or here.zone)


def _offered(cloud: Cloud, types: tuple[str, ...]) -> dict[str, set[str]]:
    """Which zones offer each type at all (not: where one is free)."""
    found: dict[str, set[str]] = {kind: set() for kind in types}
    with translated():
        pages = cloud.client("ec2").get_paginator("describe_instance_type_offerings")
        asked = [{"Name": "instance-type", "Values": list(types)}]
        for page in pages.paginate(LocationType="availability-zone", Filters=asked):
            for one in page["InstanceTypeOfferings"]:
                found[one["InstanceType"]].add(one["Location"])
    return found


def own_address() -> str:
    """The operator's public address, as AWS sees it."""
    try:
        with urllib.request.urlopen("https://checkip.amazonaws.com", timeout=10) as answer:
            return f"{answer.read().decode().strip()}/32"
    except (urllib.error.URLError, TimeoutError) as error:
        raise CloudRefused(
            f"this machine's public address can't be found: {error}",
            do="Set swift-fleet:operatorCidr, such as 203.0.113.7/32.",
        ) from error
