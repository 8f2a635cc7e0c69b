"""What AWS tells of an instance, in the program's names."""

from __future__ import annotations

import base64
from typing import Any

from infra.sandbox.provider import tags
from infra.sandbox.provider.resources import instance_template as templates
from infra.sandbox.provider.resources.instance_launch import METADATA
from infra.sandbox.provider.session import Aws
from infra.sandbox.provider.values import Props
from infra.sandbox.provider.waits import or_none


def state(aws: Aws, ec2: Any, found: Any, known: Props) -> Props:
    """The whole state. `known` decides between forms that AWS does not tell apart: text or base64 user data."""
    id = found["InstanceId"]
    interfaces = found.get("NetworkInterfaces") or []
    primary: Any = next((each for each in interfaces if _is_primary(each.get("Attachment", {}))), {})
    groups = [each["GroupId"] for each in primary.get("Groups") or found.get("SecurityGroups", [])]
    placement = found.get("Placement", {})
    profile = (found.get("IamInstanceProfile") or {}).get("Arn", "")
    return {
        "arn": aws.arn("ec2", f"instance/{id}", known.get("region", "")),
        "ami": found["ImageId"],
        "instanceType": found["InstanceType"],
        "instanceState": found["State"]["Name"],
        "subnetId": found.get("SubnetId", ""),
        "availabilityZone": placement.get("AvailabilityZone", ""),
        "tenancy": placement.get("Tenancy", "default"),
        "placementGroup": placement.get("GroupName", ""),
        "placementGroupId": placement.get("GroupId", ""),
        "placementPartitionNumber": placement.get("PartitionNumber", 0),
        "vpcSecurityGroupIds": sorted(groups),
        "securityGroups": known.get("securityGroups") or [],
        "primaryNetworkInterfaceId": primary.get("NetworkInterfaceId", ""),
        # Read as whether the primary interface has an address associated (ec2_instance.go).
        "associatePublicIpAddress": bool(found.get("PublicIpAddress")),
        "privateIp": found.get("PrivateIpAddress", ""),
        "privateDns": found.get("PrivateDnsName", ""),
        "publicIp": found.get("PublicIpAddress", ""),
        "publicDns": found.get("PublicDnsName", ""),
        "sourceDestCheck": found.get("SourceDestCheck", True),
        "keyName": found.get("KeyName", ""),
        "iamInstanceProfile": profile.rpartition("/")[2],
        "ebsOptimized": bool(found.get("EbsOptimized")),
        "monitoring": found.get("Monitoring", {}).get("State") in ("enabled", "pending"),
        "instanceLifecycle": found.get("InstanceLifecycle", ""),
        "spotInstanceRequestId": found.get("SpotInstanceRequestId", ""),
        "outpostArn": "",
        "passwordData": "",
        "metadataOptions": _metadata(found),
        "capacityReservationSpecification": _reservation(found),
        "instanceMarketOptions": _market(found, known),
        "launchTemplate": templates.read(ec2, found, known.get("launchTemplate")),
        **_attributes(ec2, id),
        **_user_data(ec2, id, known),
        **_volumes(aws, ec2, found, known),
        "tagsAll": tags.from_aws(found.get("Tags")),
    }


def _is_primary(attached: Any) -> bool:
    # On types with several cards each card may have a device 0.
    return attached.get("DeviceIndex", 0) == 0 and attached.get("NetworkCardIndex", 0) == 0


def _attributes(ec2: Any, id: str) -> Props:
    def asked(name: str) -> Any:
        answer = ec2.describe_instance_attribute(InstanceId=id, Attribute=name)
        return answer.get(name[0].upper() + name[1:], {}).get("Value")

    return {
        "instanceInitiatedShutdownBehavior": asked("instanceInitiatedShutdownBehavior") or "stop",
        "disableApiTermination": bool(asked("disableApiTermination")),
    }


def _user_data(ec2: Any, id: str, known: Props) -> Props:
    answer = ec2.describe_instance_attribute(InstanceId=id, Attribute="userData")
    encoded = (answer.get("UserData") or {}).get("Value") or ""
    if not encoded:
        return {}
    # From a template: the published provider computed both forms up to 5.x, v6's answer could not be read. Under the
    # computed one it is no difference.
    if known.get("userDataBase64") or (known.get("launchTemplate") and not known.get("userData")):
        return {"userDataBase64": encoded}
    try:
        return {"userData": base64.b64decode(encoded).decode()}
    except UnicodeDecodeError:
        return {"userDataBase64": encoded}


def _metadata(found: Any) -> Props:
    said = found.get("MetadataOptions") or {}
    return {key: said[name] for key, name in METADATA.items() if name in said}


def _reservation(found: Any) -> Props | None:
    said = found.get("CapacityReservationSpecification") or {}
    target = said.get("CapacityReservationTarget") or {}
    if target:
        names = {
            "capacityReservationId": "CapacityReservationId",
            "capacityReservationResourceGroupArn": "CapacityReservationResourceGroupArn",
        }
        return {"capacityReservationTarget": {key: target[name] for key, name in names.items() if target.get(name)}}
    preference = said.get("CapacityReservationPreference")
    return {"capacityReservationPreference": preference} if preference else None


def _market(found: Any, known: Props) -> Props | None:
    lifecycle = found.get("InstanceLifecycle")
    if not lifecycle:
        return None
    told = known.get("instanceMarketOptions") or {}
    return {**told, "marketType": "capacity-block" if told.get("marketType") == "capacity-block" else lifecycle}


def _volumes(aws: Aws, ec2: Any, found: Any, known: Props) -> Props:
    mappings = {each["Ebs"]["VolumeId"]: each for each in found.get("BlockDeviceMappings", []) if each.get("Ebs")}
    if not mappings:
        return {}
    # While the machine shuts down its volumes go before it does.
    answer = or_none(lambda: ec2.describe_volumes(VolumeIds=list(mappings)), "InvalidVolume.NotFound")
    volumes = (answer or {}).get("Volumes", [])
    if not volumes:
        return {}
    by_device = {mappings[each["VolumeId"]]["DeviceName"]: each for each in volumes}
    root_name = found.get("RootDeviceName") or next(iter(by_device))
    read: Props = {"ebsBlockDevices": []}
    for device, volume in sorted(by_device.items()):
        keeps = mappings[volume["VolumeId"]]["Ebs"].get("DeleteOnTermination", True)
        told = {"deviceName": device, "deleteOnTermination": keeps, **_volume(volume)}
        if device == root_name:
            read["rootBlockDevice"] = told
        elif volume.get("SnapshotId"):
            read["ebsBlockDevices"].append({**told, "snapshotId": volume["SnapshotId"]})
        else:
            read["ebsBlockDevices"].append(told)
    if known.get("volumeTags") is not None:
        told = tags.from_aws(volumes[0].get("Tags"))
        read["volumeTags"] = tags.split(told, aws.settings.default_tags, known["volumeTags"])["tags"]
    return read


def _volume(volume: Any) -> Props:
    return {
        "volumeId": volume["VolumeId"],
        "volumeSize": volume["Size"],
        "volumeType": volume["VolumeType"],
        "iops": volume.get("Iops", 0),
        "throughput": volume.get("Throughput", 0),
        "encrypted": bool(volume.get("Encrypted")),
        "kmsKeyId": volume.get("KmsKeyId", ""),
    }
