"""What a person can let go wrong in the sandbox, and what AWS's clients then see."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from clouds import Cloud, eventually

from infra.errors import BadInput
from infra.sandbox import rehearsal

STACK_TAGS = {"swift-fleet:stack": "x"}
RESERVED = {"InstanceType": "p5.48xlarge", "InstancePlatform": "Linux/UNIX", "AvailabilityZone": "us-east-1a"}


@pytest.fixture(autouse=True)
def _no_faults_left(cloud: Cloud) -> Iterator[None]:
    yield
    rehearsal.clear(cloud.running.port)


def tagged(rank: int) -> dict[str, Any]:
    tags = [{"Key": k, "Value": v} for k, v in (STACK_TAGS | {"swift-fleet:node": str(rank)}).items()]
    return {"TagSpecifications": [{"ResourceType": "instance", "Tags": tags}]}


def refusal(call: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call()
    meta: Any = caught.value.response
    return meta["Error"]["Code"], meta["ResponseMetadata"]["HTTPStatusCode"]


def status_of(cloud: Cloud, instance_id: str) -> str:
    found = cloud.client("ec2").describe_instance_status(InstanceIds=[instance_id])["InstanceStatuses"]
    return str(found[0]["SystemStatus"]["Status"])


def test_a_type_is_missing_in_a_zone_whatever_asks_for_it_until_its_time(cloud: Cloud) -> None:
    ec2, port = cloud.client("ec2"), cloud.running.port
    block = "127.78.2.0/24"
    other = ec2.create_subnet(VpcId=cloud.vpc, CidrBlock=block, AvailabilityZone="us-east-1b")["Subnet"]["SubnetId"]
    held = ec2.create_capacity_reservation(**RESERVED, InstanceCount=1)["CapacityReservation"]
    data = {
        "ImageId": cloud.image,
        "InstanceType": "p5.48xlarge",
        "NetworkInterfaces": [{"DeviceIndex": 0, "SubnetId": cloud.subnet}],
    }
    ec2.create_launch_template(LaunchTemplateName="p5", LaunchTemplateData=data)
    rehearsal.add(port, rehearsal.no_capacity("us-east-1a", "p5.48xlarge"), timedelta(minutes=20))
    short = ("InsufficientInstanceCapacity", 500)
    from_template = {"LaunchTemplate": {"LaunchTemplateName": "p5"}, "MinCount": 1, "MaxCount": 1}
    assert refusal(lambda: cloud.launch(InstanceType="p5.48xlarge")) == short
    assert refusal(lambda: ec2.run_instances(**from_template)) == short
    assert refusal(lambda: ec2.create_capacity_reservation(**RESERVED, InstanceCount=2)) == short
    target = {"CapacityReservationTarget": {"CapacityReservationId": held["CapacityReservationId"]}}
    [inside] = ec2.run_instances(**from_template, CapacityReservationSpecification=target)["Instances"]
    [elsewhere] = cloud.launch(InstanceType="p5.48xlarge", SubnetId=other)
    [small] = cloud.launch()
    assert len(rehearsal.rules(port)) == 1
    rehearsal.advance(port, timedelta(minutes=21))
    assert rehearsal.rules(port) == []
    [late] = cloud.launch(InstanceType="p5.48xlarge")
    ids = [each["InstanceId"] for each in (inside, elsewhere, small, late)]
    ec2.terminate_instances(InstanceIds=ids)
    ec2.cancel_capacity_reservation(CapacityReservationId=held["CapacityReservationId"])


def test_calls_are_throttled_as_each_service_says_it_and_then_pass(cloud: Cloud) -> None:
    port = cloud.running.port
    rehearsal.add(port, rehearsal.throttle("*", 3))
    assert refusal(lambda: cloud.client("ec2").describe_vpcs()) == ("RequestLimitExceeded", 503)
    assert refusal(lambda: cloud.client("ssm").describe_parameters()) == ("ThrottlingException", 400)
    assert refusal(lambda: cloud.client("iam").list_roles())[0] == "Throttling"
    cloud.client("ec2").describe_vpcs()


def test_a_dead_machine_runs_to_aws_fails_its_checks_and_comes_back_by_stop_and_start(cloud: Cloud) -> None:
    ec2, port = cloud.client("ec2"), cloud.running.port
    [node] = cloud.launch(**tagged(0))
    instance, address = node["InstanceId"], node["PrivateIpAddress"]
    with cloud.connect(node) as ssh:
        ssh.run("setsid sleep 1000 </dev/null >/dev/null 2>&1 &", hide=True)
    assert rehearsal.befall(port, "x", 0, "kill") == instance
    assert not cloud.listens(address)
    assert (cloud.state_of(instance), status_of(cloud, instance)) == ("running", "impaired")
    ec2.reboot_instances(InstanceIds=[instance])
    with pytest.raises(BadInput, match="is no spot instance"):
        rehearsal.befall(port, "x", 0, "spot-notice")
    ec2.stop_instances(InstanceIds=[instance])
    eventually(lambda: cloud.state_of(instance) == "stopped")
    ec2.start_instances(InstanceIds=[instance])
    eventually(lambda: cloud.listens(address))
    assert status_of(cloud, instance) == "ok"
    with pytest.raises(BadInput, match="no node of rank 7.*Ranks in the sandbox: 0"):
        rehearsal.befall(port, "x", 7, "kill")
    ec2.terminate_instances(InstanceIds=[instance])
    eventually(lambda: cloud.state_of(instance) == "terminated")


def test_one_machine_never_boots_and_its_neighbour_does(cloud: Cloud) -> None:
    rehearsal.add(cloud.running.port, rehearsal.never_boots(1, 1))
    [first], [second] = cloud.launch(**tagged(0)), cloud.launch(**tagged(1))
    assert cloud.listens(first["PrivateIpAddress"]) and not cloud.listens(second["PrivateIpAddress"])
    assert status_of(cloud, second["InstanceId"]) == "impaired"
    ids = [first["InstanceId"], second["InstanceId"]]
    cloud.client("ec2").terminate_instances(InstanceIds=ids)
    eventually(lambda: all(cloud.state_of(each) == "terminated" for each in ids))


def test_a_lost_disk_takes_the_files_and_leaves_the_door(cloud: Cloud) -> None:
    [node] = cloud.launch(**tagged(0))
    with cloud.connect(node) as ssh:
        ssh.run("mkdir -p a && echo 1 > a/b && echo 2 > $TMPDIR/c", hide=True)
        rehearsal.befall(cloud.running.port, "x", 0, "lose-disk")
        assert ssh.run("ls a $TMPDIR/c", hide=True, warn=True).stdout == ""
    with cloud.connect(node) as again:
        assert again.run("echo in", hide=True).stdout == "in\n"
    cloud.client("ec2").terminate_instances(InstanceIds=[node["InstanceId"]])


def test_a_spot_machine_goes_two_minutes_after_its_notice(cloud: Cloud) -> None:
    port = cloud.running.port
    [node] = cloud.launch(**tagged(3), InstanceMarketOptions={"MarketType": "spot"})
    instance = node["InstanceId"]
    asked = "curl -s -w ' %{http_code}' -H \"X-aws-ec2-metadata-token: $TOKEN\" $IMDS/meta-data/spot/instance-action"
    with cloud.connect(node) as ssh:
        session = (
            "IMDS=${AWS_EC2_METADATA_SERVICE_ENDPOINT}latest; "
            "TOKEN=$(curl -s -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' $IMDS/api/token); "
        )
        assert ssh.run(session + asked, hide=True).stdout == "Not Found 404"
        rehearsal.befall(port, "x", 3, "spot-notice")
        text, _, code = ssh.run(session + asked, hide=True).stdout.rpartition(" ")
        assert (json.loads(text)["action"], code) == ("terminate", "200")
        assert ssh.run("TOKEN=stale; " + session.split("TOKEN")[0] + asked, hide=True).stdout == "Unauthorized 401"
    rehearsal.advance(port, timedelta(seconds=60))
    assert cloud.state_of(instance) == "running"
    rehearsal.advance(port, timedelta(seconds=61))
    eventually(lambda: cloud.state_of(instance) == "terminated")
    found = cloud.client("ec2").describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
    assert found["StateReason"]["Code"] == "Server.SpotInstanceTermination"


def test_a_quota_is_told_and_kept_for_machines_and_for_reservations(cloud: Cloud) -> None:
    ec2, quotas, port = cloud.client("ec2"), cloud.client("service-quotas"), cloud.running.port
    rehearsal.set_quota(port, "L-417A185B", 384)
    rehearsal.set_quota(port, "L-C4BD4855", 192)
    told = quotas.get_service_quota(ServiceCode="ec2", QuotaCode="L-417A185B")["Quota"]
    assert (told["Value"], told["QuotaName"]) == (384.0, "Running On-Demand P instances")
    assert len(quotas.list_service_quotas(ServiceCode="ec2")["Quotas"]) > 5
    room = ec2.create_capacity_reservation(**RESERVED, InstanceCount=1)["CapacityReservation"]
    target = {"CapacityReservationTarget": {"CapacityReservationId": room["CapacityReservationId"]}}
    [inside] = cloud.launch(InstanceType="p5.48xlarge", CapacityReservationSpecification=target)
    [beside] = cloud.launch(InstanceType="p5.48xlarge")
    beyond = ("VcpuLimitExceeded", 400)
    assert refusal(lambda: cloud.launch(InstanceType="p5.48xlarge")) == beyond
    assert refusal(lambda: ec2.create_capacity_reservation(**RESERVED, InstanceCount=1)) == beyond
    grown = {"CapacityReservationId": room["CapacityReservationId"], "InstanceCount": 2}
    assert refusal(lambda: ec2.modify_capacity_reservation(**grown)) == beyond
    spot = {"InstanceType": "p5.48xlarge", "InstanceMarketOptions": {"MarketType": "spot"}}
    [cheap] = cloud.launch(**spot)
    assert refusal(lambda: cloud.launch(**spot)) == ("MaxSpotInstanceCountExceeded", 400)
    [small] = cloud.launch()
    ids = [each["InstanceId"] for each in (inside, beside, cheap, small)]
    ec2.terminate_instances(InstanceIds=ids)
    ec2.cancel_capacity_reservation(CapacityReservationId=room["CapacityReservationId"])
    with pytest.raises(BadInput, match="no quota L-0"):
        rehearsal.set_quota(port, "L-0", 1)


def test_a_type_that_a_zone_does_not_have_is_unsupported_there(cloud: Cloud) -> None:
    block = "127.78.3.0/24"
    ec2 = cloud.client("ec2")
    far = ec2.create_subnet(VpcId=cloud.vpc, CidrBlock=block, AvailabilityZone="us-east-1e")["Subnet"]["SubnetId"]
    assert refusal(lambda: cloud.launch(InstanceType="p6-b200.48xlarge", SubnetId=far)) == ("Unsupported", 400)


def test_a_capacity_block_opens_at_its_start_and_ends_its_machines_half_an_hour_before_its_end(cloud: Cloud) -> None:
    ec2, port = cloud.client("ec2"), cloud.running.port
    wanted = {"InstanceType": "p5.48xlarge", "InstanceCount": 2, "CapacityDurationHours": 24}
    [soon, later] = ec2.describe_capacity_block_offerings(**wanted)["CapacityBlockOfferings"]
    assert soon["StartDate"] < later["StartDate"] and float(soon["UpfrontFee"]) > 0
    block = ec2.purchase_capacity_block(
        CapacityBlockOfferingId=soon["CapacityBlockOfferingId"], InstancePlatform="Linux/UNIX"
    )["CapacityReservation"]
    assert (block["State"], block["ReservationType"], block["TotalInstanceCount"]) == ("scheduled", "capacity-block", 2)
    rid = block["CapacityReservationId"]
    zone = block["AvailabilityZone"]
    place = ec2.create_subnet(VpcId=cloud.vpc, CidrBlock="127.78.4.0/24", AvailabilityZone=zone)["Subnet"]["SubnetId"]
    plain = {
        "InstanceType": "p5.48xlarge",
        "SubnetId": place,
        "CapacityReservationSpecification": {"CapacityReservationTarget": {"CapacityReservationId": rid}},
    }
    into = plain | {"InstanceMarketOptions": {"MarketType": "capacity-block"}}
    assert refusal(lambda: cloud.launch(**into)) == ("InsufficientInstanceCapacity", 500)
    # Dates are told by the clock of who asks, which nobody has moved.
    rehearsal.advance(port, block["StartDate"] - datetime.now(UTC))
    assert refusal(lambda: cloud.launch(**plain)) == ("InvalidParameterValue", 400)
    [one, two] = cloud.launch(2, **into)
    assert refusal(lambda: cloud.launch(**into)) == ("ReservationCapacityExceeded", 400)
    shown = ec2.describe_instances(InstanceIds=[one["InstanceId"]])["Reservations"][0]["Instances"][0]
    assert shown["InstanceLifecycle"] == "capacity-block"
    rehearsal.advance(port, timedelta(hours=23, minutes=29))
    assert cloud.state_of(one["InstanceId"]) == "running"
    rehearsal.advance(port, timedelta(minutes=1))
    eventually(lambda: {cloud.state_of(each["InstanceId"]) for each in (one, two)} == {"terminated"})
    assert refusal(lambda: cloud.launch(**into)) == ("InsufficientInstanceCapacity", 500)
    rehearsal.advance(port, timedelta(minutes=30))
    [ended] = ec2.describe_capacity_reservations(CapacityReservationIds=[rid])["CapacityReservations"]
    assert ended["State"] == "expired"


def test_a_reservation_ends_at_its_date_and_what_runs_in_it_goes_on(cloud: Cloud) -> None:
    ec2, port = cloud.client("ec2"), cloud.running.port
    # Whoever asks counts by a clock of their own, which nobody has moved.
    ends = datetime.now(UTC) + timedelta(hours=1)
    room = ec2.create_capacity_reservation(**RESERVED, InstanceCount=1, EndDateType="limited", EndDate=ends)
    rid = room["CapacityReservation"]["CapacityReservationId"]
    target = {"CapacityReservationTarget": {"CapacityReservationId": rid}}
    [inside] = cloud.launch(InstanceType="p5.48xlarge", CapacityReservationSpecification=target)

    def state() -> str:
        found = ec2.describe_capacity_reservations(CapacityReservationIds=[rid])["CapacityReservations"]
        return str(found[0]["State"])

    rehearsal.advance(port, timedelta(minutes=59))
    assert state() == "active"
    rehearsal.advance(port, timedelta(minutes=2))
    assert (state(), cloud.state_of(inside["InstanceId"])) == ("expired", "running")
    ec2.terminate_instances(InstanceIds=[inside["InstanceId"]])


def test_the_topology_tells_who_stands_near_whom(cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    ec2.create_placement_group(GroupName="gang", Strategy="cluster")
    gang = cloud.launch(3, InstanceType="p5.48xlarge", Placement={"GroupName": "gang"})
    [small] = cloud.launch()
    ids = [each["InstanceId"] for each in gang]
    told = ec2.describe_instance_topology(InstanceIds=[*ids, small["InstanceId"]])["Instances"]
    assert {each["InstanceId"] for each in told} == set(ids)
    assert all(len(each["NetworkNodes"]) == 3 for each in told)
    assert len({tuple(each["NetworkNodes"][:2]) for each in told}) == 1
    assert told == ec2.describe_instance_topology(GroupNames=["gang"])["Instances"]
    ec2.terminate_instances(InstanceIds=[*ids, small["InstanceId"]])
