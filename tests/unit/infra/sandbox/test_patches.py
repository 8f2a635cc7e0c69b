"""A contract test for each hook of moto's internals: what a client sees of it, through a real server without hosts."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from infra.access import SESSION_RIGHTS, allowing
from infra.cloud import Cloud
from infra.sandbox.api import Api, serve
from infra.sandbox.faults import Faults
from infra.sandbox.journal import Journal
from infra.sandbox.patches import hook, images, instances, launch, network, storage

IMAGE = images.IMAGES[0].id_in("us-east-1")
EFA = [(0, 0, "efa"), (1, 1, "efa-only"), (2, 1, "efa-only")]  # (card, device, type)


class Aws:
    """boto3 against the patched moto; `settle` plays the hosts' part."""

    def __init__(self, url: str, lock: Any, journal: Path) -> None:
        self._url, self._lock, self._journal = url, lock, journal
        self._clients: dict[str, Any] = {}

    def __getattr__(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = boto3.client(
                service,  # type: ignore[call-overload]
                region_name="us-east-1",
                endpoint_url=self._url,
                aws_access_key_id="x",
                aws_secret_access_key="x",
                config=Config(retries={"total_max_attempts": 1}, proxies={}),
            )
        return self._clients[service]

    def calls(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._journal.read_text().splitlines()]

    def settle(self) -> None:
        with self._lock:
            for instance in instances.every():
                instances.is_running(instance)
                instances.is_stopped(instance)
                if instance.state == "shutting-down":
                    instances.is_terminated(instance)

    def network(self) -> tuple[str, str, str]:
        vpc = self.ec2.create_vpc(CidrBlock="127.90.0.0/16")["Vpc"]["VpcId"]
        subnet = self.ec2.create_subnet(VpcId=vpc, CidrBlock="127.90.1.0/24", AvailabilityZone="us-east-1a")["Subnet"][
            "SubnetId"
        ]
        group = self.ec2.create_security_group(VpcId=vpc, GroupName="g", Description="g")["GroupId"]
        return vpc, subnet, group

    def run(self, count: int = 1, **asked: Any) -> list[dict[str, Any]]:
        request = {"MinCount": count, "MaxCount": count, **asked}
        if "LaunchTemplate" not in asked:
            request = {"ImageId": IMAGE, "InstanceType": "m7i.xlarge", **request}
        return list(self.ec2.run_instances(**request)["Instances"])

    def instance(self, instance_id: str) -> dict[str, Any]:
        return dict(self.ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0])

    def state(self, instance_id: str) -> str:
        return str(self.instance(instance_id)["State"]["Name"])


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    log = tmp_path_factory.mktemp("aws") / "requests.jsonl"
    journal = Journal(log)
    api = Api(journal, Faults(), lambda *_: ("404 x", [], b""), lambda: None)
    server = serve(api, 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Aws(f"http://127.0.0.1:{server.server_port}", api.lock, log)
    server.shutdown()
    server.server_close()
    journal.close()


def refusal(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


def test_every_hook_is_on_something_that_moto_still_has_or_still_lacks() -> None:
    assert len(hook.replaced) == len(set(hook.replaced)) > 20
    for module in (images, instances, launch, network, storage):
        assert module.__doc__


def test_an_instance_is_pending_until_its_host_says_so(aws: Aws) -> None:
    [i] = aws.run()
    assert aws.state(i["InstanceId"]) == "pending"
    aws.settle()
    assert aws.state(i["InstanceId"]) == "running"


def test_stop_start_and_terminate_take_their_time(aws: Aws) -> None:
    [i] = aws.run()
    ids = [i["InstanceId"]]
    aws.settle()
    aws.ec2.stop_instances(InstanceIds=ids)
    assert aws.state(ids[0]) == "stopping"
    with pytest.raises(ClientError) as error:
        aws.ec2.start_instances(InstanceIds=ids)
    assert refusal(error) == "IncorrectInstanceState"
    aws.settle()
    assert aws.state(ids[0]) == "stopped"
    aws.ec2.start_instances(InstanceIds=ids)
    assert aws.state(ids[0]) == "pending"
    aws.settle()
    aws.ec2.terminate_instances(InstanceIds=ids)
    assert aws.state(ids[0]) == "shutting-down"
    aws.settle()
    assert aws.state(ids[0]) == "terminated"
    aws.ec2.terminate_instances(InstanceIds=ids)
    with pytest.raises(ClientError) as error:
        aws.ec2.reboot_instances(InstanceIds=ids)
    assert refusal(error) == "IncorrectInstanceState"


def test_terminate_frees_the_address_the_interface_and_the_volume(aws: Aws) -> None:
    _, subnet, group = aws.network()
    for _ in range(2):
        [i] = aws.run(SubnetId=subnet, SecurityGroupIds=[group], PrivateIpAddress="127.90.1.77")
        with pytest.raises(ClientError) as error:
            aws.ec2.delete_subnet(SubnetId=subnet)
        assert refusal(error) == "DependencyViolation"
        with pytest.raises(ClientError) as error:
            aws.ec2.delete_security_group(GroupId=group)
        assert refusal(error) == "DependencyViolation"
        aws.ec2.terminate_instances(InstanceIds=[i["InstanceId"]])
        aws.settle()
    assert (
        aws.ec2.describe_network_interfaces(Filters=[{"Name": "subnet-id", "Values": [subnet]}])["NetworkInterfaces"]
        == []
    )
    aws.ec2.delete_subnet(SubnetId=subnet)
    aws.ec2.delete_security_group(GroupId=group)


def test_the_console_is_what_the_host_wrote(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    [i] = aws.run()
    assert "Output" not in aws.ec2.get_console_output(InstanceId=i["InstanceId"])
    monkeypatch.setattr(instances, "console", lambda instance_id: f"boot of {instance_id}")
    assert aws.ec2.get_console_output(InstanceId=i["InstanceId"])["Output"] == f"boot of {i['InstanceId']}"


def test_a_launch_template_counts_in_full_and_the_request_wins(aws: Aws) -> None:
    _, subnet, group = aws.network()
    aws.iam.create_instance_profile(InstanceProfileName="p1")
    aws.ec2.create_placement_group(GroupName="pg-lt", Strategy="cluster")
    nics = [
        {"NetworkCardIndex": card, "DeviceIndex": device, "InterfaceType": kind, "SubnetId": subnet, "Groups": [group]}
        for card, device, kind in EFA
    ]
    tags = [{"Key": "a", "Value": "lt"}, {"Key": "b", "Value": "lt"}]
    template = aws.ec2.create_launch_template(
        LaunchTemplateName="lt",
        LaunchTemplateData={
            "ImageId": IMAGE,
            "InstanceType": "p5.48xlarge",
            "UserData": base64.b64encode(b"#!/bin/sh\n").decode(),
            "IamInstanceProfile": {"Name": "p1"},
            "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 2},
            "InstanceInitiatedShutdownBehavior": "terminate",
            "Placement": {"GroupName": "pg-lt"},
            "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 99, "Encrypted": True}}],
            "NetworkInterfaces": nics,
            "TagSpecifications": [{"ResourceType": "instance", "Tags": tags}],
        },
    )["LaunchTemplate"]["LaunchTemplateId"]
    launched = aws.run(
        2,
        LaunchTemplate={"LaunchTemplateId": template},
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "b", "Value": "request"}]}],
    )
    for launched_one in launched:
        i = aws.instance(launched_one["InstanceId"])
        assert i["SubnetId"] == subnet
        assert i["InstanceType"] == "p5.48xlarge"
        assert i["MetadataOptions"]["HttpTokens"] == "required"
        assert i["IamInstanceProfile"]["Arn"].endswith("/p1")
        assert i["Placement"]["GroupName"] == "pg-lt"
        assert [g["GroupId"] for g in i["SecurityGroups"]] == [group]
        assert len(i["BlockDeviceMappings"]) == 1
        cards = {
            (n["Attachment"]["NetworkCardIndex"], n["Attachment"]["DeviceIndex"], n["InterfaceType"])
            for n in i["NetworkInterfaces"]
        }
        assert cards == set(EFA)
        tags = {t["Key"]: t["Value"] for t in i["Tags"] if not t["Key"].startswith("aws:")}
        assert tags == {"a": "lt", "b": "request"}
        behaviour = aws.ec2.describe_instance_attribute(
            InstanceId=i["InstanceId"], Attribute="instanceInitiatedShutdownBehavior"
        )
        assert behaviour["InstanceInitiatedShutdownBehavior"]["Value"] == "terminate"


