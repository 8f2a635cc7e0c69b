"""Elastic IPs: what AWS refuses to associate, and the instance that an interface's address leads to."""

from __future__ import annotations

from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend
from moto.ec2.models.elastic_ip_addresses import ElasticAddress

from infra.sandbox.patches.hook import replace

_associate = EC2Backend.associate_address


def install() -> None:
    replace(EC2Backend, "associate_address", associate_address)


def associate_address(self: EC2Backend, instance: Any = None, eni: Any = None, **asked: Any) -> ElasticAddress:
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_AssociateAddress.html"""
    owner = instance or getattr(eni, "instance", None)
    if owner is not None and owner.state == "pending":
        message = f"The pending instance '{owner.id}' is not in a valid state for this operation."
        raise EC2ClientError("InvalidInstanceID", message)
    if instance is not None and len(instance.nics) > 1:
        message = (
            f"There are multiple interfaces attached to instance '{instance.id}'. "
            "Please specify an interface ID for the operation instead."
        )
        raise EC2ClientError("InvalidInstanceID", message)
    address = _associate(self, instance, eni, **asked)
    address.instance = owner
    return address
