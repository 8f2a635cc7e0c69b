"""What of a stack exists in the cloud, whatever the state file says: found by tag or name, and ended.

It closes the hole that an interrupted `up` leaves (created, never recorded), and it is the proof of a teardown:
each question that was asked, and what AWS answered.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from infra.cloud import Cloud, translated
from infra.kinds import MACHINES, SCHEDULES, Kind, Node, Thing, end_nodes, nodes
from infra.kinds_access import ACCESS
from infra.kinds_files import FILES
from infra.kinds_network import NETWORK
from infra.tags import STACK_TAG

#: In the order in which they can go: what costs most first, and each after what depends on it.
KINDS: tuple[Kind, ...] = (*MACHINES, *FILES, *NETWORK, *ACCESS)


@dataclass(frozen=True)
class Answer:
    """One question to the cloud and its answer: `asked` "DescribeVpcs tag:swift-fleet:stack=dev" -> `found`.

    kept: what is there on purpose, and bills (`retain: true`).
    """

    asked: str
    found: tuple[Thing, ...]
    kept: tuple[Thing, ...] = ()


@dataclass(frozen=True)
class Teardown:
    """What a destroy did: swept = what no state file knew; left = what is still there (nothing, if all is well)."""

    resources: int
    swept: tuple[Thing, ...]
    answers: tuple[Answer, ...]

    @property
    def left(self) -> list[Thing]:
        return [thing for answer in self.answers for thing in answer.found]

    @property
    def kept(self) -> list[Thing]:
        """What outlives the stack on purpose, and bills."""
        return [thing for answer in self.answers for thing in answer.kept]

    @property
    def exception(self) -> str:
        """To "nothing is left": " but file system fs-1, which bills", mostly ""."""
        return "".join(f" but {thing.kind} {thing.id}, which bills" for thing in self.kept)


def live(cloud: Cloud, stack: str) -> dict[str, Node]:
    """The stack's machines that bill, by id. Raises CloudRefused where AWS can't be asked."""
    with cloud.asked():
        return {one.id: one for one in nodes(cloud, stack)}


def terminate(cloud: Cloud, ids: list[str]) -> None:
    """Asks AWS to terminate, and doesn't wait."""
    with translated():
        cloud.client("ec2").terminate_instances(InstanceIds=ids)


def fence(cloud: Cloud, ids: list[str]) -> None:
    """As `terminate`, and waits until AWS says that they are: from here on they can do nothing any more."""
    with translated():
        end_nodes(cloud, ids)


def why_ended(cloud: Cloud, instance_id: str) -> str:
    """Of a machine that runs no more AWS's reason ("Server.SpotInstanceTermination: Spot instance termination"), which
    it tells for about an hour; "" of one that runs."""
    with translated():
        answer = cloud.client("ec2").describe_instances(Filters=[{"Name": "instance-id", "Values": [instance_id]}])
    found = [one for group in answer["Reservations"] for one in group["Instances"]]
    if found and found[0]["State"]["Name"] in ("pending", "running"):
        return ""
    reason = found[0].get("StateReason", {}) if found else {"Message": "AWS does not know it any more"}
    return str(reason.get("Message") or found[0]["State"]["Name"])


def end_schedules(cloud: Cloud, stack: str) -> None:
    """Takes the AWS schedules away, where there are any."""
    with translated():
        SCHEDULES.end(cloud, list(SCHEDULES.find(cloud, stack)))


def look(cloud: Cloud, stack: str, kinds: Sequence[Kind] = KINDS) -> list[Answer]:
    """Everything of the stack that still exists, question by question. Raises CloudRefused where it can't look:
    a question that was not answered is no proof."""
    with translated():
        return [_answer(question(kind, stack), tuple(kind.find(cloud, stack))) for kind in kinds]


def _answer(asked: str, things: tuple[Thing, ...]) -> Answer:
    return Answer(asked, tuple(one for one in things if not one.kept), tuple(one for one in things if one.kept))


def end(
    cloud: Cloud,
    stack: str,
    say: Callable[[Thing], None] = lambda thing: None,
    kinds: Sequence[Kind] = KINDS,
    only: Collection[str] | None = None,
) -> list[Thing]:
    """Ends whatever `look` finds but what is kept: instances first since they cost most, each kind after what depends
    on it. only: the ids of what may be ended, where that is not all."""
    ended = []
    with translated():
        for kind in kinds:
            found = [one for one in kind.find(cloud, stack) if not one.kept and (only is None or one.id in only)]
            for thing in found:
                say(thing)
            if found:
                kind.end(cloud, found)
                ended += found
    return ended


def question(kind: Kind, stack: str) -> str:
    return kind.asked.format(tag=f"tag:{STACK_TAG}={stack}", stack=stack)
