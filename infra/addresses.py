"""IPv4 networks as people write them, and which of a VPC's addresses are free. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network, ip_network

#: Prefix length of the largest network that is somebody's own (10.0.0.0/8); two halves of the world are the world.
NARROW = 8
#: Of IPv6: a provider's whole block.
NARROW_6 = 32
#: Of each subnet AWS keeps the first four addresses and the last (VPC guide, subnet sizing).
KEPT_BY_AWS = 5


def network(value: str) -> str:
    """Raises ValueError for what is no IPv4 network."""
    try:
        return str(IPv4Network(value))
    except ValueError as error:
        raise ValueError(f"is no IPv4 network: {error}") from error


def sized(value: str, largest: int, smallest: int) -> str:
    """A network between two prefix lengths, or ValueError."""
    if not largest <= IPv4Network(network(value)).prefixlen <= smallest:
        raise ValueError(f"must be a /{largest} to /{smallest}")
    return value


def wide(cidr: str) -> bool:
    """Whether a network, of IPv6 too, is too large to be one operator's."""
    at = ip_network(cidr, strict=False)
    return at.prefixlen < (NARROW if at.version == 4 else NARROW_6)


def somebodys(value: str) -> str:
    """A network that can be one operator's, or ValueError."""
    if wide(network(value)):
        much = "the whole internet" if value == "0.0.0.0/0" else "much of the internet"
        raise ValueError(
            f"opens SSH to {much}: give your own network, such as 203.0.113.7/32, or say sshFromAnywhere: true"
        )
    return value


def overlap(one: str, other: str) -> bool:
    return IPv4Network(one).overlaps(IPv4Network(other))


def halves(cidr: str) -> tuple[str, str]:
    """The lower and the upper one."""
    lower, upper = IPv4Network(cidr).subnets()
    return str(lower), str(upper)


def usable(cidr: str) -> int:
    """How many addresses a subnet has for machines."""
    return IPv4Network(cidr).num_addresses - KEPT_BY_AWS


def inside(cidr: str, blocks: Iterable[str]) -> bool:
    return any(IPv4Network(cidr).subnet_of(IPv4Network(block)) for block in blocks)


def overlapped(cidr: str, taken: Mapping[str, str]) -> tuple[str, str] | None:
    """The first of `taken` (id -> network) that has addresses of `cidr`."""
    return next((one for one in taken.items() if overlap(cidr, one[1])), None)


def free(blocks: Iterable[str], taken: Iterable[str], prefix: int) -> str | None:
    """The lowest network of that prefix length in a VPC's blocks that overlaps none that is taken."""
    used = [IPv4Network(one) for one in taken]
    for block in map(IPv4Network, blocks):
        if block.prefixlen > prefix:
            continue
        at, size, end = int(block.network_address), 1 << (32 - prefix), int(block.broadcast_address)
        while at + size - 1 <= end:
            here = IPv4Network((at, prefix))
            hit = next((one for one in used if one.overlaps(here)), None)
            if hit is None:
                return str(here)
            # On beyond what is in the way, at the next multiple of the size.
            at = (max(int(hit.broadcast_address), int(here.broadcast_address)) // size + 1) * size
    return None
