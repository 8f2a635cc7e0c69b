"""What `scripts/verify-aws` tries for nothing: facts, prices, images, and what a dry run refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from infra import goods
from infra import prices as listed
from infra.catalog import catalog
from infra.cost import priced
from infra.fabric import Interface, layout, read_type
from infra.image import ARCHITECTURES, PARAMETER, newest, read_image
from infra.place import NO_ROOM
from infra.quotas import shortage
from infra.settings import IMAGE_GIB
from training.stack_fleet import StackFleet

FLEET = str(Path(sys.prefix) / "bin" / "fleet")
#: One of each generation of network cards.
FABRICS = ("p4d.24xlarge", "p5.48xlarge", "p5en.48xlarge", "p6-b200.48xlarge", "p6-b300.48xlarge")


class Unexpected(Exception):
    """What was found instead."""


@dataclass(frozen=True)
class Step:
    """name: what is shown; of: the words of docs/aws-unverified.md that it stands for."""

    name: str
    of: str
    try_it: Callable[[StackFleet], str]


def fleet(*words: str) -> str:
    """A command of ours as typed; its output, or Unexpected with its error."""
    done = subprocess.run([FLEET, *words], capture_output=True, text=True)
    if done.returncode:
        raise Unexpected(f"fleet {' '.join(words)}: {done.stderr.strip()[-400:]}")
    return done.stdout


def who(one: StackFleet) -> str:
    return str(one.stack.cloud.client("sts").get_caller_identity()["Arn"])


def types(one: StackFleet) -> str:
    """The stack's types as EC2 describes them, against infra/catalog.yaml."""
    found = one.stack.cloud.client("ec2").describe_instance_types(InstanceTypes=list(one.config.instance_types))
    for kind in found["InstanceTypes"]:
        known, network = catalog().types[kind["InstanceType"]], kind["NetworkInfo"]
        gpus = sum(gpu["Count"] for gpu in kind.get("GpuInfo", {}).get("Gpus", []))
        said = (gpus, kind["VCpuInfo"]["DefaultVCpus"], len(network["NetworkCards"]))
        ours = (known.gpus, known.vcpus, known.network_cards)
        if said != ours:
            raise Unexpected(f"{known.name}: EC2 says (GPUs, vCPUs, cards) {said}, the catalog {ours}")
        efa = sum("efa" in wire.kind for wire in layout(network)) if network.get("EfaSupported") else 0
        if efa != known.efa:
            raise Unexpected(f"{known.name}: EC2 says {efa} EFA interfaces, the catalog {known.efa}")
    return ", ".join(one.config.instance_types)


def prices(one: StackFleet) -> str:
    """Of the stack by part, and each line that any fleet is reckoned with."""
    cost, region = priced(one.config, one.stack.cloud), one.stack.cloud.region
    if cost.total is None or cost.note:
        raise Unexpected(cost.unknown or cost.note)
    lines = [goods.instance(region, name) for name, kind in catalog().types.items() if kind.usd_per_hour]
    lines += [goods.volume(region), goods.address(region), goods.nat_gateway(region), *goods.files(region)]
    for name in catalog().fsx_usd_per_gib_month:
        deployment, _, throughput = name.partition(" ")
        lines.append(goods.lustre(region, deployment, int(throughput or 0)))
    found = listed.ask(one.stack.cloud, lines)
    bad = [price.unknown for price in found.values() if price.usd is None]
    bad += [f"{good.name} is not told apart in the list" for good, price in found.items() if "shipped" in price.source]
    if bad:
        raise Unexpected("; ".join(bad))
    return f"${cost.total:.4f} an hour, {cost.dated}; {len(found)} lines of it are one each"


