"""A change to a fleet that is up: what it would take from it, as the engine's preview tells, and AWS's no to it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from infra import sweep
from infra.cloud import Cloud
from infra.errors import BadInput, CloudRefused
from infra.outputs import NodeOutput
from infra.place import Attempt, no_room
from infra.quotas import shortage
from infra.session import Change
from infra.settings import StackConfig
from infra.site import where_it_runs

_FILES = ("efs:FileSystem", "fsx:LustreFileSystem")
_WAYS_IN = ("efs:MountTarget", "efs:AccessPoint")
_GOES = ("replace", "delete")


@dataclass(frozen=True)
class Losses:
    """Of nodes their ranks. stopped: for another type, disks kept; files: deleted, cut_off: mounted no more."""

    replaced: tuple[int, ...] = ()
    ended: tuple[int, ...] = ()
    stopped: tuple[int, ...] = ()
    files: bool = False
    cut_off: bool = False

    def __bool__(self) -> bool:
        return self != Losses()

    @property
    def said(self) -> str:
        """ "replace the machines of ranks 0-1 with all that is on their disks, delete the shared files"."""
        disks = " with all that is on {} disks"
        parts = [
            f"replace {_machines(self.replaced, disks)}" if self.replaced else "",
            f"end {_machines(self.ended, disks)}" if self.ended else "",
            f"stop and start {_machines(self.stopped)}" if self.stopped else "",
            "delete the shared files" if self.files else "",
            "cut the nodes off the shared files" if self.cut_off and not (self.files or self.replaced) else "",
        ]
        return ", ".join(filter(None, parts))

    def but(self, ranks: Collection[int]) -> Losses:
        """Without what these ranks lose."""
        return replace(
            self,
            replaced=tuple(rank for rank in self.replaced if rank not in ranks),
            ended=tuple(rank for rank in self.ended if rank not in ranks),
            stopped=tuple(rank for rank in self.stopped if rank not in ranks),
        )

    def refuse(self, stack: str) -> None:
        """BadInput where there are any."""
        if self:
            raise BadInput(
                f"the stack file was changed since its up, which would {self.said}",
                where=f"stack {stack}",
                do=f"fleet up -s {stack} makes the changes and asks first; or undo them.",
            )


def losses(changes: Iterable[Change], nodes: Sequence[NodeOutput]) -> Losses:
    """What a preview's changes take from these nodes. Pure."""
    begun = [one for one in changes if one.state == "started"]
    gone = {one.kind for one in begun if one.op in _GOES}

    def ranks(*ops: str, of: str = "") -> tuple[int, ...]:
        named = {one.name for one in begun if one.kind == "ec2:Instance" and one.op in ops and (not of or of in one.of)}
        return tuple(node.rank for node in nodes if node.name in named)

    return Losses(
        replaced=ranks("replace"),
        ended=ranks("delete"),
        stopped=ranks("update", of="instanceType"),
        files=bool(gone.intersection(_FILES)),
        cut_off=bool(gone.intersection(_WAYS_IN)),
    )


def refused(cloud: Cloud, config: StackConfig, stack: str, error: CloudRefused) -> CloudRefused:
    """Where AWS has no room for the change, in the words for a new fleet; any other error as it is."""
    code = no_room(error.what)
    try:
        alive = list(sweep.live(cloud, stack).values()) if code else []
    except CloudRefused:
        return error
    place = where_it_runs(alive, config)
    if code is None or place is None:
        return error
    missing = config.nodes - sum(node.zone == place.zone for node in alive)
    why = shortage(cloud, config, place.instance_type, missing) if code == "VcpuLimitExceeded" else None
    do = "Ask AWS for more (Service Quotas in the console)" if why else "Try later"
    return CloudRefused(str(Attempt(place, code, why or "")), where=error.where, do=f"{do}, or undo the change.")


def _machines(ranks: Sequence[int], disks: str = "") -> str:
    s, of = ("s", "their") if len(ranks) > 1 else ("", "its")
    return f"the machine{s} of rank{s} {_spans(ranks)}{disks.format(of)}"


def _spans(ranks: Sequence[int]) -> str:
    """0, 1, 2, 5 -> "0-2, 5"."""
    spans: list[list[int]] = []
    for rank in sorted(ranks):
        if spans and rank == spans[-1][-1] + 1:
            spans[-1][1:] = [rank]
        else:
            spans.append([rank])
    return ", ".join("-".join(map(str, one)) for one in spans)
