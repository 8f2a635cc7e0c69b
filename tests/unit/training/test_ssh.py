from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

import fabric

from training.ssh import _config, dial


def test_connections_that_are_made_at_one_time_share_no_configuration() -> None:
    def made(number: int) -> fabric.Connection:
        return fabric.Connection("192.0.2.1", user=f"user-{number}", config=_config())

    with ThreadPoolExecutor(16) as pool:
        connections = list(pool.map(made, range(200)))
    assert [one.user for one in connections] == [f"user-{number}" for number in range(200)]
    assert len({id(one.config) for one in connections}) == 200


def test_the_operators_own_ssh_settings_do_not_count() -> None:
    assert _config().load_ssh_configs is False
    assert not _config().base_ssh_config.get_hostnames()


def test_small_packets_are_not_held_back() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, dial(*server.getsockname()) as sock:
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
