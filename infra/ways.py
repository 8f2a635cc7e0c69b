"""How people get to a fleet's nodes and how the nodes get out: decided once, for what is made and what it costs."""

from __future__ import annotations

from dataclasses import dataclass

from infra.catalog import catalog
from infra.settings import StackConfig


@dataclass(frozen=True)
class Ways:
    """public: each node has a public address; one_way_in: rank 0 alone has, since no machine with several cards gets
    one by itself; session: SSH comes through AWS's Session Manager, and no port is open to anybody.

    gateway: a NAT gateway is made, in a subnet before the nodes'; out: the fleet makes its own way out, rather than
    to take that of a network that is there.
    """

    public: bool
    one_way_in: bool
    session: bool
    gateway: bool
    out: bool

    def addresses(self, nodes: int) -> int:
        """Public ones, that of the NAT gateway among them."""
        return (nodes if self.public else int(self.one_way_in)) + int(self.gateway)


def ways(config: StackConfig, several: bool | None = None) -> Ways:
    """several: whether a node has several network interfaces, where EC2 has said so; else as the catalog has them."""
    if several is None:
        several = config.wants_efa and catalog().types[config.instance_type].network_cards > 1
    session = config.access == "ssm"
    seen = config.public_addresses and not session
    one_way_in = seen and several
    own = config.subnet_id is None
    return Ways(
        public=seen and not several,
        one_way_in=one_way_in,
        session=session,
        # Packages and models come from the internet in any case: with a NAT gateway for them, endpoints for Session
        # Manager (two, $0.01 an hour each) would only add to the bill.
        gateway=own and (one_way_in or session),
        out=own and (config.vpc_id is None or seen or session),
    )
