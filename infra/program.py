"""The Pulumi program: a stack's configuration in, a fleet out. `pulumi up` and `fleet up` run this same function."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pulumi
import pulumi_aws as aws
from pulumi.runtime import config as engine_config

from infra.access import Access, AccessArgs, public_key
from infra.alarms import IdleAlarms, IdleAlarmsArgs
from infra.buckets import right_to
from infra.budget import capped, within_budget
from infra.capacity import Capacity, capacity_args
from infra.catalog import catalog
from infra.cloud import Cloud, cloud_of, refuse_long_tries
from infra.cost import priced
from infra.errors import CloudRefused, FleetError
from infra.guardrails import Guardrails, GuardrailsArgs
from infra.lustre import Lustre, LustreArgs
from infra.network import Network, NetworkArgs
from infra.nodes import Nodes, NodesArgs, fleet_name, node_name
from infra.place import Place
from infra.ranks import FEWEST, NetworkNodes, by_neighbourhood, kept, network_nodes, nobody_tells
from infra.settings import GRACE, Profile, StackConfig, from_pulumi
from infra.site import Site, config_at, survey
from infra.storage import Storage, StorageArgs
from infra.tags import REGION_TAG, STACK_TAG
from infra.userdata import user_data
from infra.ways import ways

ROOT = Path(__file__).resolve().parent.parent


def program(
    root: Path,
    place: Place | None = None,
    budget: float | None = None,
    profile: Profile | None = None,
    leaving: Collection[str] = (),
) -> None:
    """The fleet of the stack that the engine runs; `root` is the folder of Pulumi.yaml.

    place: where to make it; by default where it runs, else the first choice of the stack file.
    budget: USD of the run that the fleet is made for, where it has one beside the stack's.
    profile: of that run's environment, where there is one.
    leaving: ids of nodes that are about to be replaced.
    """
    stack = pulumi.get_stack()
    try:
        values = engine_config.CONFIG.get()
        source = f"stacks/Pulumi.{stack}.yaml"
        config, cloud = capped(from_pulumi(values, source=source), budget), cloud_of(values, source)
        refuse_long_tries(values, source)
        config = config.model_copy(update={"profile": profile or config.profile})
        site = survey(cloud, config, stack, place, leaving)
        fleet_program(root, stack, within_means(config, site, cloud), site, lambda ids: told(cloud, ids))
    except FleetError as error:
        # One line for the person: of a RunError the engine shows the text alone, of others a traceback.
        raise pulumi.RunError(str(error)) from error


def fleet_program(root: Path, stack: str, config: StackConfig, site: Site, near: NetworkNodes = nobody_tells) -> None:
    """Every resource of the fleet, decided from values alone, and what the stack says of it."""
    for name, value in fleet(public_key(root, stack), stack, config, site, near=near).items():
        pulumi.export(name, value)


def fleet(
    key: str,
    stack: str,
    config: StackConfig,
    site: Site,
    opts: pulumi.ResourceOptions | None = None,
    near: NetworkNodes = nobody_tells,
) -> dict[str, Any]:
    """The resources of a fleet whose tag and names say `stack`, and its outputs. key: public, of the operator.

    near: asked once the machines are there, for the order of their ranks.
    """
    name = fleet_name(stack)
    tags = {STACK_TAG: stack}
    regional = {**tags, REGION_TAG: site.region}

    ends_at = site.now + config.ends_after
    # Who joins a fleet that runs ends with it, or when the budget is spent.
    if site.ends_at and (config.budget is None or site.ends_at < ends_at):
        ends_at = site.ends_at
    lifetime = max(ends_at - GRACE - site.now, timedelta(minutes=1))
    capacity = Capacity(name, capacity_args(config, site.place, tags, ends_at, reserved=site.reserved), opts)
    way = ways(config, len(site.interfaces) > 1)
    access = Access(name, AccessArgs(key, config.instance_role, right_to(config.s3), way.session, regional), opts)
    network = Network(
        name,
        NetworkArgs(
            vpc_cidr=config.vpc_cidr,
            zone=site.place.zone,
            operator_cidr=site.operator_cidr,
            ssh_port=config.ssh_port,
            subnet=site.subnet,
            security_group_id=config.security_group_id,
            ground=site.ground,
            ways=way,
            tags=tags,
            after=capacity.ready,
        ),
        opts,
    )
    storage: Storage | Lustre | None = None
    if config.shared_files and config.storage == "fsx":
        storage = Lustre(
            name,
            LustreArgs(
                subnet_id=network.subnet_id,
                group_id=network.security_group_id,
                gib=config.fsx_gib,
                deployment=config.fsx_deployment,
                throughput=config.fsx_throughput if config.fsx_deployment == "PERSISTENT_2" else None,
                existing=site.lustre,
                retain=config.retain,
                tags=tags,
                after=network.ready,
            ),
            opts,
        )
    elif config.shared_files:
        storage = Storage(
            name,
            StorageArgs(
                vpc_id=network.vpc_id,
                subnet_id=network.subnet_id,
                nodes_group_id=network.security_group_id,
                role_arn=access.role_arn,
                role_name=access.role_name,
                existing=site.files,
                retain=config.retain,
                tags=tags,
            ),
            opts,
        )
    nodes = Nodes(
        name,
        NodesArgs(
            count=config.nodes,
            lifetime=lifetime,
            instance_type=site.place.instance_type,
            ami=site.image,
            ami_is_given=config.ami is not None,
            subnet_id=network.subnet_id,
            security_group_id=network.security_group_id,
            key_name=access.key_name,
            instance_profile=access.instance_profile,
            user_data=_user_data(config, lifetime, storage),
            root_volume_gib=config.root_volume_gib,
            public_addresses=way.public,
            interfaces=site.interfaces,
            launch=capacity.launch,
            one_way_in=way.one_way_in,
            tags=tags,
            after=[*network.ready, *(storage.ready if storage else [])],
        ),
        opts,
    )
    guardrails = Guardrails(
        name,
        GuardrailsArgs(
            ends_at=ends_at,
            instance_ids=[node.id for node in nodes.instances],
            stack=stack,
            tags=regional,
        ),
        opts,
    )
    IdleAlarms(
        name,
        IdleAlarmsArgs(
            instance_ids=[node.id for node in nodes.instances],
            idle_minutes=config.idle_minutes,
            vcpus=catalog().types[site.place.instance_type].vcpus,
            region=aws.get_region_output().region,
            stack=stack,
            tags=tags,
        ),
        opts,
    )
    return {
        "vpcId": network.vpc_id,
        "fileSystemId": storage.file_system_id if storage else None,
        "terminatesAt": guardrails.terminates_at,
        "sharedPath": config.shared_path if storage else "",
        "ssh": {"user": config.ssh_user, "port": config.ssh_port, "access": config.access},
        "nodes": by_rank(nodes, near, opts),
    }


def by_rank(
    nodes: Nodes, near: NetworkNodes, opts: pulumi.ResourceOptions | None
) -> pulumi.Output[list[dict[str, Any]]]:
    """The machines in order of rank, which is decided once and kept: docs/decisions/019."""
    rows = [
        {
            "name": node_name(number),
            "id": node.id,
            "privateAddress": node.private_ip,
            "publicAddress": nodes.public_addresses[number],
            "zone": node.availability_zone,
            "instanceType": node.instance_type,
        }
        for number, node in enumerate(nodes.instances)
    ]

    def ordered(ids: list[str]) -> list[int]:
        told = near(ids)
        return by_neighbourhood([told.get(one, ()) for one in ids])

    order: pulumi.Output[list[int]] = pulumi.Output.from_input(list(range(len(rows))))
    if len(rows) >= FEWEST:
        wanted = pulumi.Output.all(*(row["id"] for row in rows)).apply(ordered)
        once = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(ignore_changes=["input"]))
        order = pulumi.Stash("ranks", input=wanted, opts=once).output
    return pulumi.Output.all(order=order, rows=rows).apply(
        lambda known: [
            {"rank": rank, **known["rows"][number]}
            for rank, number in enumerate(kept(known["order"], len(known["rows"])))
        ]
    )


def told(cloud: Cloud, ids: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """Ranks in another order are no reason to fail."""
    try:
        return network_nodes(cloud, ids)
    except CloudRefused as error:
        pulumi.log.warn(f"ranks follow the nodes' numbers, for their neighbourhood is not told: {error}")
        return {}


def within_means(config: StackConfig, site: Site, cloud: Cloud) -> StackConfig:
    """The stack as its money allows it there; AWS is asked for prices only where money was limited."""
    if config.budget is None and config.max_usd_per_hour is None:
        return config
    there = config_at(config, site.place)
    return within_budget(there, priced(there, cloud), site.alive, site.now)


def _user_data(config: StackConfig, lifetime: timedelta, storage: Storage | Lustre | None) -> pulumi.Output[str]:
    shared = storage.share if storage else pulumi.Output.from_input("")
    return shared.apply(
        lambda where: user_data(
            lifetime=lifetime,
            idle_minutes=config.idle_minutes,
            user=config.ssh_user,
            shared=where,
            shared_by_role=config.instance_role,
            shared_path=config.shared_path,
            profile=config.profile,
            shared_environment=config.shared_environment,
            scripts=ROOT / "scripts",
        )
    )
