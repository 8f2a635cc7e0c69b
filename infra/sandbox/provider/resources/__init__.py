"""The resource types, by token."""

from __future__ import annotations

from infra.sandbox.provider.resources.addresses import Eip, EipAssociation
from infra.sandbox.provider.resources.alarms import MetricAlarm
from infra.sandbox.provider.resources.base import Resource
from infra.sandbox.provider.resources.capacity import CapacityReservation, PlacementGroup
from infra.sandbox.provider.resources.endpoints import VpcEndpoint
from infra.sandbox.provider.resources.groups import EgressRule, IngressRule, SecurityGroup
from infra.sandbox.provider.resources.identity import Role, RolePolicy, RolePolicyAttachment
from infra.sandbox.provider.resources.instance import Instance
from infra.sandbox.provider.resources.instance_profile import InstanceProfile
from infra.sandbox.provider.resources.keys import KeyPair
from infra.sandbox.provider.resources.lustre import LustreFileSystem
from infra.sandbox.provider.resources.nat import NatGateway
from infra.sandbox.provider.resources.network import InternetGateway, Subnet, Vpc
from infra.sandbox.provider.resources.routes import Route, RouteTable, RouteTableAssociation
from infra.sandbox.provider.resources.schedule import Schedule
from infra.sandbox.provider.resources.storage import FileSystem, MountTarget
from infra.sandbox.provider.resources.storage_access import AccessPoint, FileSystemPolicy
from infra.sandbox.provider.resources.template import LaunchTemplate

RESOURCES: dict[str, Resource] = {
    resource.type.token: resource
    for resource in (
        Vpc(),
        Subnet(),
        InternetGateway(),
        RouteTable(),
        Route(),
        RouteTableAssociation(),
        SecurityGroup(),
        IngressRule(),
        EgressRule(),
        KeyPair(),
        PlacementGroup(),
        CapacityReservation(),
        LaunchTemplate(),
        Instance(),
        Eip(),
        EipAssociation(),
        NatGateway(),
        VpcEndpoint(),
        FileSystem(),
        MountTarget(),
        AccessPoint(),
        FileSystemPolicy(),
        LustreFileSystem(),
        Role(),
        RolePolicy(),
        RolePolicyAttachment(),
        InstanceProfile(),
        Schedule(),
        MetricAlarm(),
    )
}


class UnknownType(KeyError):
    """A type that the published provider may have and this one lacks."""


def resource(token: str) -> Resource:
    try:
        return RESOURCES[token]
    except KeyError:
        has = ", ".join(sorted(known.rpartition(":")[2] for known in RESOURCES))
        raise UnknownType(f"the embedded cloud's provider has no resource type {token}; it has {has}") from None
