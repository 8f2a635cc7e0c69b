"""Session Manager's StartSession, as far as SSH needs it; moto has none. The answer leads to the host itself.

https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_StartSession.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from moto.core.exceptions import JsonRESTError
from moto.core.responses import ActionResult, EmptyResult
from moto.ec2.models import ec2_backends
from moto.iam.models import iam_backends
from moto.moto_api._internal import mock_random
from moto.ssm.responses import SimpleSystemManagerResponse

from infra.sandbox.patches import instances
from infra.sandbox.patches.hook import replace
from infra.sandbox.rights import allows

DOCUMENT = "AWS-StartSSHSession"
#: Without these the agent never appears in Systems Manager, or can carry nothing.
AGENT = (
    "ssm:UpdateInstanceInformation",
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
)


def install() -> None:
    replace(SimpleSystemManagerResponse, "start_session", start_session)
    replace(SimpleSystemManagerResponse, "terminate_session", terminate_session)


def start_session(self: SimpleSystemManagerResponse) -> ActionResult:
    target, document = self._get_param("Target"), self._get_param("DocumentName")
    if document != DOCUMENT:
        raise JsonRESTError("InvalidDocument", f"The sandbox has no session document {document}; it has {DOCUMENT}.")
    port = (self._get_param("Parameters") or {}).get("portNumber", ["22"])[0]
    instance = instances.find(target)
    known = instance is not None and instance.state == "running" and not instances.is_dead(target)
    documents = list(_policies(self.current_account, self.region, target)) if known else []
    if instance is None or not all(allows(documents, right, {}) for right in AGENT):
        raise JsonRESTError("TargetNotConnected", f"{target} is not connected.")
    session = {
        "SessionId": f"sandbox-{mock_random.get_random_hex(17)}",
        "TokenValue": mock_random.get_random_hex(32),
        "StreamUrl": f"tcp://{instance.private_ip}:{port}",
    }
    return ActionResult(session)


def terminate_session(self: SimpleSystemManagerResponse) -> ActionResult:
    return EmptyResult()


def _policies(account: str, region: str, instance_id: str) -> Iterator[str]:
    """What the roles of an instance's profile say they may."""
    associations = ec2_backends[account][region].iam_instance_profile_associations.values()
    names = {one.iam_instance_profile.name for one in associations if one.instance.id == instance_id}
    for name in names:
        for role in iam_backends[account]["aws"].get_instance_profile(name).roles:
            for text in role.policies.values():
                yield text if isinstance(text, str) else json.dumps(text)
            for policy in role.managed_policies.values():
                yield from (version.document for version in policy.versions if version.is_default_version)
