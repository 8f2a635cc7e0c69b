"""What ms-swift's arguments must be together, as tables of rules; `broken` holds a command to all of them."""

from __future__ import annotations

from training.findings import Finding
from training.swift.given import Given
from training.swift.rules import megatron, needed, rlhf, serving, tuning
from training.swift.rules.rule import Rule, findings

RULES: tuple[Rule, ...] = (*needed.RULES, *tuning.RULES, *rlhf.RULES, *megatron.RULES, *serving.RULES)


def broken(given: Given) -> list[Finding]:
    """A finding for each rule that the command breaks."""
    return findings(RULES, given)
