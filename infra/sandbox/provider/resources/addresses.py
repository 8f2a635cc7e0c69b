"""Elastic IP addresses and what they are associated with (terraform-provider-aws ec2_eip.go,
ec2_eip_association.go)."""

from __future__ import annotations

from typing import Any

from infra.sandbox.provider import tags
from infra.sandbox.provider.resources.base import Resource
from infra.sandbox.provider.schema import ResourceType, Timeouts, flag, text
from infra.sandbox.provider.session import Aws
from infra.sandbox.provider.values import Props
from infra.sandbox.provider.waits import Deadline, or_none, retrying, tolerating, until

GONE = ("InvalidAllocationID.NotFound", "InvalidAddress.NotFound")
# Association is retried and polled for a fixed five minutes.
ASSOCIATION_WAIT = 300


class Eip(Resource):
    type = ResourceType(
        token="aws:ec2/eip:Eip",
        inputs={
            "domain": text(computed=True, force_new=True, enum=("vpc", "standard")),
            "instance": text(computed=True),
            "networkInterface": text(computed=True),
            "associateWithPrivateIp": text(read_back=False),
            "address": text(force_new=True, read_back=False),
            "publicIpv4Pool": text(computed=True, force_new=True),
            "networkBorderGroup": text(computed=True, force_new=True),
        },
        outputs=(
            "allocationId",
            "associationId",
            "arn",
            "publicIp",
            "publicDns",
            "privateIp",
            "privateDns",
            "ptrRecord",
            "carrierIp",
            "customerOwnedIp",
        ),
        tagged=True,
        elsewhere=("ipamPoolId", "customerOwnedIpv4Pool"),
        timeouts=Timeouts(update=300, delete=180),
    )

    def create(self, aws: Aws, inputs: Props, deadline: Deadline) -> str:
        optional = {"Address": inputs.get("address"), "PublicIpv4Pool": inputs.get("publicIpv4Pool")}
        made = self.client(aws, inputs).allocate_address(
            Domain=inputs.get("domain") or "vpc",
            TagSpecifications=tags.specification("elastic-ip", inputs["tagsAll"]),
            **{key: value for key, value in optional.items() if value},
        )
        return str(made["AllocationId"])

    def settle(self, aws: Aws, id: str, inputs: Props, deadline: Deadline) -> None:
        ec2 = self.client(aws, inputs)
        until(lambda: _by_allocation(ec2, id), deadline, f"EC2 EIP ({id}) to be there")
        self._associate(ec2, id, inputs, deadline)

    def read(self, aws: Aws, id: str, known: Props) -> Props | None:
        found = _by_allocation(self.client(aws, known), id)
        if found is None:
            return None
        private = found.get("PrivateIpAddress", "")
        return {
            "arn": aws.arn("ec2", f"elastic-ip/{id}", known.get("region", "")),
            "allocationId": id,
            "associationId": found.get("AssociationId") or "",
            "domain": found.get("Domain", "vpc"),
            "instance": found.get("InstanceId") or "",
            "networkInterface": found.get("NetworkInterfaceId") or "",
            "publicIp": found["PublicIp"],
            # Composed by the provider, not told by AWS.
            "publicDns": f"ec2-{_dashed(found['PublicIp'])}.compute-1.{aws.dns_suffix}",
            "privateIp": private,
            "privateDns": f"ip-{_dashed(private)}.ec2.internal" if private else "",
            "ptrRecord": "",
            "carrierIp": "",
            "customerOwnedIp": "",
            "publicIpv4Pool": found.get("PublicIpv4Pool") or "amazon",
            "networkBorderGroup": found.get("NetworkBorderGroup") or known.get("region") or aws.region,
            "tagsAll": tags.from_aws(found.get("Tags")),
        }

    def update(self, aws: Aws, id: str, old: Props, new: Props, changed: frozenset[str], deadline: Deadline) -> None:
        if not changed & {"instance", "networkInterface", "associateWithPrivateIp"}:
            return
        ec2 = self.client(aws, new)
        _disassociate(ec2, old.get("associationId"))
        self._associate(ec2, id, new, deadline)

    def delete(self, aws: Aws, id: str, state: Props, deadline: Deadline) -> None:
        ec2 = self.client(aws, state)
        found = _by_allocation(ec2, id)
        _disassociate(ec2, (found or {}).get("AssociationId"))
        with tolerating(*GONE):
            ec2.release_address(AllocationId=id)

    def _associate(self, ec2: Any, id: str, inputs: Props, deadline: Deadline) -> None:
        names = {
            "instance": "InstanceId",
            "networkInterface": "NetworkInterfaceId",
            "associateWithPrivateIp": "PrivateIpAddress",
        }
        asked = {name: inputs[key] for key, name in names.items() if inputs.get(key)}
        if asked:
            _associated(ec2, {"AllocationId": id, **asked}, deadline)


class EipAssociation(Resource):
    type = ResourceType(
        token="aws:ec2/eipAssociation:EipAssociation",
        inputs={
            "allocationId": text(computed=True, force_new=True),
            "instanceId": text(computed=True, force_new=True),
            # The one to use where the instance has several interfaces.
            "networkInterfaceId": text(computed=True, force_new=True),
            "privateIpAddress": text(computed=True, force_new=True),
            "publicIp": text(computed=True, force_new=True),
            # false is a zero value and never sent, so that AWS's own default (reassociate) applies.
            "allowReassociation": flag(force_new=True, read_back=False),
        },
    )

    def create(self, aws: Aws, inputs: Props, deadline: Deadline) -> str:
        asked = {key[0].upper() + key[1:]: inputs[key] for key in self.type.inputs if inputs.get(key)}
        return _associated(self.client(aws, inputs), asked, deadline)

    def read(self, aws: Aws, id: str, known: Props) -> Props | None:
        mine = [{"Name": "association-id", "Values": [id]}]
        found = self.client(aws, known).describe_addresses(Filters=mine)["Addresses"]
        if not found:
            return None
        return {
            "allocationId": found[0].get("AllocationId", ""),
            "instanceId": found[0].get("InstanceId") or "",
            "networkInterfaceId": found[0].get("NetworkInterfaceId") or "",
            "privateIpAddress": found[0].get("PrivateIpAddress") or "",
            "publicIp": found[0]["PublicIp"],
        }

    def delete(self, aws: Aws, id: str, state: Props, deadline: Deadline) -> None:
        _disassociate(self.client(aws, state), id)


def _by_allocation(ec2: Any, id: str) -> Any:
    answer = or_none(lambda: ec2.describe_addresses(AllocationIds=[id]), *GONE)
    found = (answer or {}).get("Addresses", [])
    return found[0] if found else None


def _associated(ec2: Any, asked: Props, deadline: Deadline) -> str:
    """The association's id. What AWS does not show yet, and an instance that is still pending, are waited for."""
    wait = deadline.fixed(ASSOCIATION_WAIT)

    def call() -> Any:
        return retrying(lambda: ec2.associate_address(**asked), wait, "InvalidInstanceID", saying="pending instance")

    made = retrying(call, wait, *GONE)
    return str(made["AssociationId"])


def _disassociate(ec2: Any, association: str | None) -> None:
    if association:
        with tolerating("InvalidAssociationID.NotFound"):
            ec2.disassociate_address(AssociationId=association)


def _dashed(address: str) -> str:
    return address.replace(".", "-")
