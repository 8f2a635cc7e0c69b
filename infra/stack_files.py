"""`stacks/Pulumi.<stack>.yaml` on the disk: which there are, what one says, another number of nodes in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infra.errors import BadInput
from infra.settings import PREFIX, StackConfig
from infra.written import nearest, read_yaml, validate


def stack_file(root: Path, stack: str) -> Path:
    return root / "stacks" / f"Pulumi.{stack}.yaml"


def known_stacks(root: Path) -> list[str]:
    return sorted(p.name.split(".")[1] for p in (root / "stacks").glob("Pulumi.*.yaml"))


def write_nodes(root: Path, stack: str, nodes: int) -> None:
    """The stack file with another number of nodes, and nothing else changed."""
    file = stack_file(root, stack)
    _, lines = read_yaml(file)
    text = file.read_text(encoding="utf-8").splitlines(keepends=True)
    if at := lines.get(f"config.{PREFIX}nodes"):
        text[at - 1] = re.sub(r"(nodes:\s*)[^\s#]+", rf'\g<1>"{nodes}"', text[at - 1])
    else:
        at = lines[f"config.{PREFIX}instanceType"]
        indent = text[at - 1][: len(text[at - 1]) - len(text[at - 1].lstrip())]
        text.insert(at - 1, f'{indent}{PREFIX}nodes: "{nodes}"\n')
    file.write_text("".join(text), encoding="utf-8")


def load_stack(root: Path, stack: str) -> tuple[StackConfig, dict[str, Any]]:
    """A stack's fleet, and the rest of its file's configuration (`aws:region`, ...), by full key."""
    file = stack_file(root, stack)
    if not file.exists():
        known = known_stacks(root)
        guess = nearest(stack, known)
        hint = f"Did you mean {guess}?" if guess else f"There are: {', '.join(known) or 'none'}."
        raise BadInput(f"there is no stack {stack}", where=str(file), do=hint)
    data, lines = read_yaml(file)
    config = data.get("config") or {}
    if not isinstance(config, dict):
        raise BadInput("`config:` is not a mapping of keys to values", where=str(file), do="Correct it.")
    ours = {k.removeprefix(PREFIX): v for k, v in config.items() if str(k).startswith(PREFIX)}
    lines = {k.removeprefix("config."): v for k, v in lines.items()}
    settings = validate(StackConfig, ours, file=file, lines=lines, prefix=PREFIX)
    _zones_are_there(settings, str(config.get("aws:region") or ""), file, lines)
    return settings, {k: v for k, v in config.items() if not str(k).startswith(PREFIX)}


def _zones_are_there(config: StackConfig, region: str, file: Path, lines: Mapping[str, int]) -> None:
    """A zone's name begins with its region's, a local or wavelength zone's too (us-east-1-bos-1a)."""
    for key, zone in [("zone", config.zone), *(("candidates", zone) for zone in config.candidates.zones)]:
        if region and zone and not re.match(rf"{re.escape(region)}[-a-z]", zone):
            line = lines.get(PREFIX + key)
            raise BadInput(
                f"{PREFIX}{key}: {zone} is no zone of aws:region {region}",
                where=f"{file}:{line}" if line else str(file),
                do=f"Name one of its own, such as {region}a, or leave it out.",
            )