def test_a_public_address_with_several_interfaces_is_refused(aws: Aws) -> None:
    _, subnet, _ = aws.network()
    nics = [{"DeviceIndex": n, "SubnetId": subnet, "AssociatePublicIpAddress": n == 0} for n in (0, 1)]
    with pytest.raises(ClientError) as error:
        aws.run(NetworkInterfaces=nics)
    assert refusal(error) == "InvalidParameterCombination"


def test_public_addresses_never_leave_this_machine(aws: Aws) -> None:
    _, subnet, _ = aws.network()
    [i] = aws.run(NetworkInterfaces=[{"DeviceIndex": 0, "SubnetId": subnet, "AssociatePublicIpAddress": True}])
    assert aws.instance(i["InstanceId"])["PublicIpAddress"].startswith("127.")
    assert aws.ec2.allocate_address(Domain="vpc")["PublicIp"].startswith("127.")


def test_a_client_token_launches_once(aws: Aws) -> None:
    [one] = aws.run(ClientToken="t1")
    [two] = aws.run(ClientToken="t1")
    assert one["InstanceId"] == two["InstanceId"]
    with pytest.raises(ClientError) as error:
        aws.run(ClientToken="t1", InstanceType="m7i.large")
    assert refusal(error) == "IdempotentParameterMismatch"
    found = aws.ec2.describe_instances(Filters=[{"Name": "client-token", "Values": ["t1"]}])["Reservations"]
    assert [i["InstanceId"] for r in found for i in r["Instances"]] == [one["InstanceId"]]


