from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from infra import sweep
from infra.cloud import Cloud
from infra.kinds import Thing
from infra.sandbox.ageing import age
from infra.sandbox.faults import Faults

from .served import served

OWN = [{"Key": "swift-fleet:stack", "Value": "old"}, {"Key": "swift-fleet:region", "Value": "us-east-1"}]
#: What AWS tells no age of (EC2 and EFS API references).
AGELESS = {"VPC", "subnet", "security group", "route table", "internet gateway", "elastic address", "placement group"}
AGELESS |= {"mount target", "access point"}


def specified(kind: str) -> dict[str, Any]:
    return {"TagSpecifications": [{"ResourceType": kind, "Tags": OWN}]}


def made(cloud: Cloud) -> None:
    """One of each kind that a stack may have and whose age AWS tells, but for capacity (test_rehearsal.py)."""
    ec2, iam = cloud.client("ec2"), cloud.client("iam")
    vpc = ec2.create_vpc(CidrBlock="127.92.0.0/16", **specified("vpc"))["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="127.92.1.0/24", AvailabilityZone="us-east-1a")["Subnet"]
    where = subnet["SubnetId"]
    group = ec2.create_security_group(VpcId=vpc, GroupName="nodes", Description="nodes")["GroupId"]
    every = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[every])
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    size = {"ImageId": image, "InstanceType": "m7i.xlarge", "SubnetId": where}
    ec2.run_instances(**size, MinCount=1, MaxCount=1, **specified("instance"))
    ec2.create_volume(AvailabilityZone="us-east-1a", Size=1, **specified("volume"))
    ec2.create_key_pair(KeyName="old", **specified("key-pair"))
    content = {"LaunchTemplateName": "old", "LaunchTemplateData": {}}
    ec2.create_launch_template(**content, **specified("launch-template"))
    ec2.create_nat_gateway(SubnetId=where, ConnectivityType="private", **specified("natgateway"))
    ec2.create_vpc_endpoint(VpcId=vpc, ServiceName="com.amazonaws.us-east-1.s3", **specified("vpc-endpoint"))
    cloud.client("efs").create_file_system(CreationToken="old", Tags=OWN)
    files = {
        "FileSystemType": "LUSTRE",
        "StorageCapacity": 1200,
        "LustreConfiguration": {"DeploymentType": "SCRATCH_2"},
    }
    cloud.client("fsx").create_file_system(SubnetIds=[where], SecurityGroupIds=[group], Tags=OWN, **files)
    role = iam.create_role(RoleName="fleet-old-role", AssumeRolePolicyDocument="{}", Tags=OWN)["Role"]
    iam.create_instance_profile(InstanceProfileName="fleet-old-profile", Tags=OWN)
    cloud.client("cloudwatch").put_metric_alarm(
        AlarmName="swift-fleet-old-node-000-idle", EvaluationPeriods=1, ComparisonOperator="LessThanThreshold"
    )
    cloud.client("scheduler").create_schedule(
        Name="swift-fleet-old-node-000-end",
        ScheduleExpression="at(2036-01-01T00:00:00)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": "arn:aws:scheduler:::aws-sdk:ec2:terminateInstances", "RoleArn": role["Arn"]},
    )


def test_what_is_there_grows_older_with_the_clock_and_each_kind_tells_it_as_aws_does(tmp_path: Path) -> None:
    with served(tmp_path, Faults()) as cloud:
        made(cloud)
        before = found(cloud)
        age(timedelta(hours=3))
        after = found(cloud)
    assert set(before) == set(after)
    dated = {one.kind for one in before.values() if one.made}
    assert len(dated) == 12, dated
    assert {one.kind for one in before.values()} - dated <= AGELESS
    for key, thing in before.items():
        if thing.made:
            later = after[key].made
            assert later and timedelta(hours=3) == thing.made - later, thing.kind


def found(cloud: Cloud) -> dict[tuple[str, str], Thing]:
    return {(one.kind, one.id): one for kind in sweep.KINDS for one in kind.find(cloud, None)}
