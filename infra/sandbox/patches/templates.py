"""Launch templates: AWS's refusal of an id that is not there, tags of today, and user data in every version."""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult
from moto.core.types import Base64EncodedString
from moto.ec2.exceptions import InvalidLaunchTemplateIdNotFound
from moto.ec2.models import EC2Backend
from moto.ec2.models.launch_templates import LaunchTemplate
from moto.ec2.responses import EC2Response

from infra.sandbox.patches.hook import replace

_delete = EC2Backend.delete_launch_template
_describe = EC2Backend.describe_launch_templates
_create_version = EC2Response.create_launch_template_version


def install() -> None:
    replace(EC2Backend, "delete_launch_template", delete_launch_template)
    replace(EC2Backend, "describe_launch_templates", describe_launch_templates)
    replace(EC2Response, "create_launch_template_version", create_launch_template_version)
    # moto keeps what the tags were when the template was made.
    replace(LaunchTemplate, "tags", property(lambda self: self.get_tags(), lambda self, first: None))


def delete_launch_template(self: EC2Backend, name: str, tid: str | None) -> LaunchTemplate:
    _check(self, tid)
    return _delete(self, name, tid)


def describe_launch_templates(
    self: EC2Backend, template_names: Any = None, template_ids: Any = None, filters: Any = None
) -> list[LaunchTemplate]:
    for template_id in template_ids or []:
        _check(self, template_id)
    return _describe(self, template_names, template_ids, filters)


def create_launch_template_version(self: EC2Response) -> ActionResult:
    data = self._get_param("LaunchTemplateData") or {}
    if data.get("UserData") and not isinstance(data["UserData"], Base64EncodedString):
        data["UserData"] = Base64EncodedString(data["UserData"])
    return _create_version(self)


def _check(backend: EC2Backend, template_id: str | None) -> None:
    if template_id and template_id not in backend.launch_templates:
        raise InvalidLaunchTemplateIdNotFound(template_id)
