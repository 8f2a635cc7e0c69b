"""Which machine is which rank: neighbours in the network are neighbours in rank (docs/decisions/019).

NCCL joins nodes into rings in the order of their ranks and looks at no network beyond a node (NVIDIA/nccl#1340;
aws-ofi-nccl's document on rank mapping). EC2 tells each machine's network nodes, from the widest to the nearest.
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/how-ec2-instance-topology-works.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from infra.cloud import Cloud, translated

#: Machines -> the network nodes above each, the nearest last; those that AWS tells nothing of are left out.
NetworkNodes = Callable[[Sequence[str]], Mapping[str, tuple[str, ...]]]
#: EC2 takes so many ids in one DescribeInstanceTopology.
IDS_A_CALL = 100
#: Of two machines rank 0 is the first, which leaves nothing to order.
FEWEST = 3


def by_neighbourhood(where: Sequence[tuple[str, ...]]) -> list[int]:
    """Machines by number -> their numbers in order of rank. where: the network nodes above each, the nearest last.

    Who shares a network node stands together, on each layer; the groups follow their lowest number, so that number 0,
    the way in, is rank 0. All are left in order where any is unknown.
    """
    if not all(where):
        return list(range(len(where)))
    first: dict[tuple[str, ...], int] = {}
    for number, path in enumerate(where):
        for depth in range(1, len(path) + 1):
            first.setdefault(path[:depth], number)
    return sorted(
        range(len(where)),
        key=lambda number: (*(first[where[number][:depth]] for depth in range(1, len(where[number]) + 1)), number),
    )


def kept(order: Sequence[int], count: int) -> list[int]:
    """An order that was decided before, for so many machines: who is gone is left out, who is new comes last."""
    there = [int(number) for number in order if number < count]
    return [*there, *(number for number in range(count) if number not in there)]


def network_nodes(cloud: Cloud, instance_ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """`NetworkNodes` as AWS tells them. CloudRefused where it can't be asked."""
    found: dict[str, tuple[str, ...]] = {}
    for at in range(0, len(instance_ids), IDS_A_CALL):
        with translated():
            answer = cloud.client("ec2").describe_instance_topology(
                InstanceIds=list(instance_ids[at : at + IDS_A_CALL])
            )
        found |= {one["InstanceId"]: tuple(one.get("NetworkNodes") or ()) for one in answer["Instances"]}
    return found


def nobody_tells(instance_ids: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    return {}
