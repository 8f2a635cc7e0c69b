"""Placement groups, and where machines stand in the network: DescribeInstanceTopology. moto has neither."""

from __future__ import annotations

import zlib
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.instances import Instance
from moto.ec2.responses import EC2Response
from moto.moto_api._internal import mock_random

from infra.sandbox.patches.hook import replace
from infra.sandbox.patches.kept import filtered, store, tag, tagged

# The families that AWS tells the topology of; others are left out of the answer.
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-topology-prerequisites.html
TOLD = ("p", "trn", "hpc", "g6", "g7", "gr6")
# Bottom nodes under one in the middle.
SPREAD = 4


def install() -> None:
    for action in (
        create_placement_group,
        describe_placement_groups,
        delete_placement_group,
        describe_instance_topology,
    ):
        replace(EC2Response, action.__name__, action)


def check(backend: Any, params: dict[str, Any]) -> None:
    """Refuses a launch into a group that does not exist."""
    group = (params.get("Placement") or {}).get("GroupName")
    if group and group not in store(backend, "groups"):
        raise _unknown_group(group)


def create_placement_group(self: EC2Response) -> ActionResult:
    name, groups = self._get_param("GroupName"), store(self.ec2_backend, "groups")
    self.error_on_dryrun()
    if name in groups:
        raise EC2ClientError("InvalidPlacementGroup.Duplicate", f"The placement group '{name}' already exists.")
    group_id = f"pg-{mock_random.get_random_hex(17)}"
    groups[name] = {
        "GroupName": name,
        "GroupId": group_id,
        "State": "available",
        "Strategy": self._get_param("Strategy") or "cluster",
        "PartitionCount": self._get_param("PartitionCount"),
        "SpreadLevel": self._get_param("SpreadLevel"),
        "GroupArn": f"arn:aws:ec2:{self.region}:{self.current_account}:placement-group/{name}",
    }
    tag(self, group_id, "placement-group")
    return ActionResult({"PlacementGroup": tagged(self, groups[name], group_id)})


def describe_placement_groups(self: EC2Response) -> ActionResult:
    groups = store(self.ec2_backend, "groups")
    names, ids = self._get_param("GroupNames") or [], self._get_param("GroupIds") or []
    for name in names:
        if name not in groups:
            raise _unknown_group(name)
    shown = [
        tagged(self, group, group["GroupId"])
        for group in groups.values()
        if (not names or group["GroupName"] in names) and (not ids or group["GroupId"] in ids)
    ]
    return ActionResult({"PlacementGroups": filtered(self, shown)})


def delete_placement_group(self: EC2Response) -> ActionResult:
    name, groups = self._get_param("GroupName"), store(self.ec2_backend, "groups")
    if name not in groups:
        raise _unknown_group(name)
    if any(i.placement.group_name == name and i.state != "terminated" for i in self.ec2_backend.all_instances()):
        message = f"The placement group '{name}' is in use and may not be deleted."
        raise EC2ClientError("InvalidPlacementGroup.InUse", message)
    del groups[name]
    return ActionResult({})


def _unknown_group(name: str) -> EC2ClientError:
    return EC2ClientError("InvalidPlacementGroup.Unknown", f"The Placement Group '{name}' is unknown.")


def describe_instance_topology(self: EC2Response) -> ActionResult:
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstanceTopology.html"""
    ids, groups = self._get_param("InstanceIds") or [], self._get_param("GroupNames") or []
    found = [self.ec2_backend.get_instance(each) for each in ids] or self.ec2_backend.all_instances()
    shown = [
        _topology(instance) | {"Tags": []}
        for instance in found
        if instance.state in ("pending", "running")
        and instance.instance_type.startswith(TOLD)
        and (not groups or instance.placement.group_name in groups)
    ]
    return ActionResult({"Instances": filtered(self, shown)})


def _topology(instance: Instance) -> dict[str, Any]:
    """Three network nodes, the nearest to the machine last; a cluster group stays under one in the middle. Who shares
    the last goes by the id, as on AWS: not by the order of launch."""
    zone, group = str(instance.availability_zone), instance.placement.group_name or ""
    bottom = zlib.crc32(instance.id.encode()) % SPREAD
    middle = group or instance.id
    nodes = [_node(zone), _node(f"{zone} {middle}"), _node(f"{zone} {middle} {bottom}")]
    shown = {
        "InstanceId": instance.id,
        "InstanceType": instance.instance_type,
        "GroupName": group or None,
        "NetworkNodes": nodes,
        "AvailabilityZone": zone,
    }
    return {key: value for key, value in shown.items() if value is not None}


def _node(what: str) -> str:
    return f"nn-{zlib.crc32(what.encode()):08x}{zlib.adler32(what.encode()):08x}0"
