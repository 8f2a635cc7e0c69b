from __future__ import annotations

from infra.network import RENDEZVOUS_PORTS
from training.plan import MASTER_PORTS


def test_every_port_that_a_job_may_meet_on_is_open_within_the_group() -> None:
    assert (MASTER_PORTS[0], MASTER_PORTS[-1]) == RENDEZVOUS_PORTS
