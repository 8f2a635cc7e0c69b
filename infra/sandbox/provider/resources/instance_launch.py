"""An instance's inputs as the RunInstances request that the published provider sends."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Mapping
from typing import Any

from infra.sandbox.provider import tags
from infra.sandbox.provider.values import Props

METADATA = {
    "httpEndpoint": "HttpEndpoint",
    "httpProtocolIpv6": "HttpProtocolIpv6",
    "httpPutResponseHopLimit": "HttpPutResponseHopLimit",
    "httpTokens": "HttpTokens",
    "instanceMetadataTags": "InstanceMetadataTags",
}
EBS = {
    "volumeSize": "VolumeSize",
    "volumeType": "VolumeType",
    "iops": "Iops",
    "throughput": "Throughput",
    "deleteOnTermination": "DeleteOnTermination",
    "kmsKeyId": "KmsKeyId",
    "snapshotId": "SnapshotId",
}


def request(inputs: Props, root_device: str, default_tags: Mapping[str, str]) -> dict[str, Any]:
    """RunInstances for one machine. `root_device`: the image's, needed where rootBlockDevice is set."""
    volume_tags = {**default_tags, **inputs.get("volumeTags", {})}
    made: dict[str, Any] = {
        "MinCount": 1,
        "MaxCount": 1,
        "ClientToken": str(uuid.uuid4()),
        "EbsOptimized": bool(inputs.get("ebsOptimized")),
        "DisableApiTermination": bool(inputs.get("disableApiTermination")),
        "Monitoring": {"Enabled": bool(inputs.get("monitoring"))},
        # The provider's defaultTags reach the instance and its volumes; interfaces and spot requests get none.
        "TagSpecifications": [
            *tags.specification("instance", inputs["tagsAll"]),
            *tags.specification("volume", volume_tags),
        ],
        **_network(inputs),
    }
    placement = _placement(inputs)
    optional: dict[str, Any] = {
        "ImageId": inputs.get("ami"),
        "InstanceType": inputs.get("instanceType"),
        "LaunchTemplate": template(inputs.get("launchTemplate")),
        "KeyName": inputs.get("keyName"),
        "IamInstanceProfile": {"Name": inputs["iamInstanceProfile"]} if inputs.get("iamInstanceProfile") else None,
        "UserData": user_data(inputs),
        "InstanceInitiatedShutdownBehavior": inputs.get("instanceInitiatedShutdownBehavior"),
        "DisableApiStop": inputs.get("disableApiStop") or None,
        "Placement": placement or None,
        "MetadataOptions": metadata(inputs.get("metadataOptions")),
        "BlockDeviceMappings": _devices(inputs, root_device),
        "InstanceMarketOptions": _market(inputs.get("instanceMarketOptions")),
        "CapacityReservationSpecification": reservation(inputs.get("capacityReservationSpecification")),
    }
    return made | {key: value for key, value in optional.items() if value}


def template(said: Props | None) -> dict[str, Any] | None:
    if not said:
        return None
    named = {"LaunchTemplateId": said["id"]} if said.get("id") else {"LaunchTemplateName": said["name"]}
    return {**named, "Version": said.get("version") or "$Default"}


def user_data(inputs: Props) -> bytes:
    """The content itself: boto3 encodes it."""
    if inputs.get("userDataBase64"):
        return base64.b64decode(inputs["userDataBase64"])
    return str(inputs.get("userData") or "").encode()


def metadata(said: Props | None) -> dict[str, Any] | None:
    """MetadataOptions; with the endpoint off AWS takes nothing else."""
    if not said:
        return None
    if said.get("httpEndpoint") == "disabled":
        return {"HttpEndpoint": "disabled"}
    return {name: said[key] for key, name in METADATA.items() if said.get(key)}


def reservation(said: Props | None) -> dict[str, Any] | None:
    if not said:
        return None
    target = said.get("capacityReservationTarget") or {}
    made = {
        "CapacityReservationId": target.get("capacityReservationId"),
        "CapacityReservationResourceGroupArn": target.get("capacityReservationResourceGroupArn"),
    }
    found = {key: value for key, value in made.items() if value}
    if found:
        return {"CapacityReservationTarget": found}
    return {"CapacityReservationPreference": said["capacityReservationPreference"]}


def _network(inputs: Props) -> dict[str, Any]:
    # With a subnet and a word on addresses the request carries an interface; both shapes at once is refused by AWS.
    groups, subnet = inputs.get("vpcSecurityGroupIds"), inputs.get("subnetId")
    public, private = inputs.get("associatePublicIpAddress"), inputs.get("privateIp")
    if subnet and (public is not None or private):
        interface: dict[str, Any] = {"DeviceIndex": 0, "SubnetId": subnet, "DeleteOnTermination": True}
        if public is not None:
            interface["AssociatePublicIpAddress"] = public
        if private:
            interface["PrivateIpAddress"] = private
        if groups or inputs.get("securityGroups"):
            interface["Groups"] = groups or inputs["securityGroups"]
        return {"NetworkInterfaces": [interface]}
    made = {"SubnetId": subnet, "SecurityGroupIds": groups, "PrivateIpAddress": private}
    if inputs.get("securityGroups"):
        made["SecurityGroupIds" if subnet else "SecurityGroups"] = inputs["securityGroups"]
    return {key: value for key, value in made.items() if value}


def _placement(inputs: Props) -> dict[str, Any]:
    names = {
        "availabilityZone": "AvailabilityZone",
        "placementGroup": "GroupName",
        "placementGroupId": "GroupId",
        "placementPartitionNumber": "PartitionNumber",
        "tenancy": "Tenancy",
    }
    return {name: inputs[key] for key, name in names.items() if inputs.get(key)}


def _devices(inputs: Props, root_device: str) -> list[dict[str, Any]]:
    made = []
    if inputs.get("rootBlockDevice"):
        made.append({"DeviceName": root_device, "Ebs": _ebs(inputs["rootBlockDevice"])})
    for disk in inputs.get("ebsBlockDevices") or []:
        made.append({"DeviceName": disk["deviceName"], "Ebs": _ebs(disk)})
    return made


def _ebs(device: Props) -> dict[str, Any]:
    # encrypted false is never sent; speeds are dropped where the type is left out (ec2_instance.go).
    sent = {name: device[key] for key, name in EBS.items() if device.get(key) is not None}
    if not device.get("volumeType"):
        sent = {key: value for key, value in sent.items() if key not in ("Iops", "Throughput")}
    return sent | ({"Encrypted": True} if device.get("encrypted") else {})


def _market(said: Props | None) -> dict[str, Any] | None:
    if not said or not said.get("marketType"):
        return None
    names = {
        "instanceInterruptionBehavior": "InstanceInterruptionBehavior",
        "maxPrice": "MaxPrice",
        "spotInstanceType": "SpotInstanceType",
        "validUntil": "ValidUntil",
    }
    spot = {name: said["spotOptions"][key] for key, name in names.items() if (said.get("spotOptions") or {}).get(key)}
    return {"MarketType": said["marketType"], **({"SpotOptions": spot} if spot else {})}
