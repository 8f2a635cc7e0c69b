"""Route tables, routes, and which subnet uses which table."""

from __future__ import annotations

import zlib
from typing import Any

from infra.sandbox.provider import tags
from infra.sandbox.provider.resources.base import Resource
from infra.sandbox.provider.resources.rules import ipv4_network, ipv6_network
from infra.sandbox.provider.schema import ResourceType, Timeouts, blocks, text
from infra.sandbox.provider.session import Aws
from infra.sandbox.provider.values import Props
from infra.sandbox.provider.waits import Deadline, or_none, retrying, tolerating, until

TIMEOUTS = Timeouts(create=300, update=120, delete=300)
GONE = "InvalidRouteTableID.NotFound"
TARGETS = {
    "gatewayId": "GatewayId",
    "natGatewayId": "NatGatewayId",
    "networkInterfaceId": "NetworkInterfaceId",
    "vpcEndpointId": "VpcEndpointId",
    "egressOnlyGatewayId": "EgressOnlyInternetGatewayId",
    "transitGatewayId": "TransitGatewayId",
    "vpcPeeringConnectionId": "VpcPeeringConnectionId",
}
DESTINATIONS = {
    "destinationCidrBlock": "DestinationCidrBlock",
    "destinationIpv6CidrBlock": "DestinationIpv6CidrBlock",
    "destinationPrefixListId": "DestinationPrefixListId",
}
INLINE = {
    "cidrBlock": "DestinationCidrBlock",
    "ipv6CidrBlock": "DestinationIpv6CidrBlock",
    "destinationPrefixListId": "DestinationPrefixListId",
}
OTHER_TARGETS = ("carrierGatewayId", "coreNetworkArn", "localGatewayId", "odbNetworkArn")


def _table(ec2: Any, id: str) -> Any:
    answer = or_none(lambda: ec2.describe_route_tables(RouteTableIds=[id]), GONE)
    found = (answer or {}).get("RouteTables", [])
    return found[0] if found else None


def _aws_names(props: Props, *tables: dict[str, str]) -> dict[str, str]:
    return {name: props[key] for table in tables for key, name in table.items() if props.get(key)}


class RouteTable(Resource):
    type = ResourceType(
        token="aws:ec2/routeTable:RouteTable",
        inputs={
            "vpcId": text(required=True, force_new=True),
            "routes": blocks({key: text() for key in (*INLINE, *TARGETS)}, computed=True),
        },
        outputs=("arn", "ownerId"),
        elsewhere=("propagatingVgws",),
        tagged=True,
        timeouts=TIMEOUTS,
    )

    def create(self, aws: Aws, inputs: Props, deadline: Deadline) -> str:
        made = self.client(aws, inputs).create_route_table(
            VpcId=inputs["vpcId"], TagSpecifications=tags.specification("route-table", inputs["tagsAll"])
        )
        return str(made["RouteTable"]["RouteTableId"])

    def settle(self, aws: Aws, id: str, inputs: Props, deadline: Deadline) -> None:
        ec2 = self.client(aws, inputs)
        until(lambda: _table(ec2, id), deadline, f"route table ({id}) to be readable")
        for route in inputs.get("routes") or []:
            ec2.create_route(RouteTableId=id, **_aws_names(route, INLINE, TARGETS))

    def read(self, aws: Aws, id: str, known: Props) -> Props | None:
        table = _table(self.client(aws, known), id)
        if table is None:
            return None
        return {
            "arn": aws.arn("ec2", f"route-table/{id}", known.get("region", "")),
            "vpcId": table["VpcId"],
            "ownerId": table.get("OwnerId", ""),
            "routes": [self._inline(route) for route in table["Routes"] if self._own(route)],
            "tagsAll": tags.from_aws(table.get("Tags")),
        }

    def update(self, aws: Aws, id: str, old: Props, new: Props, changed: frozenset[str], deadline: Deadline) -> None:
        ec2 = self.client(aws, new)
        before = {self._destination(route): route for route in old.get("routes") or []}
        after = {self._destination(route): route for route in new.get("routes") or []}
        for destination in before.keys() - after.keys():
            ec2.delete_route(RouteTableId=id, **_aws_names(before[destination], INLINE))
        for destination, route in after.items():
            if destination not in before:
                ec2.create_route(RouteTableId=id, **_aws_names(route, INLINE, TARGETS))
            elif route != before[destination]:
                ec2.replace_route(RouteTableId=id, **_aws_names(route, INLINE, TARGETS))

    def delete(self, aws: Aws, id: str, state: Props, deadline: Deadline) -> None:
        ec2 = self.client(aws, state)
        for association in (_table(ec2, id) or {}).get("Associations", []):
            with tolerating("InvalidAssociationID.NotFound"):
                ec2.disassociate_route_table(AssociationId=association["RouteTableAssociationId"])
        with tolerating(GONE):
            retrying(lambda: ec2.delete_route_table(RouteTableId=id), deadline, "DependencyViolation")
            until(lambda: _table(ec2, id) is None, deadline, f"route table ({id}) to be gone")

    def _own(self, route: Any) -> bool:
        # The local route, propagated ones and those of gateway endpoints are not the program's.
        gateway = route.get("GatewayId") or ""
        propagated = route.get("Origin") == "EnableVgwRoutePropagation"
        return gateway != "local" and not propagated and not gateway.startswith("vpce-")

    def _inline(self, route: Any) -> Props:
        return {key: route[name] for key, name in {**INLINE, **TARGETS}.items() if route.get(name)}

    def _destination(self, route: Props) -> str:
        return next((str(route[key]) for key in INLINE if route.get(key)), "")


