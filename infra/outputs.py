"""What a stack that is up says of its fleet, typed: the value that crosses from `infra` to `training`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra.errors import CloudRefused


@dataclass(frozen=True)
class NodeOutput:
    """name: "node-003", for good; its number is mostly the rank, which goes by topology (infra/ranks.py)."""

    rank: int
    name: str
    id: str
    private_address: str
    public_address: str
    zone: str
    instance_type: str

    @property
    def number(self) -> int:
        return int(self.name.removeprefix("node-"))


@dataclass(frozen=True)
class Outputs:
    """What a stack that is up says of its fleet. terminates_at: the AWS schedules' "at(...)", UTC.

    ssh_access: "ssh", to a node's address, or "ssm", through Session Manager.
    """

    nodes: tuple[NodeOutput, ...]
    ssh_user: str
    ssh_port: int
    shared_path: str
    vpc_id: str
    file_system_id: str | None
    terminates_at: str
    ssh_access: str = "ssh"


def parse_outputs(values: Mapping[str, Any]) -> Outputs:
    """A stack's outputs, typed. Raises CloudRefused for those of a stack that is no fleet of this version."""
    try:
        return Outputs(
            nodes=tuple(
                NodeOutput(
                    rank=int(one["rank"]),
                    name=one.get("name") or f"node-{int(one['rank']):03d}",
                    id=one["id"],
                    private_address=one["privateAddress"],
                    public_address=one.get("publicAddress") or "",
                    zone=one["zone"],
                    instance_type=one["instanceType"],
                )
                for one in sorted(values["nodes"], key=lambda one: one["rank"])
            ),
            ssh_user=values["ssh"]["user"],
            ssh_port=int(values["ssh"]["port"]),
            ssh_access=values["ssh"].get("access", "ssh"),
            shared_path=values["sharedPath"],
            vpc_id=values["vpcId"],
            file_system_id=values.get("fileSystemId"),
            terminates_at=values["terminatesAt"],
        )
    except (KeyError, TypeError) as error:
        raise CloudRefused(
            f"the stack's outputs lack {error}", do="It was made by another version: pulumi up, then again."
        ) from error