def image(one: StackFleet) -> str:
    """The image that each architecture's parameter names is there, and fits what we launch with it."""
    cloud, told = one.stack.cloud, []
    for architecture in ARCHITECTURES:
        name = cloud.client("ssm").get_parameter(Name=PARAMETER.format(architecture))["Parameter"]["Value"]
        found = read_image(cloud, name)
        if not found or (found.state, found.architecture) != ("available", architecture):
            raise Unexpected(f"{name} is {found}; needed one for {architecture}")
        if found.root_gib is None or found.root_gib > IMAGE_GIB:
            raise Unexpected(f"{name} is of {found.root_gib} GiB; needed {IMAGE_GIB}")
        told.append(f"{architecture} {name}")
    return ", ".join(told)


def fabrics(one: StackFleet) -> str:
    """The EFA interfaces of each generation, in a dry run of RunInstances: nothing is made."""
    cloud, told = one.stack.cloud, []
    ec2 = cloud.client("ec2")
    name = newest(cloud, read_type(cloud, FABRICS[0]))
    subnets = ec2.describe_subnets(Filters=[{"Name": "default-for-az", "Values": ["true"]}])["Subnets"]
    there = {subnet["AvailabilityZone"]: subnet["SubnetId"] for subnet in subnets}
    asked = [{"Name": "instance-type", "Values": list(FABRICS)}]
    pages = ec2.get_paginator("describe_instance_type_offerings").paginate(
        LocationType="availability-zone", Filters=asked
    )
    offered = {row["InstanceType"]: row["Location"] for page in pages for row in page["InstanceTypeOfferings"]}
    for kind in FABRICS:
        subnet = there.get(offered.get(kind, ""))
        if not subnet:
            told.append(f"{kind} not tried: {'no default subnet' if kind in offered else 'not offered'} here")
            continue
        wires = layout(ec2.describe_instance_types(InstanceTypes=[kind])["InstanceTypes"][0]["NetworkInfo"])
        told.append(f"{kind} {_dry_run(ec2, name, kind, subnet, wires)}")
    return ", ".join(told)


def _dry_run(ec2: Any, name: str, kind: str, subnet: str, wires: tuple[Interface, ...]) -> str:
    interfaces = [
        {
            "NetworkCardIndex": wire.card,
            "DeviceIndex": wire.device,
            "InterfaceType": wire.kind,
            "SubnetId": subnet,
            "DeleteOnTermination": True,
        }
        for wire in wires
    ]
    try:
        ec2.run_instances(
            ImageId=name, InstanceType=kind, MinCount=1, MaxCount=1, NetworkInterfaces=interfaces, DryRun=True
        )
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "DryRunOperation" or code in NO_ROOM:  # a quota or a zone says nothing of the interfaces
            return f"{len(wires)} interfaces{'' if code == 'DryRunOperation' else f', but {code}'}"
        raise Unexpected(f"{kind} with {len(wires)} interfaces: {error}") from error
    raise Unexpected(f"{kind}: a dry run made something")


def topology(one: StackFleet) -> str:
    """The right to ask, and what AWS tells of the machines that run, whoever's they are."""
    found = one.stack.cloud.client("ec2").describe_instance_topology()["Instances"]
    return f"{len(found)} machines of the account are told of"


def quotas(one: StackFleet) -> str:
    config = one.config
    return shortage(one.stack.cloud, config, config.instance_type, config.nodes) or "it has room for the stack"


def preview(one: StackFleet) -> str:
    return str(json.loads(fleet("preview", "-s", one.name, "--json"))["changes"])


FREE = (
    Step("credentials", "credentials reach the account", who),
    Step("types", "the catalog's facts are EC2's", types),
    Step("prices", "GetProducts' filters single out one line", prices),
    Step("quotas", "quota codes of each family and market", quotas),
    Step("image", "the Deep Learning images' SSM parameters", image),
    Step("fabrics", "EFA on card 0 device 0 and on device 1 of the others is taken", fabrics),
    Step("topology", "DescribeInstanceTopology answers", topology),
    Step("preview", "the published provider takes our inputs", preview),
)