def test_a_reservation_has_room_for_as_many_as_it_says(aws: Aws) -> None:
    reservation = aws.ec2.create_capacity_reservation(
        InstanceType="m7i.xlarge",
        InstancePlatform="Linux/UNIX",
        AvailabilityZone="us-east-1a",
        InstanceCount=2,
        InstanceMatchCriteria="targeted",
        TagSpecifications=[{"ResourceType": "capacity-reservation", "Tags": [{"Key": "stack", "Value": "x"}]}],
    )["CapacityReservation"]
    rid = reservation["CapacityReservationId"]
    target = {"CapacityReservationTarget": {"CapacityReservationId": rid}}
    aws.run(2, CapacityReservationSpecification=target)
    with pytest.raises(ClientError) as error:
        aws.run(CapacityReservationSpecification=target)
    assert refusal(error) == "ReservationCapacityExceeded"
    by_tag = aws.ec2.describe_capacity_reservations(Filters=[{"Name": "tag:stack", "Values": ["x"]}])
    assert [(r["CapacityReservationId"], r["AvailableInstanceCount"]) for r in by_tag["CapacityReservations"]] == [
        (rid, 0)
    ]
    aws.ec2.modify_capacity_reservation(CapacityReservationId=rid, InstanceCount=3)
    aws.ec2.create_tags(Resources=[rid], Tags=[{"Key": "more", "Value": "y"}])
    aws.ec2.cancel_capacity_reservation(CapacityReservationId=rid)
    [shown] = aws.ec2.describe_capacity_reservations(CapacityReservationIds=[rid])["CapacityReservations"]
    assert (shown["State"], len(shown["Tags"]), shown["TotalInstanceCount"]) == ("cancelled", 2, 3)


