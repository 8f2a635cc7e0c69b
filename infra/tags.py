"""The tags and names by which what is ours is found again, whatever any state file says."""

from __future__ import annotations

import re

#: Whose it is: the stack's name.
STACK_TAG = "swift-fleet:stack"
#: Of what AWS keeps for the whole account (roles): in which region its stack is.
REGION_TAG = "swift-fleet:region"
#: Of a file system that outlives its stack (`retain: true`): neither `fleet down` nor a sweep ends it.
KEPT_TAG = "swift-fleet:kept"


def node_prefix(stack: str) -> str:
    """Begins the name of all that is of one node and can be asked for by name alone: its schedule, its alarm."""
    return f"swift-fleet-{stack}-node-"


def stack_named(name: str, what: str) -> str | None:
    """The stack in such a name that ends in `what` ("end", "idle"); None for one that isn't ours."""
    found = re.fullmatch(rf"swift-fleet-(.+)-node-\d+-{what}", name)
    return found.group(1) if found else None
