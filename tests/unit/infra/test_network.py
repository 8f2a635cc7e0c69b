from __future__ import annotations

from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.network import RENDEZVOUS_PORTS, _halves
from training.plan import MASTER_PORTS


@pytest.mark.parametrize(
    ("vpc", "subnet"),
    [("10.77.0.0/16", "10.77.0.0/17"), ("127.77.0.0/16", "127.77.0.0/17"), ("192.168.8.0/24", "192.168.8.0/25")],
)
def test_the_nodes_get_the_halves_of_the_network(vpc: str, subnet: str) -> None:
    assert _halves(vpc)[0] == subnet


@given(st.integers(0, 2**32 - 1), st.integers(16, 24))
def test_the_half_lies_in_the_network_and_as_much_is_left(address: int, prefix: int) -> None:
    vpc = IPv4Network((address & (0xFFFFFFFF << (32 - prefix)), prefix))
    nodes, outer = (IPv4Network(half) for half in _halves(str(vpc)))
    assert list(vpc.subnets()) == [nodes, outer]


def test_every_port_that_a_job_may_meet_on_is_open_within_the_group() -> None:
    assert (MASTER_PORTS[0], MASTER_PORTS[-1]) == RENDEZVOUS_PORTS
