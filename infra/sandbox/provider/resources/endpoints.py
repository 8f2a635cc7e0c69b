"""VPC endpoints of the gateway kind, which cost nothing: S3 and DynamoDB (terraform-provider-aws vpc_endpoint.go)."""

from __future__ import annotations

from typing import Any

from infra.sandbox.provider import tags
from infra.sandbox.provider.policy import equivalent
from infra.sandbox.provider.resources.base import Resource
from infra.sandbox.provider.schema import ResourceType, Timeouts, document, names, text
from infra.sandbox.provider.session import Aws
from infra.sandbox.provider.values import Props
from infra.sandbox.provider.waits import Deadline, or_none, tolerating, until

GONE = ("InvalidVpcEndpoint.NotFound", "InvalidVpcEndpointId.NotFound")


class VpcEndpoint(Resource):
    type = ResourceType(
        token="aws:ec2/vpcEndpoint:VpcEndpoint",
        inputs={
            "vpcId": text(required=True, force_new=True),
            "serviceName": text(required=True, force_new=True),
            "vpcEndpointType": text(default="Gateway", force_new=True, enum=("Gateway",)),
            "routeTableIds": names(computed=True),
            "policy": document(computed=True, same=equivalent),
        },
        outputs=("arn", "state", "prefixListId", "cidrBlocks", "ownerId", "requesterManaged"),
        tagged=True,
        elsewhere=(
            "autoAccept",
            "dnsOptions",
            "ipAddressType",
            "privateDnsEnabled",
            "resourceConfigurationArn",
            "securityGroupIds",
            "serviceNetworkArn",
            "serviceRegion",
            "subnetConfigurations",
            "subnetIds",
        ),
        timeouts=Timeouts(create=600, update=600, delete=600),
    )

    def create(self, aws: Aws, inputs: Props, deadline: Deadline) -> str:
        policy = {"PolicyDocument": inputs["policy"]} if inputs.get("policy") else {}
        made = self.client(aws, inputs).create_vpc_endpoint(
            VpcId=inputs["vpcId"],
            ServiceName=inputs["serviceName"],
            VpcEndpointType=inputs["vpcEndpointType"],
            RouteTableIds=inputs.get("routeTableIds") or [],
            TagSpecifications=tags.specification("vpc-endpoint", inputs["tagsAll"]),
            **policy,
        )
        return str(made["VpcEndpoint"]["VpcEndpointId"])

    def settle(self, aws: Aws, id: str, inputs: Props, deadline: Deadline) -> None:
        ec2 = self.client(aws, inputs)
        until(lambda: (_found(ec2, id) or {}).get("State") == "available", deadline, f"EC2 VPC Endpoint ({id})")

    def read(self, aws: Aws, id: str, known: Props) -> Props | None:
        ec2 = self.client(aws, known)
        found = _found(ec2, id)
        if found is None:
            return None
        asked = {"Name": "prefix-list-name", "Values": [found["ServiceName"]]}
        lists = ec2.describe_prefix_lists(Filters=[asked])["PrefixLists"]
        mine: Props = next((one for one in lists if one["PrefixListName"] == found["ServiceName"]), {})
        return {
            "arn": aws.arn("ec2", f"vpc-endpoint/{id}", known.get("region", "")),
            "vpcId": found["VpcId"],
            "serviceName": found["ServiceName"],
            "vpcEndpointType": found["VpcEndpointType"],
            "routeTableIds": found.get("RouteTableIds") or [],
            "policy": found.get("PolicyDocument", ""),
            "state": found["State"],
            "prefixListId": mine.get("PrefixListId", ""),
            "cidrBlocks": mine.get("Cidrs", []),
            "ownerId": found.get("OwnerId", ""),
            "requesterManaged": bool(found.get("RequesterManaged")),
            "tagsAll": tags.from_aws(found.get("Tags")),
        }

    def update(self, aws: Aws, id: str, old: Props, new: Props, changed: frozenset[str], deadline: Deadline) -> None:
        before, after = set(old.get("routeTableIds") or []), set(new.get("routeTableIds") or [])
        added, removed = sorted(after - before), sorted(before - after)
        asked: dict[str, Any] = {"AddRouteTableIds": added, "RemoveRouteTableIds": removed}
        if "policy" in changed:
            asked["PolicyDocument"] = new["policy"]
        sent = {key: value for key, value in asked.items() if value}
        if sent:
            self.client(aws, new).modify_vpc_endpoint(VpcEndpointId=id, **sent)

    def delete(self, aws: Aws, id: str, state: Props, deadline: Deadline) -> None:
        ec2 = self.client(aws, state)
        with tolerating(*GONE):
            refused = ec2.delete_vpc_endpoints(VpcEndpointIds=[id]).get("Unsuccessful") or []
            for one in refused:
                if one["Error"]["Code"] not in GONE:
                    raise ValueError(f"{one['Error']['Code']}: {one['Error'].get('Message', '')}")
        until(lambda: _found(ec2, id) is None, deadline, f"EC2 VPC Endpoint ({id}) to be deleted")


def _found(ec2: Any, id: str) -> Any:
    shown = or_none(lambda: ec2.describe_vpc_endpoints(VpcEndpointIds=[id]), *GONE)
    return next((one for one in (shown or {}).get("VpcEndpoints", []) if one["State"].lower() != "deleted"), None)
