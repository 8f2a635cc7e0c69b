"""What AWS says before anything is made: where the fleet goes and how it is wired there. Asked; nothing is changed.

Every refusal that can be foreseen is made here, in one line, so that `pulumi preview` shows it as `fleet plan` does.
"""

from __future__ import annotations

import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import datetime

from infra import sweep
from infra.bought import check, read_bought
from infra.catalog import catalog
from infra.cloud import Cloud, translated
from infra.cost import over_cap, priced
from infra.errors import BadInput, CloudRefused
from infra.existing import ExistingSubnet, Ground, check_group, ground, read_subnet, read_vpc
from infra.fabric import Interface, addressed, interfaces_of, read_type
from infra.files import ExistingFiles, read_files
from infra.fsx import ExistingLustre, read_lustre
from infra.image import image_of
from infra.nodes import fleet_name
from infra.place import Place, places
from infra.prices import rates
from infra.schedules import last_end
from infra.settings import PREFIX, StackConfig
from infra.ways import ways


@dataclass(frozen=True)
class Site:
    """now: AWS's clock. operator_cidr: "" where SSH is open to nobody. image: of every node. subnet, files, lustre:
    existing ones, None for the stack's own. ground: where in an existing VPC. interfaces: of each node; none is one
    plain interface. reserved: whether a node that runs targets a reservation. alive: the nodes that run already.
    ends_at: when AWS ends them, None where it ends none.
    """

    place: Place
    operator_cidr: str
    now: datetime
    image: str
    subnet: ExistingSubnet | None = None
    ground: Ground | None = None
    interfaces: tuple[Interface, ...] = ()
    files: ExistingFiles | None = None
    lustre: ExistingLustre | None = None
    reserved: bool = False
    alive: tuple[sweep.Node, ...] = ()
    ends_at: datetime | None = None


def survey(cloud: Cloud, config: StackConfig, stack: str, place: Place | None = None) -> Site:
    """place: where to go; by default where the fleet runs already, else the first of `choices`.

    Raises BadInput for what the stack file can mend, CloudRefused for what AWS doesn't have.
    """
    stay = [node for node in sweep.live(cloud, stack).values() if node.state != "shutting-down"]
    alive = [node for node in stay if node.state in ("pending", "running")]
    subnet, now = subnet_of(cloud, config), cloud.now()
    missing = max(0, config.nodes - len(alive))
    if config.capacity_reservation_id:
        bought = read_bought(cloud, config.capacity_reservation_id)
        check(bought, config, missing, now)
        place = bought.place
    elif place is None:
        place = where_it_runs(alive, config) or choices(cloud, config, subnet)[0]
    if subnet and subnet.zone != place.zone:
        raise BadInput(
            f"is in {subnet.zone}, the capacity in {place.zone}", where=subnet.id, do="Choose a subnet of that zone."
        )
    kind = read_type(cloud, place.instance_type)
    interfaces = interfaces_of(kind, cloud.region) if config.wants_efa else ()
    needed = missing * addressed(interfaces)
    if subnet and subnet.free < needed:
        raise BadInput(
            f"has {subnet.free} addresses free, {needed} are needed", where=subnet.id, do="Choose a larger subnet."
        )
    way, there = ways(config, len(interfaces) > 1), None
    if config.vpc_id:
        vpc = read_vpc(cloud, config.vpc_id, stack)
        there = ground(vpc, config, way, fleet_name(stack), config.nodes * addressed(interfaces))
    vpc_id = subnet.vpc_id if subnet else config.vpc_id
    if config.security_group_id and vpc_id:
        check_group(cloud, config, vpc_id)
    return Site(
        place=place,
        operator_cidr="" if way.session else config.operator_cidr or own_address(),
        now=now,
        image=image_of(cloud, config, place, kind, stay, missing),
        subnet=subnet,
        ground=there,
        interfaces=interfaces,
        files=read_files(cloud, config, stack, place.zone, vpc_id),
        lustre=read_lustre(cloud, config, stack, vpc_id),
        reserved=any(node.reservation for node in alive),
        alive=tuple(alive),
        ends_at=last_end(cloud, stack) if alive else None,
    )


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
