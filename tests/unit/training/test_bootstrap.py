from __future__ import annotations

from training.bootstrap import Bootstrapped, Setup, differences

FACTS = {"ms_swift": "4.6.0", "torch": "2.11.0", "transformers": "5.19.0", "python": "3.12.3", "freeze_sha256": "aa"}


def test_alike_nodes_differ_in_nothing() -> None:
    setups = {0: Setup(0, FACTS), 1: Setup(1, {**FACTS, "swift": "/home/other/swift"})}
    assert differences(setups) == []
    assert Bootstrapped({"base": setups}).summary == "2 of 2 · swift 4.6.0 · torch 2.11.0 · identical"
    both = Bootstrapped({"vllm": {0: setups[0]}, "base": {0: setups[0]}})
    assert both.summary == "1 of 1 · vllm: swift 4.6.0 · torch 2.11.0 · swift 4.6.0 · torch 2.11.0"


def test_what_differs_is_named_with_the_ranks() -> None:
    setups = {0: Setup(0, FACTS), 1: Setup(1, {**FACTS, "torch": "2.10.0"}), 2: Setup(2, FACTS)}
    assert differences(setups) == ["torch: 2.11.0 on rank 0, 2; 2.10.0 on rank 1"]
