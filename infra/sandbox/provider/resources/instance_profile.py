"""IAM: instance profiles, by which an instance has a role."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.sandbox.provider import tags
from infra.sandbox.provider.resources.identity import GONE, PROPAGATION, Iam
from infra.sandbox.provider.resources.rules import named
from infra.sandbox.provider.schema import (
    Autoname,
    ResourceType,
    text,
)
from infra.sandbox.provider.session import Aws
from infra.sandbox.provider.values import Props
from infra.sandbox.provider.waits import Deadline, or_none, retrying, tolerating


class InstanceProfile(Iam):
    type = ResourceType(
        token="aws:iam/instanceProfile:InstanceProfile",
        inputs={**named(128), "path": text(default="/", force_new=True), "role": text()},
        outputs=("arn", "uniqueId", "createDate"),
        autoname=Autoname("name", longest=128),
        tagged=True,
        regional=False,
    )

    def create(self, aws: Aws, inputs: Props, deadline: Deadline) -> str:
        made = self.client(aws, inputs).create_instance_profile(
            InstanceProfileName=inputs["name"], Path=inputs["path"], Tags=tags.to_aws(inputs["tagsAll"])
        )
        return str(made["InstanceProfile"]["InstanceProfileName"])

    def settle(self, aws: Aws, id: str, inputs: Props, deadline: Deadline) -> None:
        if inputs.get("role"):
            self._add(self.client(aws, inputs), id, inputs["role"], deadline)

    def read(self, aws: Aws, id: str, known: Props) -> Props | None:
        iam = self.client(aws, known)
        answer = or_none(lambda: iam.get_instance_profile(InstanceProfileName=id), GONE)
        if answer is None:
            return None
        profile = answer["InstanceProfile"]
        return {
            "arn": profile["Arn"],
            "name": profile["InstanceProfileName"],
            "path": profile["Path"],
            "uniqueId": profile["InstanceProfileId"],
            "createDate": profile["CreateDate"].strftime("%Y-%m-%dT%H:%M:%SZ"),
            "role": profile["Roles"][0]["RoleName"] if profile.get("Roles") else "",
            "tagsAll": tags.from_aws(profile.get("Tags")),
        }

    def update(self, aws: Aws, id: str, old: Props, new: Props, changed: frozenset[str], deadline: Deadline) -> None:
        if "role" not in changed:
            return
        iam = self.client(aws, new)
        if old.get("role"):
            with tolerating(GONE):
                iam.remove_role_from_instance_profile(InstanceProfileName=id, RoleName=old["role"])
        if new.get("role"):
            self._add(iam, id, new["role"], deadline)

    def delete(self, aws: Aws, id: str, state: Props, deadline: Deadline) -> None:
        iam = self.client(aws, state)
        if state.get("role"):
            with tolerating(GONE):
                iam.remove_role_from_instance_profile(InstanceProfileName=id, RoleName=state["role"])
        with tolerating(GONE):
            iam.delete_instance_profile(InstanceProfileName=id)

    def tag(self, aws: Aws, id: str, state: Props, added: Mapping[str, str], removed: list[str]) -> None:
        iam = self.client(aws, state)
        if removed:
            iam.untag_instance_profile(InstanceProfileName=id, TagKeys=removed)
        if added:
            iam.tag_instance_profile(InstanceProfileName=id, Tags=tags.to_aws(added))

    def _add(self, iam: Any, id: str, role: str, deadline: Deadline) -> None:
        retrying(
            lambda: iam.add_role_to_instance_profile(InstanceProfileName=id, RoleName=role),
            deadline.capped(PROPAGATION),
            GONE,
            saying="The role with name",
        )
