"""The embedded cloud as others use it: boto3, SSH and time, all real."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
from datetime import UTC, datetime, timedelta
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from pathlib import Path

import paramiko
import psutil
import pytest
from botocore.exceptions import ClientError
from clouds import Cloud, eventually, new_key, start_cloud

from infra.sandbox import process, processes

ROLE = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "scheduler.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


def home_of(cloud: Cloud, instance_id: str) -> Path:
    return cloud.state / "hosts" / instance_id / "home"


def is_gone(cloud: Cloud, instance: dict) -> bool:
    return cloud.state_of(instance["InstanceId"]) == "terminated"


def test_user_data_has_run_and_the_console_shows_it_with_the_host_key(cloud: Cloud) -> None:
    message = MIMEMultipart()
    message.attach(MIMEText("#!/bin/sh\necho hook >> ~/order\n", "cloud-boothook"))
    message.attach(MIMEText("#!/bin/bash\necho script >> ~/order; echo hello from $USER\n", "x-shellscript"))
    [instance] = cloud.launch(UserData=message.as_string())
    text = cloud.console(instance["InstanceId"])
    assert "hello from ec2-user" in text
    assert (home_of(cloud, instance["InstanceId"]) / "order").read_text() == "hook\nscript\n"


def test_a_reboot_runs_boothooks_again_and_keeps_disk_and_host_key(cloud: Cloud) -> None:
    user_data = "#cloud-boothook\n#!/bin/sh\necho boot >> ~/boots\n"
    [instance] = cloud.launch(UserData=user_data)
    boots = home_of(cloud, instance["InstanceId"]) / "boots"
    with cloud.connect(instance) as ssh:
        ssh.run("touch kept", hide=True)
    cloud.client("ec2").reboot_instances(InstanceIds=[instance["InstanceId"]])
    eventually(lambda: boots.read_text() == "boot\nboot\n")
    with cloud.connect(instance) as ssh:
        assert ssh.run("ls", hide=True).stdout.split() == ["boots", "kept"]


def test_only_the_key_pair_of_the_instance_opens_it(cloud: Cloud) -> None:
    [instance] = cloud.launch()
    with cloud.connect(instance, user="ubuntu") as ssh:
        assert ssh.run("echo in", hide=True).stdout == "in\n"
    with pytest.raises(paramiko.AuthenticationException):
        cloud.connect(instance, key=new_key()[0]).open()


def test_files_go_both_ways_and_start_at_home(cloud: Cloud) -> None:
    [instance] = cloud.launch()
    with cloud.connect(instance) as ssh:
        ssh.put(io.BytesIO(b"x" * 1_000_000), "data.bin")
        assert ssh.run("wc -c < ~/data.bin", hide=True).stdout.strip() == "1000000"
        back = io.BytesIO()
        ssh.get("data.bin", back)
        assert back.getvalue() == b"x" * 1_000_000


def test_stdin_exit_codes_and_a_terminal(cloud: Cloud) -> None:
    [instance] = cloud.launch()
    with cloud.connect(instance) as ssh:
        assert ssh.run("cat; exit 7", in_stream=io.StringIO("secret"), warn=True, hide=True).return_code == 7
        assert ssh.run("tty", pty=True, hide=True).stdout.startswith("/dev/pts/")


def test_a_job_of_its_own_session_outlives_the_connection_but_not_the_instance(cloud: Cloud) -> None:
    [instance] = cloud.launch()
    home = home_of(cloud, instance["InstanceId"])
    with cloud.connect(instance) as ssh:
        ssh.run("setsid nohup sleep 1000 </dev/null >/dev/null 2>&1 & echo $! > pid", hide=True)
        pid = int((home / "pid").read_text())
    job = psutil.Process(pid)
    assert job.is_running()
    cloud.client("ec2").terminate_instances(InstanceIds=[instance["InstanceId"]])
    eventually(lambda: is_gone(cloud, instance))
    assert not job.is_running() or job.status() == psutil.STATUS_ZOMBIE
    assert not home.exists()
    assert not cloud.listens(instance["PrivateIpAddress"])


def test_the_waiters_of_aws_work_and_the_address_is_free_again(cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    request = {"PrivateIpAddress": "127.78.1.200"}
    for _ in range(2):
        [instance] = cloud.launch(**request)
        ids = [instance["InstanceId"]]
        ec2.get_waiter("instance_status_ok").wait(InstanceIds=ids, WaiterConfig={"Delay": 1})
        ec2.terminate_instances(InstanceIds=ids)
        ec2.get_waiter("instance_terminated").wait(InstanceIds=ids, WaiterConfig={"Delay": 1})


def test_stop_and_start_keep_the_disk(cloud: Cloud) -> None:
    [instance] = cloud.launch()
    with cloud.connect(instance) as ssh:
        ssh.run("echo 1 > kept", hide=True)
    ids = [instance["InstanceId"]]
    cloud.client("ec2").stop_instances(InstanceIds=ids)
    eventually(lambda: cloud.state_of(ids[0]) == "stopped")
    assert not cloud.listens(instance["PrivateIpAddress"])
    cloud.client("ec2").start_instances(InstanceIds=ids)
    eventually(lambda: cloud.state_of(ids[0]) == "running")
    with cloud.connect(instance) as ssh:
        assert ssh.run("cat kept", hide=True).stdout == "1\n"


@pytest.mark.parametrize(("behaviour", "end"), [("terminate", "terminated"), ("stop", "stopped")])
def test_a_machine_that_powers_itself_off_does_what_was_said_at_launch(cloud: Cloud, behaviour: str, end: str) -> None:
    [instance] = cloud.launch(InstanceInitiatedShutdownBehavior=behaviour)
    with cloud.connect(instance) as ssh:
        ssh.run("sudo systemd-run --unit off --collect shutdown -h now", hide=True)
    eventually(lambda: cloud.state_of(instance["InstanceId"]) == end)
    described = cloud.client("ec2").describe_instances(InstanceIds=[instance["InstanceId"]])
    reason = described["Reservations"][0]["Instances"][0]["StateReason"]
    assert reason["Code"] == "Client.InstanceInitiatedShutdown"


def test_the_lease_ends_the_machine_when_its_time_has_come(cloud: Cloud) -> None:
    user_data = (
        "#cloud-boothook\n#!/bin/bash\n"
        "systemd-run --unit fleet-lease --on-calendar \"$(date -u -d '+2 hours' '+%Y-%m-%d %H:%M:%S UTC')\" "
        "--timer-property=AccuracySec=1s systemctl poweroff\n"
    )
    [instance] = cloud.launch(UserData=user_data, InstanceInitiatedShutdownBehavior="terminate")
    with cloud.connect(instance) as ssh:
        assert ssh.run("systemctl is-active fleet-lease.timer", hide=True).stdout == "active\n"
        shown = ssh.run("systemctl show fleet-lease.timer -p NextElapseUSecRealtime", hide=True).stdout
        assert shown.startswith("NextElapseUSecRealtime=")
        # A transient timer does not survive a reboot; the boothook sets it anew, or systemd-run would have refused.
        cloud.client("ec2").reboot_instances(InstanceIds=[instance["InstanceId"]])
        eventually(lambda: not ssh.transport or not ssh.transport.is_active())
    eventually(lambda: cloud.listens(instance["PrivateIpAddress"]))
    with cloud.connect(instance) as ssh:
        eventually(lambda: ssh.run("systemctl is-active fleet-lease.timer", hide=True, warn=True).ok)
    cloud.control("clock", {"advance": 3600})
    assert cloud.state_of(instance["InstanceId"]) == "running"
    cloud.control("clock", {"advance": 3601})
    eventually(lambda: is_gone(cloud, instance))


def test_an_alarm_terminates_what_did_nothing_in_each_of_its_periods_and_nothing_that_it_lost_sight_of(
    cloud: Cloud,
) -> None:
    idle, busy, own = (one["InstanceId"] for one in cloud.launch(3))
    cloudwatch = cloud.client("cloudwatch")
    for name, one, missing in (("idle", idle, "notBreaching"), ("busy", busy, "notBreaching"), ("own", own, "missing")):
        cloudwatch.put_metric_alarm(
            AlarmName=name,
            Namespace="AWS/EC2",
            MetricName="CPUUtilization",
            Dimensions=[{"Name": "InstanceId", "Value": one}],
            Statistic="Maximum",
            Period=300,
            EvaluationPeriods=3,
            ComparisonOperator="LessThanThreshold",
            Threshold=2.0,
            TreatMissingData=missing,
            AlarmActions=["arn:aws:automate:us-east-1:ec2:terminate"],
        )
    cloud.control("metrics", {idle: 0.1, busy: 60, own: 99})
    cloud.control("clock", {"advance": 11 * 60})
    assert {cloud.state_of(one) for one in (idle, busy, own)} == {"running"}, "two periods of three have a value"
    cloud.control("metrics", {own: None})
    cloud.control("clock", {"advance": 5 * 60})
    eventually(lambda: cloud.state_of(idle) == "terminated")
    assert (cloud.state_of(busy), cloud.state_of(own)) == ("running", "running")
    states = {one["AlarmName"]: one["StateValue"] for one in cloudwatch.describe_alarms()["MetricAlarms"]}
    assert (states["idle"], states["busy"]) == ("ALARM", "OK")
    cloudwatch.delete_alarms(AlarmNames=["idle", "busy", "own"])


def test_a_schedule_terminates_through_the_api_and_is_gone_afterwards(cloud: Cloud) -> None:
    [instance] = cloud.launch()
    iam, scheduler = cloud.client("iam"), cloud.client("scheduler")
    role = iam.create_role(RoleName="end", AssumeRolePolicyDocument=json.dumps(ROLE))["Role"]["Arn"]
    right = {"Effect": "Allow", "Action": "ec2:TerminateInstances", "Resource": "*"}
    iam.put_role_policy(
        RoleName="end", PolicyName="end", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [right]})
    )
    at = datetime.now(UTC) + timedelta(hours=5)
    scheduler.create_schedule(
        Name="end",
        ScheduleExpression=f"at({at:%Y-%m-%dT%H:%M:%S})",
        FlexibleTimeWindow={"Mode": "OFF"},
        ActionAfterCompletion="DELETE",
        Target={
            "Arn": "arn:aws:scheduler:::aws-sdk:ec2:terminateInstances",
            "RoleArn": role,
            "Input": json.dumps({"InstanceIds": [instance["InstanceId"]]}),
        },
    )
    before = sum(call["action"] == "TerminateInstances" for call in cloud.control("requests"))
    cloud.control("clock", {"advance": 5 * 3600 - 60})
    assert cloud.state_of(instance["InstanceId"]) == "running"
    cloud.control("clock", {"advance": 61})
    eventually(lambda: is_gone(cloud, instance))
    eventually(lambda: not scheduler.list_schedules()["Schedules"])
    after = sum(call["action"] == "TerminateInstances" for call in cloud.control("requests"))
    assert after == before + 1


def test_a_schedule_whose_role_is_missing_does_nothing_and_says_why(cloud: Cloud) -> None:
    [instance] = cloud.launch()
    cloud.client("scheduler").create_schedule(
        Name="no-role",
        ScheduleExpression=f"at({datetime.now(UTC):%Y-%m-%dT%H:%M:%S})",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={
            "Arn": "arn:aws:scheduler:::aws-sdk:ec2:terminateInstances",
            "RoleArn": "arn:aws:iam::123456789012:role/nobody",
            "Input": json.dumps({"InstanceIds": [instance["InstanceId"]]}),
        },
    )
    cloud.control("clock", {"advance": 1})
    outcome = eventually(lambda: cloud.control("status")["schedules"].get("no-role"))
    assert "does not exist" in outcome
    assert cloud.state_of(instance["InstanceId"]) == "running"


def test_efs_is_one_folder_for_all_who_mount_it(cloud: Cloud) -> None:
    efs = cloud.client("efs")
    fs = efs.create_file_system(CreationToken="t", Encrypted=True, ThroughputMode="elastic")["FileSystemId"]
    point = efs.create_access_point(
        ClientToken="p",
        FileSystemId=fs,
        PosixUser={"Uid": 1000, "Gid": 1000},
        RootDirectory={"Path": "/fleet", "CreationInfo": {"OwnerUid": 1000, "OwnerGid": 1000, "Permissions": "750"}},
    )["AccessPointId"]
    one, two = cloud.launch(2)
    mount = f"mkdir -p shared && sudo mount -t efs -o tls,accesspoint={point} {fs}:/ shared"
    with cloud.connect(one) as first, cloud.connect(two) as second:
        refused = first.run(mount, hide=True, warn=True)
        assert "mount target" in refused.stderr
        efs.create_mount_target(FileSystemId=fs, SubnetId=cloud.subnet)
        without_tls = first.run(mount.replace("tls,", ""), hide=True, warn=True)
        assert not without_tls.ok
        for ssh in (first, second):
            ssh.run(mount, hide=True)
            assert ssh.run("mountpoint -q shared", hide=True, warn=True).ok
        first.run("echo 42 > shared/answer", hide=True)
        assert second.run("cat shared/answer", hide=True).stdout == "42\n"
        second.run("sudo umount shared", hide=True)
        assert not second.run("mountpoint -q shared", hide=True, warn=True).ok
    assert (cloud.state / "efs" / fs / "fleet" / "answer").exists()


def test_a_public_address_of_a_host_answers_too(cloud: Cloud) -> None:
    [instance] = cloud.launch()
    ec2 = cloud.client("ec2")
    eip = ec2.allocate_address(Domain="vpc")
    assert eip["PublicIp"].startswith("127.")
    ec2.associate_address(AllocationId=eip["AllocationId"], InstanceId=instance["InstanceId"])
    eventually(lambda: cloud.listens(eip["PublicIp"]))
    ec2.terminate_instances(InstanceIds=[instance["InstanceId"]])
    eventually(lambda: not cloud.listens(eip["PublicIp"]))


def test_a_fault_answers_in_place_of_the_cloud(cloud: Cloud) -> None:
    rule = {"action": "RunInstances", "code": "InsufficientInstanceCapacity", "status": 500, "count": 1}
    cloud.control("faults", [rule])
    with pytest.raises(ClientError) as error:
        cloud.launch()
    assert error.value.response["Error"]["Code"] == "InsufficientInstanceCapacity"
    assert cloud.control("requests")[-1]["error"] == "InsufficientInstanceCapacity"
    cloud.launch()


def test_what_the_sandbox_does_not_know_is_said_at_once(cloud: Cloud) -> None:
    with pytest.raises(ClientError) as error:
        cloud.client("ec2").get_console_screenshot(InstanceId="i-1")
    assert error.value.response["Error"]["Code"] == "InvalidAction"


def test_a_host_that_cannot_listen_is_an_instance_that_fails_to_start(cloud: Cloud) -> None:
    with socket.create_server(("127.78.1.222", cloud.running.ssh_port)):
        launched = cloud.client("ec2").run_instances(
            ImageId=cloud.image, MinCount=1, MaxCount=1, SubnetId=cloud.subnet, PrivateIpAddress="127.78.1.222"
        )["Instances"][0]
        eventually(lambda: is_gone(cloud, launched))
    described = cloud.client("ec2").describe_instances(InstanceIds=[launched["InstanceId"]])
    reason = described["Reservations"][0]["Instances"][0]["StateReason"]
    assert reason["Code"] == "Server.InternalError"


def test_two_clouds_side_by_side_then_one_stops_and_leaves_nothing(cloud: Cloud, tmp_path: Path) -> None:
    other = start_cloud(tmp_path, "127.79.0.0/16")
    [mine], [theirs] = cloud.launch(), other.launch()
    with other.connect(theirs) as ssh:
        ssh.run("setsid sleep 1000 </dev/null >/dev/null 2>&1 &", hide=True)
    assert process.start(tmp_path, other.running.port) == other.running
    assert process.status(tmp_path)["instances"][0]["state"] == "running"
    assert processes.with_home_under(tmp_path / "hosts")
    assert process.stop(tmp_path)
    assert processes.with_home_under(tmp_path / "hosts") == []
    assert not other.listens(theirs["PrivateIpAddress"])
    assert cloud.listens(mine["PrivateIpAddress"])
    assert process.status(tmp_path) == {"running": False}


def test_a_killed_cloud_leaves_nothing_to_the_next_one(tmp_path: Path) -> None:
    first = start_cloud(tmp_path)
    [instance] = first.launch()
    with first.connect(instance) as ssh:
        ssh.run("setsid sleep 1000 </dev/null >/dev/null 2>&1 &", hide=True)
    (tmp_path / "pulumi" / "stale").touch()
    [left] = processes.with_home_under(tmp_path / "hosts")
    os.kill(first.running.pid, signal.SIGKILL)
    eventually(lambda: not process.status(tmp_path)["running"])
    second = process.start(tmp_path, first.running.port, first.running.ssh_port)
    try:
        assert second.pid != first.running.pid
        assert not psutil.pid_exists(left) or psutil.Process(left).status() == psutil.STATUS_ZOMBIE
        assert process.status(tmp_path)["instances"] == []
        assert not (tmp_path / "hosts").exists()
        assert not (tmp_path / "pulumi" / "stale").exists()
    finally:
        process.stop(tmp_path)
