"""VPC, subnet and internet gateway."""

from __future__ import annotations

from typing import Any

from infra.sandbox.provider import tags
from infra.sandbox.provider.resources.base import Resource
from infra.sandbox.provider.resources.rules import ipv4_network, ipv6_network, vpc_network
from infra.sandbox.provider.schema import ResourceType, Timeouts, flag, integer, text
from infra.sandbox.provider.session import Aws
from infra.sandbox.provider.values import Props
from infra.sandbox.provider.waits import Deadline, or_none, retrying, tolerating, until

# terraform-provider-aws gives a VPC's deletion a fixed 5 minutes for what still depends on it (ec2 vpc_.go).
VPC_DELETE = 300


class Vpc(Resource):
    type = ResourceType(
        token="aws:ec2/vpc:Vpc",
        inputs={
            "cidrBlock": text(computed=True, force_new=True, check=vpc_network, conflicts=("ipv4NetmaskLength",)),
            "enableDnsSupport": flag(default=True),
            "enableDnsHostnames": flag(computed=True),
            "enableNetworkAddressUsageMetrics": flag(computed=True),
            "instanceTenancy": text(default="default", enum=("default", "dedicated")),
            "assignGeneratedIpv6CidrBlock": flag(conflicts=("ipv6IpamPoolId",)),
            "ipv4NetmaskLength": integer(force_new=True, bounds=(16, 28), conflicts=("cidrBlock",)),
        },
        outputs=(
            "arn",
            "defaultNetworkAclId",
            "defaultRouteTableId",
            "mainRouteTableId",
            "defaultSecurityGroupId",
            "dhcpOptionsId",
            "ipv6AssociationId",
            "ownerId",
        ),
        elsewhere=(
            "ipv4IpamPoolId",
            "ipv6CidrBlock",
            "ipv6CidrBlockNetworkBorderGroup",
            "ipv6IpamPoolId",
            "ipv6NetmaskLength",
        ),
        tagged=True,
    )
    # AWS makes a VPC with these; only what differs is sent (ec2 vpc_.go).
    attributes = {"enableDnsSupport": True, "enableDnsHostnames": False, "enableNetworkAddressUsageMetrics": False}

    def create(self, aws: Aws, inputs: Props, deadline: Deadline) -> str:
        sent: dict[str, Any] = {"InstanceTenancy": inputs["instanceTenancy"]}
        if "cidrBlock" in inputs:
            sent["CidrBlock"] = inputs["cidrBlock"]
        if inputs.get("assignGeneratedIpv6CidrBlock"):
            sent["AmazonProvidedIpv6CidrBlock"] = True
        made = self.client(aws, inputs).create_vpc(
            TagSpecifications=tags.specification("vpc", inputs["tagsAll"]), **sent
        )
        return str(made["Vpc"]["VpcId"])

    def settle(self, aws: Aws, id: str, inputs: Props, deadline: Deadline) -> None:
        ec2 = self.client(aws, inputs)
        until(lambda: self._found(ec2, id, "available"), deadline, f"VPC ({id}) to become available")
        for name, initial in self.attributes.items():
            if name in inputs and inputs[name] != initial:
                self._set(ec2, id, name, inputs[name], deadline)

    def read(self, aws: Aws, id: str, known: Props) -> Props | None:
        ec2 = self.client(aws, known)
        vpc = self._found(ec2, id)
        if vpc is None:
            return None
        mine = [{"Name": "vpc-id", "Values": [id]}]
        main = ec2.describe_route_tables(Filters=[*mine, {"Name": "association.main", "Values": ["true"]}])
        groups = ec2.describe_security_groups(Filters=[*mine, {"Name": "group-name", "Values": ["default"]}])
        acls = ec2.describe_network_acls(Filters=[*mine, {"Name": "default", "Values": ["true"]}])
        table = main["RouteTables"][0]["RouteTableId"] if main["RouteTables"] else ""
        ipv6 = vpc.get("Ipv6CidrBlockAssociationSet") or []
        return {
            "arn": aws.arn("ec2", f"vpc/{id}", known.get("region", "")),
            "cidrBlock": vpc["CidrBlock"],
            "instanceTenancy": vpc.get("InstanceTenancy", "default"),
            "assignGeneratedIpv6CidrBlock": bool(ipv6),
            "ipv6AssociationId": ipv6[0]["AssociationId"] if ipv6 else "",
            "dhcpOptionsId": vpc.get("DhcpOptionsId", ""),
            "ownerId": vpc.get("OwnerId", ""),
            "mainRouteTableId": table,
            "defaultRouteTableId": table,
            "defaultSecurityGroupId": groups["SecurityGroups"][0]["GroupId"] if groups["SecurityGroups"] else "",
            "defaultNetworkAclId": acls["NetworkAcls"][0]["NetworkAclId"] if acls["NetworkAcls"] else "",
            **{name: self._attribute(ec2, id, name) for name in self.attributes},
            "tagsAll": tags.from_aws(vpc.get("Tags")),
        }

    def update(self, aws: Aws, id: str, old: Props, new: Props, changed: frozenset[str], deadline: Deadline) -> None:
        ec2 = self.client(aws, new)
        for name in self.attributes:
            if name in changed and name in new:
                self._set(ec2, id, name, new[name], deadline)
        if "instanceTenancy" in changed:
            ec2.modify_vpc_tenancy(VpcId=id, InstanceTenancy=new["instanceTenancy"])

    def delete(self, aws: Aws, id: str, state: Props, deadline: Deadline) -> None:
        ec2, end = self.client(aws, state), deadline.capped(VPC_DELETE)
        with tolerating("InvalidVpcID.NotFound"):
            retrying(lambda: ec2.delete_vpc(VpcId=id), end, "DependencyViolation")
            until(lambda: self._found(ec2, id) is None, end, f"VPC ({id}) to be gone")

    def replaces(self, aws: Aws, old: Props, new: Props, changed: frozenset[str]) -> set[str]:
        loosened = old.get("instanceTenancy") == "dedicated" and new.get("instanceTenancy") == "default"
        return {"instanceTenancy"} if "instanceTenancy" in changed and not loosened else set()

    def _found(self, ec2: Any, id: str, state: str = "") -> Any:
        answer = or_none(lambda: ec2.describe_vpcs(VpcIds=[id]), "InvalidVpcID.NotFound")
        found = [vpc for vpc in (answer or {}).get("Vpcs", []) if not state or vpc["State"] == state]
        return found[0] if found else None

    def _attribute(self, ec2: Any, id: str, name: str) -> bool:
        answer = ec2.describe_vpc_attribute(VpcId=id, Attribute=name)
        return bool(answer.get(name[0].upper() + name[1:], {}).get("Value", False))

    def _set(self, ec2: Any, id: str, name: str, value: bool, deadline: Deadline) -> None:
        ec2.modify_vpc_attribute(VpcId=id, **{name[0].upper() + name[1:]: {"Value": value}})
        until(lambda: self._attribute(ec2, id, name) == value, deadline, f"VPC ({id}) to take {name}")


