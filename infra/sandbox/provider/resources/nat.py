"""NAT gateways (terraform-provider-aws vpc_nat_gateway.go)."""

from __future__ import annotations

from typing import Any

from infra.sandbox.provider import tags
from infra.sandbox.provider.resources.base import Resource
from infra.sandbox.provider.schema import ResourceType, Timeouts, text
from infra.sandbox.provider.session import Aws
from infra.sandbox.provider.values import Props
from infra.sandbox.provider.waits import Deadline, or_none, tolerating, until

GONE = ("NatGatewayNotFound",)


class NatGateway(Resource):
    type = ResourceType(
        token="aws:ec2/natGateway:NatGateway",
        inputs={
            "allocationId": text(force_new=True),
            "subnetId": text(force_new=True),
            "connectivityType": text(default="public", force_new=True, enum=("public", "private")),
            "privateIp": text(computed=True, force_new=True),
        },
        outputs=("associationId", "networkInterfaceId", "publicIp"),
        tagged=True,
        elsewhere=("secondaryAllocationIds", "secondaryPrivateIpAddresses", "secondaryPrivateIpAddressCount"),
        timeouts=Timeouts(create=600, update=600, delete=1800),
    )

    def create(self, aws: Aws, inputs: Props, deadline: Deadline) -> str:
        asked = {"AllocationId": inputs.get("allocationId"), "PrivateIpAddress": inputs.get("privateIp")}
        made = self.client(aws, inputs).create_nat_gateway(
            SubnetId=inputs["subnetId"],
            ConnectivityType=inputs["connectivityType"],
            TagSpecifications=tags.specification("natgateway", inputs["tagsAll"]),
            **{key: value for key, value in asked.items() if value},
        )
        return str(made["NatGateway"]["NatGatewayId"])

    def settle(self, aws: Aws, id: str, inputs: Props, deadline: Deadline) -> None:
        ec2 = self.client(aws, inputs)
        until(lambda: (_found(ec2, id) or {}).get("State") == "available", deadline, f"EC2 NAT Gateway ({id})")

    def read(self, aws: Aws, id: str, known: Props) -> Props | None:
        found = _found(self.client(aws, known), id)
        if found is None:
            return None
        (address, *_) = found.get("NatGatewayAddresses") or [{}]
        return {
            "allocationId": address.get("AllocationId") or known.get("allocationId"),
            "subnetId": found["SubnetId"],
            "connectivityType": found.get("ConnectivityType", "public"),
            "privateIp": address.get("PrivateIp", ""),
            "publicIp": address.get("PublicIp", ""),
            "associationId": address.get("AssociationId", ""),
            "networkInterfaceId": address.get("NetworkInterfaceId", ""),
            "tagsAll": tags.from_aws(found.get("Tags")),
        }

    def delete(self, aws: Aws, id: str, state: Props, deadline: Deadline) -> None:
        ec2 = self.client(aws, state)
        with tolerating(*GONE):
            ec2.delete_nat_gateway(NatGatewayId=id)
        until(lambda: _found(ec2, id) is None, deadline, f"EC2 NAT Gateway ({id}) to be deleted")


def _found(ec2: Any, id: str) -> Any:
    shown = or_none(lambda: ec2.describe_nat_gateways(NatGatewayIds=[id]), *GONE)
    return next(
        (one for one in (shown or {}).get("NatGateways", []) if one["State"] not in ("deleted", "failed")), None
    )
