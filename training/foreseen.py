"""What is known of an `up` before it: how the fleet is bought, in whose account, whether its quota has room and whether
its image will do.
"""

from __future__ import annotations

from infra.errors import CloudRefused
from training.stack_fleet import StackFleet


def in_words(fleet: StackFleet) -> str:
    """g6.xlarge x 2, spot, in us-east-1a"""
    from infra.place import in_words as bought

    kind = fleet.config_here.instance_type
    return f"{kind} x {fleet.config.nodes}, {bought(fleet.config, kind)}"


def account(fleet: StackFleet) -> str:
    """The number of the AWS account, "" where it can't be asked, or `aws:endpoints` names others than AWS's."""
    cloud = fleet.stack.cloud
    if cloud.endpoints:
        return ""
    try:
        return cloud.elsewhere(cloud.region, patience=2).account_id()
    except CloudRefused:
        return ""


def shortage(fleet: StackFleet) -> str:
    """Why the account's quota refuses it and what `up` does then, "" where it doesn't, or can't be asked."""
    from infra.quotas import shortage as short

    config, cloud = fleet.config_here, fleet.stack.cloud
    try:
        why = short(cloud.elsewhere(cloud.region, patience=2), config, config.instance_type, config.nodes)
    except CloudRefused:
        return ""
    others = [kind for kind in fleet.config.instance_types if kind != config.instance_type]
    then = f"goes on to {' or '.join(others)}" if others else "would be refused"
    return f"{why}: fleet up {then}" if why else ""


def refuse_image(fleet: StackFleet) -> None:
    """BadInput where nodes can't be made of the image that the stack file names; nothing where AWS can't be asked."""
    from infra.fabric import read_type
    from infra.image import refuse

    config = fleet.config_here
    if config.ami is None:
        return
    try:
        cloud = fleet.stack.cloud.elsewhere(fleet.stack.cloud.region, patience=2)
        refuse(cloud, config, read_type(cloud, config.instance_type), config.ami)
    except CloudRefused:
        return