class Subnet(Resource):
    type = ResourceType(
        token="aws:ec2/subnet:Subnet",
        inputs={
            "vpcId": text(required=True, force_new=True),
            "cidrBlock": text(force_new=True, check=ipv4_network),
            "availabilityZone": text(computed=True, force_new=True, conflicts=("availabilityZoneId",)),
            "availabilityZoneId": text(computed=True, force_new=True, conflicts=("availabilityZone",)),
            "mapPublicIpOnLaunch": flag(default=False),
            "assignIpv6AddressOnCreation": flag(default=False),
            "ipv6CidrBlock": text(check=ipv6_network),
        },
        outputs=("arn", "ipv6CidrBlockAssociationId", "ownerId"),
        elsewhere=(
            "customerOwnedIpv4Pool",
            "enableDns64",
            "enableLniAtDeviceIndex",
            "enableResourceNameDnsARecordOnLaunch",
            "enableResourceNameDnsAaaaRecordOnLaunch",
            "ipv4IpamPoolId",
            "ipv4NetmaskLength",
            "ipv6IpamPoolId",
            "ipv6Native",
            "ipv6NetmaskLength",
            "mapCustomerOwnedIpOnLaunch",
            "outpostArn",
            "privateDnsHostnameTypeOnLaunch",
        ),
        tagged=True,
        timeouts=Timeouts(create=600, delete=1200),
    )
    gone = ("InvalidSubnetID.NotFound", "InvalidSubnetId.NotFound")
    flags = {"mapPublicIpOnLaunch": "MapPublicIpOnLaunch", "assignIpv6AddressOnCreation": "AssignIpv6AddressOnCreation"}
    sent = {
        "vpcId": "VpcId",
        "cidrBlock": "CidrBlock",
        "availabilityZone": "AvailabilityZone",
        "availabilityZoneId": "AvailabilityZoneId",
        "ipv6CidrBlock": "Ipv6CidrBlock",
    }

    def create(self, aws: Aws, inputs: Props, deadline: Deadline) -> str:
        made = self.client(aws, inputs).create_subnet(
            TagSpecifications=tags.specification("subnet", inputs["tagsAll"]),
            **{name: inputs[key] for key, name in self.sent.items() if key in inputs},
        )
        return str(made["Subnet"]["SubnetId"])

    def settle(self, aws: Aws, id: str, inputs: Props, deadline: Deadline) -> None:
        ec2 = self.client(aws, inputs)
        until(lambda: self._found(ec2, id, "available"), deadline, f"subnet ({id}) to become available")
        self._set_flags(ec2, id, {name for name in self.flags if inputs.get(name)}, inputs, deadline)

    def read(self, aws: Aws, id: str, known: Props) -> Props | None:
        subnet = self._found(self.client(aws, known), id)
        if subnet is None:
            return None
        ipv6 = subnet.get("Ipv6CidrBlockAssociationSet") or []
        return {
            "arn": subnet.get("SubnetArn", ""),
            **{key: subnet.get(name) for key, name in self.sent.items() if key != "ipv6CidrBlock"},
            **{key: bool(subnet.get(name)) for key, name in self.flags.items()},
            "ipv6CidrBlock": ipv6[0]["Ipv6CidrBlock"] if ipv6 else "",
            "ipv6CidrBlockAssociationId": ipv6[0]["AssociationId"] if ipv6 else "",
            "ownerId": subnet.get("OwnerId", ""),
            "tagsAll": tags.from_aws(subnet.get("Tags")),
        }

    def update(self, aws: Aws, id: str, old: Props, new: Props, changed: frozenset[str], deadline: Deadline) -> None:
        ec2 = self.client(aws, new)
        self._set_flags(ec2, id, set(self.flags) & changed, new, deadline)
        if "ipv6CidrBlock" in changed:
            if old.get("ipv6CidrBlockAssociationId"):
                ec2.disassociate_subnet_cidr_block(AssociationId=old["ipv6CidrBlockAssociationId"])
            if new.get("ipv6CidrBlock"):
                ec2.associate_subnet_cidr_block(SubnetId=id, Ipv6CidrBlock=new["ipv6CidrBlock"])

    def delete(self, aws: Aws, id: str, state: Props, deadline: Deadline) -> None:
        ec2 = self.client(aws, state)
        with tolerating(*self.gone):
            retrying(lambda: ec2.delete_subnet(SubnetId=id), deadline, "DependencyViolation")

    def _found(self, ec2: Any, id: str, state: str = "") -> Any:
        answer = or_none(lambda: ec2.describe_subnets(SubnetIds=[id]), *self.gone)
        found = [each for each in (answer or {}).get("Subnets", []) if not state or each["State"] == state]
        return found[0] if found else None

    def _set_flags(self, ec2: Any, id: str, which: set[str], inputs: Props, deadline: Deadline) -> None:
        # One attribute a call, each polled until it shows: AWS takes no more at once (ec2 vpc_subnet.go).
        for key in sorted(which):
            self._set_flag(ec2, id, key, bool(inputs.get(key)), deadline)

    def _set_flag(self, ec2: Any, id: str, key: str, wanted: bool, deadline: Deadline) -> None:
        name = self.flags[key]
        ec2.modify_subnet_attribute(SubnetId=id, **{name: {"Value": wanted}})
        until(lambda: bool(self._found(ec2, id).get(name)) == wanted, deadline, f"subnet ({id}) to take {key}")