class Route(Resource):
    type = ResourceType(
        token="aws:ec2/route:Route",
        inputs={
            "routeTableId": text(required=True, force_new=True),
            "destinationCidrBlock": text(force_new=True, check=ipv4_network),
            "destinationIpv6CidrBlock": text(force_new=True, check=ipv6_network),
            "destinationPrefixListId": text(force_new=True),
            **{target: text(computed=target == "networkInterfaceId") for target in TARGETS},
        },
        outputs=("instanceId", "instanceOwnerId", "origin", "state"),
        elsewhere=OTHER_TARGETS,
        exactly_one_of=(tuple(DESTINATIONS), tuple(TARGETS)),
        timeouts=TIMEOUTS,
    )

    def create(self, aws: Aws, inputs: Props, deadline: Deadline) -> str:
        ec2, table = self.client(aws, inputs), inputs["routeTableId"]
        destination = self._destination(inputs)
        if (self._found(ec2, table, destination) or {}).get("Origin") == "CreateRoute":
            raise ValueError(f"RouteAlreadyExists: route in route table {table} to {destination} already exists")
        retrying(
            lambda: ec2.create_route(RouteTableId=table, **_aws_names(inputs, DESTINATIONS, TARGETS)),
            deadline,
            "InvalidParameterException",
            "InvalidTransitGatewayID.NotFound",
        )
        return f"r-{table}{zlib.crc32(destination.encode())}"

    def settle(self, aws: Aws, id: str, inputs: Props, deadline: Deadline) -> None:
        ec2, destination = self.client(aws, inputs), self._destination(inputs)
        until(lambda: self._found(ec2, inputs["routeTableId"], destination), deadline, f"route ({id}) to exist")

    def read(self, aws: Aws, id: str, known: Props) -> Props | None:
        if not known.get("routeTableId"):
            return None
        route = self._found(self.client(aws, known), known["routeTableId"], self._destination(known))
        if route is None:
            return None
        read = {key: route.get(name) or "" for key, name in {**DESTINATIONS, **TARGETS}.items()}
        if read["gatewayId"].startswith("vpce-"):
            read["vpcEndpointId"], read["gatewayId"] = read["gatewayId"], ""
        return {
            **read,
            "routeTableId": known["routeTableId"],
            "instanceId": route.get("InstanceId", ""),
            "instanceOwnerId": route.get("InstanceOwnerId", ""),
            "origin": route.get("Origin", ""),
            "state": route.get("State", ""),
        }

    def update(self, aws: Aws, id: str, old: Props, new: Props, changed: frozenset[str], deadline: Deadline) -> None:
        self.client(aws, new).replace_route(RouteTableId=new["routeTableId"], **_aws_names(new, DESTINATIONS, TARGETS))

    def delete(self, aws: Aws, id: str, state: Props, deadline: Deadline) -> None:
        ec2, table = self.client(aws, state), state["routeTableId"]
        with tolerating("InvalidRoute.NotFound", GONE):
            retrying(
                lambda: ec2.delete_route(RouteTableId=table, **_aws_names(state, DESTINATIONS)),
                deadline,
                "InvalidParameterException",
            )
        destination = self._destination(state)
        until(lambda: self._found(ec2, table, destination) is None, deadline, f"route ({id}) to be gone")

    def known_from_import(self, id: str) -> Props:
        table, _, destination = id.partition("_")
        if destination.startswith("pl-"):
            return {"routeTableId": table, "destinationPrefixListId": destination}
        kind = "destinationIpv6CidrBlock" if ":" in destination else "destinationCidrBlock"
        return {"routeTableId": table, kind: destination}

    def _destination(self, props: Props) -> str:
        return next((str(props[key]) for key in DESTINATIONS if props.get(key)), "")

    def _found(self, ec2: Any, table: str, destination: str) -> Any:
        routes = (_table(ec2, table) or {}).get("Routes", [])
        return next((r for r in routes if destination in [r.get(name) for name in DESTINATIONS.values()]), None)


