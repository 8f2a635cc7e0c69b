"""IAM: roles and their policies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from infra.sandbox.provider import tags
from infra.sandbox.provider.resources.base import Resource
from infra.sandbox.provider.resources.rules import arn, named
from infra.sandbox.provider.schema import (
    Autoname,
    ResourceType,
    blocks,
    document,
    flag,
    integer,
    names,
    text,
)
from infra.sandbox.provider.session import Aws
from infra.sandbox.provider.values import Props
from infra.sandbox.provider.waits import Deadline, or_none, retrying, tolerating, until

GONE = "NoSuchEntity"
# IAM is eventually consistent; the published provider gives it two minutes everywhere.
PROPAGATION = 120


def _text(policy: Any) -> str:
    """A policy document as text: boto3 may have parsed it, or left it URL-encoded."""
    return unquote(policy) if isinstance(policy, str) else json.dumps(policy)


class Iam(Resource):
    service = "iam"


class Role(Iam):
    type = ResourceType(
        token="aws:iam/role:Role",
        inputs={
            "assumeRolePolicy": document(required=True),
            **named(64),
            "path": text(default="/", force_new=True, length=(0, 512)),
            "description": text(length=(0, 1000)),
            "maxSessionDuration": integer(default=3600, bounds=(3600, 43200)),
            "permissionsBoundary": text(check=arn),
            "forceDetachPolicies": flag(default=False, read_back=False),
            "inlinePolicies": blocks({"name": text(), "policy": document()}, computed=True),
            "managedPolicyArns": names(computed=True),
        },
        outputs=("arn", "uniqueId", "createDate"),
        autoname=Autoname("name", longest=64),
        tagged=True,
        regional=False,
    )

    def create(self, aws: Aws, inputs: Props, deadline: Deadline) -> str:
        iam = self.client(aws, inputs)
        sent = {
            "Description": inputs.get("description"),
            "PermissionsBoundary": inputs.get("permissionsBoundary"),
            "Tags": tags.to_aws(inputs["tagsAll"]),
        }
        made = retrying(
            lambda: iam.create_role(
                RoleName=inputs["name"],
                Path=inputs["path"],
                AssumeRolePolicyDocument=inputs["assumeRolePolicy"],
                MaxSessionDuration=inputs["maxSessionDuration"],
                **{key: value for key, value in sent.items() if value},
            ),
            deadline.capped(PROPAGATION),
            "MalformedPolicyDocument",
            saying="Invalid principal in policy",
        )
        return str(made["Role"]["RoleName"])

    def settle(self, aws: Aws, id: str, inputs: Props, deadline: Deadline) -> None:
        iam = self.client(aws, inputs)
        for policy in inputs.get("inlinePolicies") or []:
            iam.put_role_policy(RoleName=id, PolicyName=policy["name"], PolicyDocument=policy["policy"])
        for policy_arn in inputs.get("managedPolicyArns") or []:
            iam.attach_role_policy(RoleName=id, PolicyArn=policy_arn)

    def read(self, aws: Aws, id: str, known: Props) -> Props | None:
        iam = self.client(aws, known)
        answer = or_none(lambda: iam.get_role(RoleName=id), GONE)
        if answer is None:
            return None
        role = answer["Role"]
        return {
            "arn": role["Arn"],
            "name": role["RoleName"],
            "path": role["Path"],
            "uniqueId": role["RoleId"],
            "createDate": role["CreateDate"].strftime("%Y-%m-%dT%H:%M:%SZ"),
            "description": role.get("Description") or "",
            "maxSessionDuration": role.get("MaxSessionDuration", 3600),
            "permissionsBoundary": (role.get("PermissionsBoundary") or {}).get("PermissionsBoundaryArn", ""),
            "assumeRolePolicy": _text(role["AssumeRolePolicyDocument"]),
            "inlinePolicies": [
                {"name": name, "policy": _text(_inline(iam, id, name) or "{}")} for name in _inline_names(iam, id)
            ],
            "managedPolicyArns": _attached(iam, id),
            "tagsAll": tags.from_aws(role.get("Tags")),
        }

    def update(self, aws: Aws, id: str, old: Props, new: Props, changed: frozenset[str], deadline: Deadline) -> None:
        iam = self.client(aws, new)
        if "assumeRolePolicy" in changed:
            iam.update_assume_role_policy(RoleName=id, PolicyDocument=new["assumeRolePolicy"])
        if "description" in changed:
            iam.update_role_description(RoleName=id, Description=new.get("description", ""))
        if "maxSessionDuration" in changed:
            iam.update_role(RoleName=id, MaxSessionDuration=new["maxSessionDuration"])
        if "permissionsBoundary" in changed:
            if new.get("permissionsBoundary"):
                iam.put_role_permissions_boundary(RoleName=id, PermissionsBoundary=new["permissionsBoundary"])
            else:
                iam.delete_role_permissions_boundary(RoleName=id)
        if "inlinePolicies" in changed:
            wanted = {each["name"]: each["policy"] for each in new.get("inlinePolicies") or []}
            for name in set(_inline_names(iam, id)) - wanted.keys():
                iam.delete_role_policy(RoleName=id, PolicyName=name)
            for name, policy in wanted.items():
                iam.put_role_policy(RoleName=id, PolicyName=name, PolicyDocument=policy)
        if "managedPolicyArns" in changed:
            before, after = set(_attached(iam, id)), set(new.get("managedPolicyArns") or [])
            for policy_arn in before - after:
                iam.detach_role_policy(RoleName=id, PolicyArn=policy_arn)
            for policy_arn in after - before:
                iam.attach_role_policy(RoleName=id, PolicyArn=policy_arn)

    def delete(self, aws: Aws, id: str, state: Props, deadline: Deadline) -> None:
        iam = self.client(aws, state)
        with tolerating(GONE):
            for profile in iam.list_instance_profiles_for_role(RoleName=id)["InstanceProfiles"]:
                iam.remove_role_from_instance_profile(InstanceProfileName=profile["InstanceProfileName"], RoleName=id)
            if state.get("forceDetachPolicies"):
                for policy_arn in _attached(iam, id):
                    iam.detach_role_policy(RoleName=id, PolicyArn=policy_arn)
                for name in _inline_names(iam, id):
                    iam.delete_role_policy(RoleName=id, PolicyName=name)
            retrying(lambda: iam.delete_role(RoleName=id), deadline.capped(PROPAGATION), "DeleteConflict")

    def tag(self, aws: Aws, id: str, state: Props, added: Mapping[str, str], removed: list[str]) -> None:
        iam = self.client(aws, state)
        if removed:
            iam.untag_role(RoleName=id, TagKeys=removed)
        if added:
            iam.tag_role(RoleName=id, Tags=tags.to_aws(added))


def _inline_names(iam: Any, role: str) -> list[str]:
    return sorted(iam.get_paginator("list_role_policies").paginate(RoleName=role).search("PolicyNames[]"))


def _inline(iam: Any, role: str, name: str) -> Any:
    answer = or_none(lambda: iam.get_role_policy(RoleName=role, PolicyName=name), GONE)
    return answer["PolicyDocument"] if answer else None


def _attached(iam: Any, role: str) -> list[str]:
    pages = iam.get_paginator("list_attached_role_policies").paginate(RoleName=role)
    return sorted(pages.search("AttachedPolicies[].PolicyArn"))


class RolePolicy(Iam):
    type = ResourceType(
        token="aws:iam/rolePolicy:RolePolicy",
        inputs={"role": text(required=True, force_new=True), **named(128), "policy": document(required=True)},
        autoname=Autoname("name", longest=128),
        regional=False,
    )

    def create(self, aws: Aws, inputs: Props, deadline: Deadline) -> str:
        self._put(aws, inputs)
        return f"{inputs['role']}:{inputs['name']}"

    def settle(self, aws: Aws, id: str, inputs: Props, deadline: Deadline) -> None:
        iam = self.client(aws, inputs)
        until(lambda: _inline(iam, inputs["role"], inputs["name"]), deadline.capped(PROPAGATION), f"{id} to exist")

    def read(self, aws: Aws, id: str, known: Props) -> Props | None:
        role, _, name = id.partition(":")
        policy = _inline(self.client(aws, known), role, name)
        return {"role": role, "name": name, "policy": _text(policy)} if policy else None

    def update(self, aws: Aws, id: str, old: Props, new: Props, changed: frozenset[str], deadline: Deadline) -> None:
        self._put(aws, new)

    def delete(self, aws: Aws, id: str, state: Props, deadline: Deadline) -> None:
        role, _, name = id.partition(":")
        with tolerating(GONE):
            self.client(aws, state).delete_role_policy(RoleName=role, PolicyName=name)

    def _put(self, aws: Aws, inputs: Props) -> None:
        self.client(aws, inputs).put_role_policy(
            RoleName=inputs["role"], PolicyName=inputs["name"], PolicyDocument=inputs["policy"]
        )


class RolePolicyAttachment(Iam):
    type = ResourceType(
        token="aws:iam/rolePolicyAttachment:RolePolicyAttachment",
        inputs={
            "role": text(required=True, force_new=True),
            "policyArn": text(required=True, force_new=True, check=arn),
        },
        delete_before_replace=True,
        regional=False,
    )

    def create(self, aws: Aws, inputs: Props, deadline: Deadline) -> str:
        iam = self.client(aws, inputs)
        retrying(
            lambda: iam.attach_role_policy(RoleName=inputs["role"], PolicyArn=inputs["policyArn"]),
            deadline.capped(PROPAGATION),
            "ConcurrentModification",
        )
        return f"{inputs['role']}/{inputs['policyArn']}"

    def read(self, aws: Aws, id: str, known: Props) -> Props | None:
        role, _, policy_arn = id.partition("/")
        iam = self.client(aws, known)
        found = or_none(lambda: _attached(iam, role), GONE) or []
        return {"role": role, "policyArn": policy_arn} if policy_arn in found else None

    def delete(self, aws: Aws, id: str, state: Props, deadline: Deadline) -> None:
        role, _, policy_arn = id.partition("/")
        iam = self.client(aws, state)
        with tolerating(GONE):
            retrying(
                lambda: iam.detach_role_policy(RoleName=role, PolicyArn=policy_arn),
                deadline.capped(PROPAGATION),
                "ConcurrentModification",
            )