def test_a_placement_group_in_use_stays(aws: Aws) -> None:
    aws.ec2.create_placement_group(GroupName="pg", Strategy="cluster")
    with pytest.raises(ClientError) as error:
        aws.ec2.create_placement_group(GroupName="pg", Strategy="cluster")
    assert refusal(error) == "InvalidPlacementGroup.Duplicate"
    with pytest.raises(ClientError) as error:
        aws.run(Placement={"GroupName": "nope"})
    assert refusal(error) == "InvalidPlacementGroup.Unknown"
    [i] = aws.run(Placement={"GroupName": "pg"})
    with pytest.raises(ClientError) as error:
        aws.ec2.delete_placement_group(GroupName="pg")
    assert refusal(error) == "InvalidPlacementGroup.InUse"
    aws.ec2.terminate_instances(InstanceIds=[i["InstanceId"]])
    aws.settle()
    aws.ec2.delete_placement_group(GroupName="pg")


def test_a_rule_for_all_protocols_and_for_a_group_can_be_modified(aws: Aws) -> None:
    _, _, group = aws.network()
    permission = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}
    rule = aws.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])["SecurityGroupRules"][0]
    asked = {"IpProtocol": "-1", "ReferencedGroupId": group, "Description": "among themselves"}
    aws.ec2.modify_security_group_rules(
        GroupId=group,
        SecurityGroupRules=[{"SecurityGroupRuleId": rule["SecurityGroupRuleId"], "SecurityGroupRule": asked}],
    )
    found = aws.ec2.describe_security_group_rules(SecurityGroupRuleIds=[rule["SecurityGroupRuleId"]])
    [shown] = found["SecurityGroupRules"]
    assert shown["ReferencedGroupInfo"]["GroupId"] == group
    assert shown["Description"] == "among themselves"


@pytest.mark.parametrize("system", ["amazon-linux-2023", "ubuntu-22.04", "ubuntu-24.04"])
def test_the_deep_learning_images_are_found_by_their_public_parameter(aws: Aws, system: str) -> None:
    name = f"/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-{system}/latest/ami-id"
    image_id = aws.ssm.get_parameter(Name=name)["Parameter"]["Value"]
    assert aws.ssm.get_parameters(Names=[name])["Parameters"][0]["Value"] == image_id
    [image] = aws.ec2.describe_images(ImageIds=[image_id])["Images"]
    [disk] = image["BlockDeviceMappings"]
    assert (disk["DeviceName"], disk["Ebs"]["VolumeSize"]) == (image["RootDeviceName"], 75)


@pytest.mark.parametrize(
    ("image", "code"), [("ami-00000000000000000", "InvalidAMIID.NotFound"), ("ami-012345678", "InvalidAMIID.Malformed")]
)
def test_an_unknown_image_is_refused(aws: Aws, image: str, code: str) -> None:
    for ask in (lambda: aws.run(ImageId=image), lambda: aws.ec2.describe_images(ImageIds=[image])):
        with pytest.raises(ClientError) as error:
            ask()
        assert refusal(error) == code


def test_an_image_of_another_architecture_is_refused(aws: Aws) -> None:
    arm = next(one for one in images.IMAGES if one.architecture == "arm64")
    assert aws.run(ImageId=arm.id_in("us-east-1"), InstanceType="g5g.xlarge")
    with pytest.raises(
        ClientError, match="architecture 'x86_64' of the specified instance type does not match"
    ) as error:
        aws.run(ImageId=arm.id_in("us-east-1"))
    assert refusal(error) == "InvalidParameterValue"


def test_an_image_that_is_gone_or_disabled_is_not_launched_and_gone_is_not_shown(aws: Aws) -> None:
    parameter = f"/aws/service/{images.IMAGES[0].parameter}"
    named = [IMAGE]
    for release in ("20261108", "20261115"):
        images.publish("us-east-1", release)
        named.append(aws.ssm.get_parameter(Name=parameter)["Parameter"]["Value"])
    assert len(set(named)) == 3
    image = named[1]
    assert aws.run(ImageId=image)
    aws.ec2.disable_image(ImageId=image)
    assert [one["State"] for one in aws.ec2.describe_images(ImageIds=[image])["Images"]] == ["disabled"]
    for gone in (False, True):
        if gone:
            aws.ec2.deregister_image(ImageId=image)
        with pytest.raises(ClientError) as error:
            aws.run(ImageId=image)
        assert refusal(error) == "InvalidAMIID.Unavailable"
    assert aws.ec2.describe_images(ImageIds=[image])["Images"] == []


