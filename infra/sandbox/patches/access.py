"""IAM: the calls that moto lacks."""

from __future__ import annotations

from moto.core.responses import ActionResult
from moto.iam.responses import IamResponse

from infra.sandbox.patches.hook import replace


def install() -> None:
    replace(IamResponse, "list_instance_profile_tags", list_instance_profile_tags)


def list_instance_profile_tags(self: IamResponse) -> ActionResult:
    profile = self.backend.get_instance_profile(self._get_param("InstanceProfileName"))
    return ActionResult({"Tags": profile.tags or [], "IsTruncated": False})
