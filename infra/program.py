"""The Pulumi program: a stack's configuration in, a fleet out. `pulumi up` and `fleet up` run this same function."""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path

import pulumi
import pulumi_aws as aws
from pulumi.runtime import config as engine_config

from infra.access import Access, AccessArgs, public_key
from infra.budget import capped, within_budget
from infra.cloud import cloud_of
from infra.cost import priced
from infra.errors import CloudRefused, FleetError
from infra.guardrails import STACK_TAG, Guardrails, GuardrailsArgs
from infra.network import Network, NetworkArgs
from infra.nodes import Nodes, NodesArgs, fleet_name
from infra.settings import StackConfig, from_pulumi
from infra.storage import Storage, StorageArgs
from infra.userdata import user_data

ROOT = Path(__file__).resolve().parent.parent
#: AWS's Deep Learning base image: driver, EFA, SSM agent; Amazon Linux has mount.efs as a package (docs/decisions/003).
IMAGE = "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-amazon-linux-2023/latest/ami-id"


def program(root: Path, budget: float | None = None) -> None:
    """The fleet of the stack that the engine runs; `root` is the folder of Pulumi.yaml.

    budget: USD of the run that the fleet is made for, where it has one beside the stack's.
    """
    try:
        _fleet(root, budget)
    except FleetError as error:
        # One line for the person: of a RunError the engine shows the text alone, of others a traceback.
        raise pulumi.RunError(str(error)) from error


def _fleet(root: Path, budget: float | None) -> None:
    stack = pulumi.get_stack()
    asked = from_pulumi(engine_config.CONFIG.get(), source=f"stacks/Pulumi.{stack}.yaml")
    config = _within_budget(capped(asked, budget))
    name = fleet_name(stack)
    tags = {STACK_TAG: stack}

    access = Access(name, AccessArgs(public_key=public_key(root, stack), tags=tags))
    network = Network(
        name,
        NetworkArgs(
            vpc_cidr=config.vpc_cidr,
            zone=config.zone or _first_zone(config.instance_type),
            zone_is_given=config.zone is not None,
            operator_cidr=config.operator_cidr or _own_address(),
            ssh_port=config.ssh_port,
            tags=tags,
        ),
    )
    storage = None
    if config.shared_files:
        storage = Storage(
            name,
            StorageArgs(
                vpc_id=network.vpc_id,
                subnet_id=network.subnet_id,
                nodes_group_id=network.security_group_id,
                role_arn=access.role_arn,
                tags=tags,
            ),
        )
    nodes = Nodes(
        name,
        NodesArgs(
            count=config.nodes,
            lifetime=config.lifetime,
            instance_type=config.instance_type,
            ami=config.ami or aws.ssm.get_parameter_output(name=IMAGE).insecure_value,
            ami_is_given=config.ami is not None,
            subnet_id=network.subnet_id,
            security_group_id=network.security_group_id,
            key_name=access.key_name,
            instance_profile=access.instance_profile,
            user_data=_user_data(config, storage),
            root_volume_gib=config.root_volume_gib,
            public_addresses=config.public_addresses,
            tags=tags,
            after=[*network.ready, *(storage.ready if storage else [])],
        ),
    )
    guardrails = Guardrails(
        name,
        GuardrailsArgs(
            lifetime=config.lifetime,
            instance_ids=[node.id for node in nodes.instances],
            stack=stack,
            tags=tags,
        ),
    )
    pulumi.export("vpcId", network.vpc_id)
    pulumi.export("fileSystemId", storage.file_system_id if storage else None)
    pulumi.export("scheduleName", guardrails.schedule_name)
    pulumi.export("terminatesAt", guardrails.terminates_at)
    pulumi.export("sharedPath", config.shared_path if storage else "")
    pulumi.export("ssh", {"user": config.ssh_user, "port": config.ssh_port})
    pulumi.export(
        "nodes",
        [
            {
                "rank": rank,
                "id": node.id,
                "privateAddress": node.private_ip,
                "publicAddress": node.public_ip,
                "zone": node.availability_zone,
                "instanceType": node.instance_type,
            }
            for rank, node in enumerate(nodes.instances)
        ],
    )


def _within_budget(config: StackConfig) -> StackConfig:
    """The stack as its money allows it; AWS is asked for prices only where money was limited."""
    if config.budget is None and config.max_usd_per_hour is None:
        return config
    cloud = cloud_of(engine_config.CONFIG.get(), source=f"stacks/Pulumi.{pulumi.get_stack()}.yaml")
    return within_budget(config, priced(config, cloud))


def _user_data(config: StackConfig, storage: Storage | None) -> pulumi.Output[str]:
    shared = (
        pulumi.Output.concat(storage.file_system_id, ":", storage.access_point_id)
        if storage
        else pulumi.Output.from_input("")
    )
    return shared.apply(
        lambda where: user_data(
            lifetime=config.lifetime,
            idle_minutes=config.idle_minutes,
            user=config.ssh_user,
            shared=where,
            shared_path=config.shared_path,
            scripts=ROOT / "scripts",
        )
    )


def _first_zone(instance_type: str) -> str:
    """The first zone, by name, where AWS offers the type at all (not: where it has one free)."""
    offers = aws.ec2.get_instance_type_offerings(
        location_type="availability-zone",
        filters=[{"name": "instance-type", "values": [instance_type]}],
    )
    if not offers.locations:
        raise CloudRefused(
            f"{instance_type} is not offered in {aws.get_region().region}",
            do="Choose another type or aws:region.",
        )
    return min(offers.locations)


def _own_address() -> str:
    """The operator's public address, as AWS sees it."""
    try:
        with urllib.request.urlopen("https://checkip.amazonaws.com", timeout=10) as answer:
            return f"{answer.read().decode().strip()}/32"
    except (urllib.error.URLError, TimeoutError) as error:
        raise CloudRefused(
            f"this machine's public address can't be found: {error}",
            do="Set swift-fleet:operatorCidr, such as 203.0.113.7/32.",
        ) from error