def test_a_file_system_is_updated_and_backed_up(aws: Aws) -> None:
    fs = aws.efs.create_file_system(CreationToken="t")["FileSystemId"]
    aws.efs.update_file_system(FileSystemId=fs, ThroughputMode="elastic")
    aws.efs.put_backup_policy(FileSystemId=fs, BackupPolicy={"Status": "ENABLED"})
    assert aws.efs.describe_file_systems(FileSystemId=fs)["FileSystems"][0]["ThroughputMode"] == "elastic"
    assert aws.efs.describe_backup_policy(FileSystemId=fs)["BackupPolicy"]["Status"] == "ENABLED"


def test_the_policy_of_a_file_system_is_deleted(aws: Aws) -> None:
    fs = aws.efs.create_file_system(CreationToken="policy")["FileSystemId"]
    aws.efs.put_file_system_policy(FileSystemId=fs, Policy="{}")
    aws.efs.delete_file_system_policy(FileSystemId=fs)
    with pytest.raises(ClientError) as error:
        aws.efs.describe_file_system_policy(FileSystemId=fs)
    assert refusal(error).startswith("PolicyNotFound")


def test_a_rule_for_a_group_keeps_its_description(aws: Aws) -> None:
    vpc = aws.ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    group = aws.ec2.create_security_group(GroupName="g", Description="d", VpcId=vpc)["GroupId"]
    pair = {"GroupId": group, "Description": "among themselves"}
    aws.ec2.authorize_security_group_ingress(
        GroupId=group, IpPermissions=[{"IpProtocol": "-1", "UserIdGroupPairs": [pair]}]
    )
    rules = aws.ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])
    assert "among themselves" in [rule.get("Description") for rule in rules["SecurityGroupRules"]]


def test_the_tags_of_an_instance_profile_are_listed(aws: Aws) -> None:
    aws.iam.create_instance_profile(InstanceProfileName="tagged", Tags=[{"Key": "a", "Value": "b"}])
    assert aws.iam.list_instance_profile_tags(InstanceProfileName="tagged")["Tags"] == [{"Key": "a", "Value": "b"}]


def test_managed_policies_can_be_attached(aws: Aws) -> None:
    aws.iam.create_role(RoleName="r", AssumeRolePolicyDocument="{}")
    aws.iam.attach_role_policy(RoleName="r", PolicyArn="arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore")


