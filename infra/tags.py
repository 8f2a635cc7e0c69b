"""The tags by which what is ours is found again, whatever any state file says."""

from __future__ import annotations

#: Whose it is: the stack's name.
STACK_TAG = "swift-fleet:stack"
#: Of what AWS keeps for the whole account (roles): in which region its stack is.
REGION_TAG = "swift-fleet:region"
#: Of a file system that outlives its stack (`retain: true`): neither `fleet down` nor a sweep ends it.
KEPT_TAG = "swift-fleet:kept"
