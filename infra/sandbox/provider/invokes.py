"""The provider's functions: look-ups that a program makes before and between resources."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from typing import Any

from infra.sandbox.provider import invokes_network, policy, tags
from infra.sandbox.provider.session import Aws
from infra.sandbox.provider.values import Props, secret

Invoke = Callable[[Aws, Props], Props]


class UnknownFunction(KeyError):
    """A function that the published provider may have and this one lacks."""


def invoke(token: str, aws: Aws, args: Props) -> Props:
    """The function's results. Raises UnknownFunction, ValueError, or boto3's errors."""
    try:
        function = FUNCTIONS[token]
    except KeyError:
        has = ", ".join(sorted(known.rpartition(":")[2] for known in FUNCTIONS))
        raise UnknownFunction(f"the embedded cloud's provider has no function {token}; it has {has}") from None
    return function(aws, args)


def _caller_identity(aws: Aws, args: Props) -> Props:
    found = aws.client("sts").get_caller_identity()
    return {"accountId": found["Account"], "arn": found["Arn"], "id": found["Account"], "userId": found["UserId"]}


def _region(aws: Aws, args: Props) -> Props:
    region = args.get("region") or aws.region
    endpoint = f"ec2.{region}.{aws.dns_suffix}"
    return {"region": region, "name": region, "id": region, "endpoint": endpoint, "description": region}


def _partition(aws: Aws, args: Props) -> Props:
    suffix = aws.dns_suffix
    reverse = ".".join(reversed(suffix.split(".")))
    return {"partition": aws.partition, "id": aws.partition, "dnsSuffix": suffix, "reverseDnsPrefix": reverse}


def _default_tags(aws: Aws, args: Props) -> Props:
    return {"id": aws.partition, "tags": dict(aws.settings.default_tags)}


def _availability_zones(aws: Aws, args: Props) -> Props:
    ec2 = aws.client("ec2", args.get("region", ""))
    found = ec2.describe_availability_zones(
        AllAvailabilityZones=bool(args.get("allAvailabilityZones")), Filters=_filters(args)
    )["AvailabilityZones"]
    without_names, without_ids = args.get("excludeNames", []), args.get("excludeZoneIds", [])
    zones = sorted(
        (
            zone
            for zone in found
            if zone["ZoneName"] not in without_names
            and zone.get("ZoneId") not in without_ids
            and args.get("state") in (None, zone["State"])
        ),
        key=lambda zone: zone["ZoneName"],
    )
    return {
        "id": args.get("region") or aws.region,
        "names": [zone["ZoneName"] for zone in zones],
        "zoneIds": [zone.get("ZoneId", "") for zone in zones],
        "groupNames": sorted({zone.get("GroupName") or zone["RegionName"] for zone in zones}),
        **{key: args[key] for key in ("state", "allAvailabilityZones", "filters") if key in args},
    }


def _parameter(aws: Aws, args: Props) -> Props:
    decrypt = args.get("withDecryption", True)
    ssm = aws.client("ssm", args.get("region", ""))
    found = ssm.get_parameter(Name=args["name"], WithDecryption=decrypt)["Parameter"]
    return {
        "id": found["Name"],
        "name": found["Name"],
        "arn": found["ARN"],
        "type": found["Type"],
        "version": found["Version"],
        "withDecryption": decrypt,
        "value": secret(found["Value"]),
        "insecureValue": "" if found["Type"] == "SecureString" else found["Value"],
        "region": args.get("region") or aws.region,
    }


def _policy_document(aws: Aws, args: Props) -> Props:
    indented, minified = policy.written(args)
    return {**args, "id": str(zlib.crc32(minified.encode())), "json": indented, "minifiedJson": minified}


def _ami(aws: Aws, args: Props) -> Props:
    wanted: Props = {"Filters": _filters(args), "IncludeDeprecated": bool(args.get("includeDeprecated"))}
    if args.get("owners"):
        wanted["Owners"] = args["owners"]
    elif args.get("mostRecent") and not args.get("allowUnsafeFilter") and not _names_owner_or_image(args):
        raise ValueError("mostRecent needs owners, or a filter on image-id or owner-id, or allowUnsafeFilter")
    images = aws.client("ec2", args.get("region", "")).describe_images(**wanted)["Images"]
    if args.get("nameRegex"):
        images = [image for image in images if re.search(args["nameRegex"], image.get("Name", ""))]
    if not images:
        raise ValueError("Your query returned no results. Please change your search criteria and try again.")
    if len(images) > 1 and not args.get("mostRecent"):
        raise ValueError(
            "Your query returned more than one result. Please try a more specific search criteria, "
            "or set mostRecent to true."
        )
    image = max(images, key=lambda each: str(each.get("CreationDate", "")))
    return {
        "id": image["ImageId"],
        "imageId": image["ImageId"],
        "arn": f"arn:{aws.partition}:ec2:{aws.region}::image/{image['ImageId']}",
        **{key: image.get(name, "") for key, name in _IMAGE.items()},
        "blockDeviceMappings": [],
        "tags": tags.from_aws(image.get("Tags")),
        **{key: args[key] for key in ("owners", "mostRecent", "nameRegex", "filters") if key in args},
    }


_IMAGE = {
    "architecture": "Architecture",
    "creationDate": "CreationDate",
    "description": "Description",
    "imageLocation": "ImageLocation",
    "imageType": "ImageType",
    "name": "Name",
    "ownerId": "OwnerId",
    "platformDetails": "PlatformDetails",
    "rootDeviceName": "RootDeviceName",
    "rootDeviceType": "RootDeviceType",
    "state": "State",
    "virtualizationType": "VirtualizationType",
}


def _names_owner_or_image(args: Props) -> bool:
    return any(each["name"] in ("image-id", "owner-id") for each in args.get("filters", []))


def _instance_type(aws: Aws, args: Props) -> Props:
    kind = args["instanceType"]
    ec2 = aws.client("ec2", args.get("region", ""))
    found = ec2.describe_instance_types(InstanceTypes=[kind])["InstanceTypes"][0]
    gpus, network, processor = found.get("GpuInfo", {}), found.get("NetworkInfo", {}), found.get("ProcessorInfo", {})
    disks = found.get("InstanceStorageInfo", {})
    return {
        "id": kind,
        "instanceType": kind,
        "supportedArchitectures": processor.get("SupportedArchitectures", []),
        "defaultVcpus": found["VCpuInfo"]["DefaultVCpus"],
        "defaultCores": found["VCpuInfo"].get("DefaultCores", 0),
        "memorySize": found["MemoryInfo"]["SizeInMiB"],
        "gpuses": [_gpu(gpu) for gpu in gpus.get("Gpus", [])],
        "totalGpuMemory": gpus.get("TotalGpuMemoryInMiB", 0),
        "efaSupported": bool(network.get("EfaSupported")),
        "efaMaximumInterfaces": network.get("EfaInfo", {}).get("MaximumEfaInterfaces", 0),
        "maximumNetworkCards": network.get("MaximumNetworkCards", 1),
        "maximumNetworkInterfaces": network.get("MaximumNetworkInterfaces", 0),
        "defaultNetworkCardIndex": network.get("DefaultNetworkCardIndex", 0),
        "networkPerformance": network.get("NetworkPerformance", ""),
        "networkCards": [
            {
                "index": card["NetworkCardIndex"],
                "maximumInterfaces": card.get("MaximumNetworkInterfaces", 0),
                "performance": card.get("NetworkPerformance", ""),
            }
            for card in network.get("NetworkCards", [])
        ],
        "instanceStorageSupported": bool(found.get("InstanceStorageSupported")),
        "totalInstanceStorage": disks.get("TotalSizeInGB", 0),
        "instanceDisks": [
            {"count": disk["Count"], "size": disk["SizeInGB"], "type": disk["Type"]} for disk in disks.get("Disks", [])
        ],
        "supportedPlacementStrategies": found.get("PlacementGroupInfo", {}).get("SupportedStrategies", []),
        "supportedUsagesClasses": found.get("SupportedUsageClasses", []),
        "bareMetal": bool(found.get("BareMetal")),
        "burstablePerformanceSupported": bool(found.get("BurstablePerformanceSupported")),
        "hypervisor": found.get("Hypervisor", ""),
    }


def _gpu(found: Any) -> Props:
    return {
        "count": found["Count"],
        "manufacturer": found.get("Manufacturer", ""),
        "memorySize": found.get("MemoryInfo", {}).get("SizeInMiB", 0),
        "name": found["Name"],
    }


def _instance_type_offerings(aws: Aws, args: Props) -> Props:
    ec2 = aws.client("ec2", args.get("region", ""))
    wanted = {"LocationType": args["locationType"]} if "locationType" in args else {}
    pages = ec2.get_paginator("describe_instance_type_offerings").paginate(Filters=_filters(args), **wanted)
    found = [one for page in pages for one in page["InstanceTypeOfferings"]]
    return {
        **{key: args[key] for key in ("locationType", "filters") if key in args},
        "id": args.get("region") or aws.region,
        "region": args.get("region") or aws.region,
        "instanceTypes": [one["InstanceType"] for one in found],
        "locations": [one["Location"] for one in found],
        "locationTypes": [one["LocationType"] for one in found],
    }


def _filters(args: Props) -> list[dict[str, Any]]:
    return [{"Name": each["name"], "Values": each["values"]} for each in args.get("filters", [])]


FUNCTIONS: dict[str, Invoke] = {
    "aws:index/getCallerIdentity:getCallerIdentity": _caller_identity,
    "aws:index/getRegion:getRegion": _region,
    "aws:index/getPartition:getPartition": _partition,
    "aws:index/getDefaultTags:getDefaultTags": _default_tags,
    "aws:index/getAvailabilityZones:getAvailabilityZones": _availability_zones,
    "aws:ssm/getParameter:getParameter": _parameter,
    "aws:iam/getPolicyDocument:getPolicyDocument": _policy_document,
    "aws:ec2/getAmi:getAmi": _ami,
    "aws:ec2/getInstanceType:getInstanceType": _instance_type,
    "aws:ec2/getInstanceTypeOfferings:getInstanceTypeOfferings": _instance_type_offerings,
    "aws:ec2/getVpc:getVpc": invokes_network.vpc,
    "aws:ec2/getSubnet:getSubnet": invokes_network.subnet,
    "aws:ec2/getSubnets:getSubnets": invokes_network.subnets,
    "aws:ec2/getSecurityGroup:getSecurityGroup": invokes_network.security_group,
}