class RouteTableAssociation(Resource):
    type = ResourceType(
        token="aws:ec2/routeTableAssociation:RouteTableAssociation",
        inputs={
            "routeTableId": text(required=True),
            "subnetId": text(force_new=True),
            "gatewayId": text(force_new=True),
        },
        exactly_one_of=(("subnetId", "gatewayId"),),
        timeouts=TIMEOUTS,
    )

    def create(self, aws: Aws, inputs: Props, deadline: Deadline) -> str:
        ec2 = self.client(aws, inputs)
        sent = _aws_names(inputs, {"subnetId": "SubnetId", "gatewayId": "GatewayId"})
        made = retrying(lambda: ec2.associate_route_table(RouteTableId=inputs["routeTableId"], **sent), deadline, GONE)
        return str(made["AssociationId"])

    def read(self, aws: Aws, id: str, known: Props) -> Props | None:
        found = self._found(self.client(aws, known), id, known)
        if found is None:
            return None
        return {
            "routeTableId": found["RouteTableId"],
            "subnetId": found.get("SubnetId", ""),
            "gatewayId": found.get("GatewayId", ""),
        }

    def update(self, aws: Aws, id: str, old: Props, new: Props, changed: frozenset[str], deadline: Deadline) -> None:
        # AWS gives a new association id, which Pulumi can't record: later look-ups go by subnet (_found).
        ec2 = self.client(aws, new)
        found = self._found(ec2, id, old) or {"RouteTableAssociationId": id}
        ec2.replace_route_table_association(
            AssociationId=found["RouteTableAssociationId"], RouteTableId=new["routeTableId"]
        )

    def delete(self, aws: Aws, id: str, state: Props, deadline: Deadline) -> None:
        ec2 = self.client(aws, state)
        found = self._found(ec2, id, state)
        if found is None:
            return
        with tolerating("InvalidAssociationID.NotFound"):
            ec2.disassociate_route_table(AssociationId=found["RouteTableAssociationId"])
        until(lambda: self._found(ec2, id, state) is None, deadline, f"association ({id}) to be gone")

    def known_from_import(self, id: str) -> Props:
        end, _, table = id.partition("/")
        return {"routeTableId": table, ("subnetId" if end.startswith("subnet-") else "gatewayId"): end}

    def _found(self, ec2: Any, id: str, known: Props) -> Any:
        for table in ec2.get_paginator("describe_route_tables").paginate().search("RouteTables[]"):
            for association in table.get("Associations", []):
                if association.get("Main"):
                    continue
                by_end = any(
                    known.get(key) and association.get(name) == known[key]
                    for key, name in (("subnetId", "SubnetId"), ("gatewayId", "GatewayId"))
                )
                if association["RouteTableAssociationId"] == id or by_end:
                    return {**association, "RouteTableId": table["RouteTableId"]}
        return None
