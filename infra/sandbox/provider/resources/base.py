"""What every resource type gives the server: its schema and five verbs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from infra.sandbox.provider.schema import ResourceType
from infra.sandbox.provider.session import Aws
from infra.sandbox.provider.values import Props
from infra.sandbox.provider.waits import Deadline


class Resource(ABC):
    """One type. Inputs and states are dicts in the program's own names (camelCase)."""

    type: ClassVar[ResourceType]
    service: ClassVar[str] = "ec2"

    def client(self, aws: Aws, props: Props) -> Any:
        return aws.client(self.service, str(props.get("region") or ""))

    @abstractmethod
    def create(self, aws: Aws, inputs: Props, deadline: Deadline) -> str:
        """Makes it and gives its id: nothing before the id may leave something behind."""

    def settle(self, aws: Aws, id: str, inputs: Props, deadline: Deadline) -> None:  # noqa: B027 (optional)
        """What follows once the id is known. A failure here leaves a recorded, half-made resource."""

    @abstractmethod
    def read(self, aws: Aws, id: str, known: Props) -> Props | None:
        """All that AWS tells of it, with AWS's tags under `tagsAll`; None when it is gone. `known`: the last state."""

    def update(  # noqa: B027 (optional)
        self, aws: Aws, id: str, old: Props, new: Props, changed: frozenset[str], deadline: Deadline
    ) -> None:
        """Changes it in place; tags are done already."""

    @abstractmethod
    def delete(self, aws: Aws, id: str, state: Props, deadline: Deadline) -> None:
        """Deletes it and waits until it is gone; success when it is gone already."""

    def tag(self, aws: Aws, id: str, state: Props, added: Mapping[str, str], removed: list[str]) -> None:
        """Sets and removes tags. EC2's way; other services have their own."""
        client, resource = self.client(aws, state), self.tagged_id(id, state)
        if removed:
            client.delete_tags(Resources=[resource], Tags=[{"Key": key} for key in removed])
        if added:
            client.create_tags(Resources=[resource], Tags=[{"Key": k, "Value": v} for k, v in added.items()])

    def tagged_id(self, id: str, state: Props) -> str:
        return id

    def replaces(self, aws: Aws, old: Props, new: Props, changed: frozenset[str]) -> set[str]:
        """Changed inputs that replace only under a condition on the values."""
        return set()

    def recomputed(self, old: Props, new: Props, changed: frozenset[str]) -> tuple[str, ...]:
        """Outputs that an update in place changes, so that a preview shows them as unknown."""
        return ()

    def known_from_import(self, id: str) -> Props:
        """What an import id itself says, for types whose read needs more than AWS's id."""
        return {}
