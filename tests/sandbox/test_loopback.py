"""No call to AWS and no SSH leaves this machine: what the cloud was asked, and where every process connected to."""

from __future__ import annotations

import ast
import ipaddress

from project import Life


def is_local(address: object) -> bool:
    """A Unix socket, or a host of 127.0.0.0/8 or ::1 (by number: a name would have been looked up first)."""
    if not isinstance(address, tuple):
        return True
    host = str(address[0])
    return host == "localhost" or ipaddress.ip_address(host).is_loopback


def test_every_socket_that_a_python_process_opened_is_loopback_or_unix(life: Life) -> None:
    outside = [(who, address) for who, address in life.sockets if not is_local(ast.literal_eval(address))]
    assert outside == []


def test_the_command_the_provider_and_the_sandbox_were_all_listened_to(life: Life) -> None:
    who = {process for process, _ in life.sockets}
    assert any("fleet run" in one for one in who)
    assert any("infra.sandbox.provider" in one for one in who)


def test_ssh_went_to_the_nodes_own_addresses(life: Life) -> None:
    project = life.project
    to = {ast.literal_eval(address) for _, address in life.sockets if address.startswith("(")}
    ssh = {host for host, port, *_ in to if port == project.ssh_port}
    assert len(ssh) == 2
    assert all(ipaddress.ip_address(host) in ipaddress.ip_network(project.network) for host in ssh)


def test_the_cloud_itself_was_asked_all_that_the_life_of_a_fleet_takes(life: Life) -> None:
    asked = {(call["service"], call["action"]) for call in life.calls}
    for service, action in (
        ("ssm", "GetParameter"),
        ("ec2", "RunInstances"),
        ("ec2", "TerminateInstances"),
        ("ec2", "GetConsoleOutput"),
        ("efs", "CreateFileSystem"),
        ("efs", "DeleteFileSystem"),
        ("iam", "CreateRole"),
        ("scheduler", "CreateSchedule"),
        ("scheduler", "DeleteSchedule"),
    ):
        assert (service, action) in asked
    assert {call["region"] for call in life.calls} == {"us-east-1"}


def test_calls_of_the_command_and_of_the_provider_went_to_the_sandboxs_port_alone(life: Life) -> None:
    ports = {
        ast.literal_eval(address)[1]
        for who, address in life.sockets
        if address.startswith("(") and "infra.sandbox.provider" in who
    }
    assert ports == {life.project.port}