class InternetGateway(Resource):
    type = ResourceType(
        token="aws:ec2/internetGateway:InternetGateway",
        inputs={"vpcId": text(computed=True)},
        outputs=("arn", "ownerId"),
        tagged=True,
        timeouts=Timeouts(create=1200, update=1200, delete=1200),
    )
    gone = "InvalidInternetGatewayID.NotFound"

    def create(self, aws: Aws, inputs: Props, deadline: Deadline) -> str:
        made = self.client(aws, inputs).create_internet_gateway(
            TagSpecifications=tags.specification("internet-gateway", inputs["tagsAll"])
        )
        return str(made["InternetGateway"]["InternetGatewayId"])

    def settle(self, aws: Aws, id: str, inputs: Props, deadline: Deadline) -> None:
        if "vpcId" in inputs:
            self._attach(self.client(aws, inputs), id, inputs["vpcId"], deadline)

    def read(self, aws: Aws, id: str, known: Props) -> Props | None:
        gateway = self._found(self.client(aws, known), id)
        if gateway is None:
            return None
        attached = gateway.get("Attachments") or []
        return {
            "arn": aws.arn("ec2", f"internet-gateway/{id}", known.get("region", "")),
            "vpcId": attached[0]["VpcId"] if attached else "",
            "ownerId": gateway.get("OwnerId", ""),
            "tagsAll": tags.from_aws(gateway.get("Tags")),
        }

    def update(self, aws: Aws, id: str, old: Props, new: Props, changed: frozenset[str], deadline: Deadline) -> None:
        ec2 = self.client(aws, new)
        if old.get("vpcId"):
            self._detach(ec2, id, old["vpcId"], deadline)
        if new.get("vpcId"):
            self._attach(ec2, id, new["vpcId"], deadline)

    def delete(self, aws: Aws, id: str, state: Props, deadline: Deadline) -> None:
        ec2 = self.client(aws, state)
        if state.get("vpcId"):
            self._detach(ec2, id, state["vpcId"], deadline)
        with tolerating(self.gone):
            retrying(lambda: ec2.delete_internet_gateway(InternetGatewayId=id), deadline, "DependencyViolation")

    def _attach(self, ec2: Any, id: str, vpc: str, deadline: Deadline) -> None:
        retrying(lambda: ec2.attach_internet_gateway(InternetGatewayId=id, VpcId=vpc), deadline, self.gone)
        until(lambda: (self._found(ec2, id) or {}).get("Attachments"), deadline, f"{id} to be attached to {vpc}")

    def _detach(self, ec2: Any, id: str, vpc: str, deadline: Deadline) -> None:
        # AWS refuses while anything in the VPC has a public address (hashicorp/terraform issues 497, 1303).
        with tolerating("Gateway.NotAttached", self.gone):
            retrying(
                lambda: ec2.detach_internet_gateway(InternetGatewayId=id, VpcId=vpc), deadline, "DependencyViolation"
            )

    def _found(self, ec2: Any, id: str) -> Any:
        answer = or_none(lambda: ec2.describe_internet_gateways(InternetGatewayIds=[id]), self.gone)
        found = (answer or {}).get("InternetGateways", [])
        return found[0] if found else None
