"""A rule: what contradicts what, since when it is said (the line of ms-swift that refuses it), and what to write."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from training.findings import Finding, Severity
from training.swift.given import Given, NotKnown

TRAIN = ("swift sft", "swift pt", "swift rlhf")
RLHF = ("swift rlhf",)
MEGATRON = ("megatron sft", "megatron pt", "megatron rlhf")


@dataclass(frozen=True)
class Rule:
    """One contradiction.

    on: the commands that it holds for. where: the argument, or the job's key, to look at first.
    when: whether the command breaks it; a text or a number that it gives takes the place of `{}` in `what`.
    source: where ms-swift 4.6.0 (or a library under it) refuses it.
    """

    name: str
    on: tuple[str, ...]
    where: str
    when: Callable[[Given], object]
    what: str
    fix: str
    source: str
    severity: Severity = "error"


def findings(rules: Iterable[Rule], given: Given) -> list[Finding]:
    """What the rules say of a command. A rule that needs a value that is not known says nothing."""
    found = []
    for rule in rules:
        if given.command not in rule.on:
            continue
        try:
            broken = rule.when(given)
        except NotKnown:
            continue
        if broken:
            where = f"args.{rule.where}" if rule.where in given.arguments else rule.where
            found.append(Finding(rule.severity, where, rule.what.replace("{}", str(broken)), rule.fix))
    return found


def gpus_a_process(given: Given) -> int:
    """Visible GPUs a process: from two on ms-swift spreads the model over them (swift/utils/env.py is_mp)."""
    world = given.of_world()
    if given.env.get("SWIFT_SINGLE_DEVICE_MODE") == "1":
        return 1
    return visible_gpus(given) // world.nproc_per_node


def visible_gpus(given: Given) -> int:
    """GPUs that a node's processes see. Raises NotKnown."""
    gpus = given.of_world().gpus_per_node
    if gpus is None:
        raise NotKnown("gpus")
    named = given.env.get("CUDA_VISIBLE_DEVICES")
    return len([one for one in named.split(",") if one.strip()]) if named else gpus
