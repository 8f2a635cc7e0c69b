from __future__ import annotations

from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.addresses import free, halves, inside, overlapped


@pytest.mark.parametrize(
    ("vpc", "lower"),
    [("10.77.0.0/16", "10.77.0.0/17"), ("127.77.0.0/16", "127.77.0.0/17"), ("192.168.8.0/24", "192.168.8.0/25")],
)
def test_a_network_has_two_halves(vpc: str, lower: str) -> None:
    assert halves(vpc)[0] == lower
    assert [IPv4Network(half) for half in halves(vpc)] == list(IPv4Network(vpc).subnets())


@pytest.mark.parametrize(
    ("blocks", "taken", "prefix", "found"),
    [
        (("10.0.0.0/16",), (), 23, "10.0.0.0/23"),
        (("10.0.0.0/16",), ("10.0.0.0/24",), 23, "10.0.2.0/23"),
        (("10.0.0.0/16",), ("10.0.0.0/24", "10.0.4.0/22"), 23, "10.0.2.0/23"),
        (("10.0.0.0/24",), ("10.0.0.0/25",), 25, "10.0.0.128/25"),
        (("10.0.0.0/24",), ("10.0.0.0/25",), 24, None),
        (("10.0.0.0/24", "100.64.0.0/16"), ("10.0.0.0/24",), 24, "100.64.0.0/24"),
        (("10.0.0.0/24",), (), 23, None),
        (("10.0.0.0/16",), ("10.0.0.0/16",), 28, None),
    ],
)
def test_the_lowest_free_network_is_found(
    blocks: tuple[str, ...], taken: tuple[str, ...], prefix: int, found: str | None
) -> None:
    assert free(blocks, taken, prefix) == found


SUBNETS = st.lists(
    st.builds(
        lambda at, prefix: str(IPv4Network(((10 << 24) + (at << 4), prefix), strict=False)),
        st.integers(0, 4095),
        st.integers(20, 28),
    ),
    max_size=8,
)


@given(SUBNETS, st.integers(17, 28))
def test_what_is_free_lies_in_the_block_beside_all_others_and_nothing_lower_does(taken: list[str], prefix: int) -> None:
    block = "10.0.0.0/16"
    found = free((block,), taken, prefix)
    lowest = next(
        (one for one in map(str, IPv4Network(block).subnets(new_prefix=prefix)) if not _hit(one, taken)), None
    )
    assert found == lowest and (found is None or inside(found, (block,)))


def _hit(cidr: str, taken: list[str]) -> bool:
    return overlapped(cidr, dict(enumerate(taken))) is not None  # type: ignore[arg-type]
