from __future__ import annotations

from training.probe import Gpu, OfferedKey, facts

ANSWER = """\
os Ubuntu 24.04.2 LTS
cpus 192
ram 2097152000
address 10.0.0.5
gpu NVIDIA A100-SXM4-80GB, 81920, 595.91
gpu NVIDIA A100-SXM4-80GB, [N/A], 595.91
"""


def test_a_hosts_answer_becomes_facts() -> None:
    found = facts(ANSWER, OfferedKey("ssh-ed25519 AAAA", "SHA256:x"))
    assert (found.os, found.cpus, found.ram_gib, found.private_address) == (
        "Ubuntu 24.04.2 LTS",
        192,
        2000.0,
        "10.0.0.5",
    )
    assert found.gpus == (Gpu("NVIDIA A100-SXM4-80GB", 81920, "595.91"), Gpu("NVIDIA A100-SXM4-80GB", 0, "595.91"))


def test_a_machine_without_gpus_has_none() -> None:
    assert facts("os Linux\ncpus 2\nram 1048576\n", OfferedKey("k", "f")).gpus == ()