def test_a_session_leads_to_a_host_that_runs_and_whose_role_lets_its_agent_speak(aws: Aws) -> None:
    trust = json.dumps({"Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}}]})
    aws.iam.create_role(RoleName="talks", AssumeRolePolicyDocument=trust)
    aws.iam.create_instance_profile(InstanceProfileName="talks")
    aws.iam.add_role_to_instance_profile(InstanceProfileName="talks", RoleName="talks")
    [made] = aws.run(IamInstanceProfile={"Name": "talks"})
    aws.settle()
    asked = {"Target": made["InstanceId"], "Parameters": {"portNumber": ["2222"]}}

    def refused(**other: Any) -> str:
        with pytest.raises(ClientError) as error:
            aws.ssm.start_session(DocumentName="AWS-StartSSHSession", **asked | other)
        return refusal(error)

    assert refused() == "TargetNotConnected"
    aws.iam.put_role_policy(RoleName="talks", PolicyName="p", PolicyDocument=allowing(*SESSION_RIGHTS))
    session = aws.ssm.start_session(DocumentName="AWS-StartSSHSession", **asked)
    assert session["StreamUrl"] == f"tcp://{made['PrivateIpAddress']}:2222" and session["TokenValue"]
    assert refused(Target="i-00000000000000000") == "TargetNotConnected"
    with pytest.raises(ClientError):
        aws.ssm.start_session(DocumentName="AWS-StartPortForwardingSession", **asked)
    aws.ec2.terminate_instances(InstanceIds=[made["InstanceId"]])
    aws.settle()
    assert refused() == "TargetNotConnected"


def test_the_journal_has_action_region_and_error_of_every_protocol(aws: Aws) -> None:
    with pytest.raises(ClientError):
        aws.ec2.delete_vpc(VpcId=aws.network()[0])
    aws.run()
    aws.ssm.get_parameter(Name=f"/aws/service/{images.IMAGES[0].parameter}")
    aws.iam.list_roles()
    aws.efs.describe_file_systems()
    calls = aws.calls()
    by_action = {(c["service"], c["action"]) for c in calls}
    assert {
        ("ec2", "RunInstances"),
        ("efs", "DescribeFileSystems"),
        ("ssm", "GetParameter"),
        ("iam", "ListRoles"),
    } <= by_action
    assert any(c["error"] == "DependencyViolation" and c["region"] == "us-east-1" for c in calls)


def test_the_journal_tells_our_own_calls_from_the_providers(aws: Aws) -> None:
    aws.run()
    ours = Cloud("us-east-1", access_key="sandbox", secret_key="sandbox", endpoints={"ec2": aws.ec2.meta.endpoint_url})
    ours.client("ec2").describe_regions()
    by_app = {(c["action"], c["app"]) for c in aws.calls()}
    assert {("DescribeRegions", "swift-fleet"), ("RunInstances", "")} <= by_app


def test_each_interface_has_an_address_of_its_own_in_the_subnet_but_efa_only_none(aws: Aws) -> None:
    vpc = aws.ec2.create_vpc(CidrBlock="127.91.0.0/16")["Vpc"]["VpcId"]
    place = {"VpcId": vpc, "CidrBlock": "127.91.1.0/28", "AvailabilityZone": "us-east-1a"}
    subnet = aws.ec2.create_subnet(**place)["Subnet"]["SubnetId"]
    aws.ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": True})
    card = {"SubnetId": subnet, "DeviceIndex": 0}
    cards = [card, {**card, "NetworkCardIndex": 1, "InterfaceType": "efa"}]
    cards += [{**card, "NetworkCardIndex": at, "InterfaceType": "efa-only"} for at in (2, 3)]
    # 11 addresses are free: five machines with two each, whatever their efa-only interfaces.
    made = aws.run(5, InstanceType="p4d.24xlarge", NetworkInterfaces=cards)
    found = [nic.get("PrivateIpAddress") for one in made for nic in one["NetworkInterfaces"]]
    given = [address for address in found if address]
    assert len(given) == len(set(given)) == 10 and len(found) == 20
    assert not any(one.get("PublicIpAddress") for one in made)
    with pytest.raises(ClientError) as error:
        aws.run(InstanceType="p4d.24xlarge", NetworkInterfaces=cards)
    assert refusal(error) == "InsufficientFreeAddressesInSubnet"
    aws.ec2.terminate_instances(InstanceIds=[one["InstanceId"] for one in made])
    aws.settle()
    [told] = aws.ec2.describe_subnets(SubnetIds=[subnet])["Subnets"]
    assert told["AvailableIpAddressCount"] == 11
    aws.run(5, InstanceType="p4d.24xlarge", NetworkInterfaces=cards)


CARD = {"DeviceIndex": 0, "NetworkCardIndex": 0}
UNFIT = [
    ("m7i.xlarge", [{**CARD, "InterfaceType": "efa"}], "InvalidParameterCombination"),
    ("p4d.24xlarge", [{**CARD, "InterfaceType": "efa-only"}], "InvalidParameterCombination"),
    ("p4d.24xlarge", [CARD, {**CARD, "NetworkCardIndex": 4}], "InvalidParameterValue"),
    ("m7i.xlarge", [{"DeviceIndex": at} for at in range(5)], "AttachmentLimitExceeded"),
]


@pytest.mark.parametrize(("kind", "cards", "code"), UNFIT)
def test_interfaces_that_the_type_does_not_have_are_refused(aws: Aws, kind: str, cards: list[Any], code: str) -> None:
    _, subnet, _ = aws.network()
    with pytest.raises(ClientError) as error:
        aws.run(InstanceType=kind, NetworkInterfaces=[{**card, "SubnetId": subnet} for card in cards])
    assert refusal(error) == code
