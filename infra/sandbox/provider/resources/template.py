"""Launch templates: terraform-provider-aws ec2_launch_template.go."""

from __future__ import annotations

import uuid
from typing import Any

from infra.sandbox.provider import tags
from infra.sandbox.provider.resources.base import Resource
from infra.sandbox.provider.resources.template_type import CONTENT, TYPE, true_or_false
from infra.sandbox.provider.schema import Field, Kind
from infra.sandbox.provider.session import Aws
from infra.sandbox.provider.values import Props, is_zero
from infra.sandbox.provider.waits import Deadline, or_none, tolerating

GONE = (
    "InvalidLaunchTemplateId.NotFound",
    "InvalidLaunchTemplateId.Malformed",
    "InvalidLaunchTemplateName.NotFoundException",
)
# A change of these alone shows no new version in a preview; one of the description makes one all the same.
QUIET = {"name", "namePrefix", "description", "defaultVersion", "updateDefaultVersion"}
# Fields whose name in the API is not their own with a capital.
API_NAMES = {
    "ipv4AddressCount": "SecondaryPrivateIpAddressCount",
    "ipv4Addresses": "PrivateIpAddresses",
    "securityGroupNames": "SecurityGroups",
    "securityGroups": "Groups",
    "vpcSecurityGroupIds": "SecurityGroupIds",
}


class LaunchTemplate(Resource):
    type = TYPE

    def create(self, aws: Aws, inputs: Props, deadline: Deadline) -> str:
        made = self.client(aws, inputs).create_launch_template(
            LaunchTemplateName=inputs.get("name") or f"{inputs['namePrefix']}{uuid.uuid4().hex[:26]}",
            ClientToken=str(uuid.uuid4()),
            LaunchTemplateData=_content(inputs),
            TagSpecifications=tags.specification("launch-template", inputs["tagsAll"]),
            **_described(inputs),
        )
        return str(made["LaunchTemplate"]["LaunchTemplateId"])

    def read(self, aws: Aws, id: str, known: Props) -> Props | None:
        ec2 = self.client(aws, known)
        answer = or_none(lambda: ec2.describe_launch_templates(LaunchTemplateIds=[id]), *GONE)
        found = (answer or {}).get("LaunchTemplates", [])
        if not found:
            return None
        latest = found[0]["LatestVersionNumber"]
        version = ec2.describe_launch_template_versions(LaunchTemplateId=id, Versions=[str(latest)])
        [told] = version["LaunchTemplateVersions"]
        return {
            "arn": aws.arn("ec2", f"launch-template/{id}", known.get("region", "")),
            "name": found[0]["LaunchTemplateName"],
            "description": told.get("VersionDescription") or "",
            "defaultVersion": found[0]["DefaultVersionNumber"],
            "latestVersion": latest,
            "maintenanceOptions": known.get("maintenanceOptions"),
            **_read(CONTENT, told["LaunchTemplateData"]),
            "tagsAll": tags.from_aws(found[0].get("Tags")),
        }

    def update(self, aws: Aws, id: str, old: Props, new: Props, changed: frozenset[str], deadline: Deadline) -> None:
        ec2 = self.client(aws, new)
        latest = old["latestVersion"]
        if changed & {"description", *CONTENT}:
            # The whole content and no source version: what the program has dropped really goes.
            made = ec2.create_launch_template_version(
                LaunchTemplateId=id,
                ClientToken=str(uuid.uuid4()),
                LaunchTemplateData=_content(new),
                **_described(new),
            )
            latest = made["LaunchTemplateVersion"]["VersionNumber"]
        default = latest if new.get("updateDefaultVersion") else new.get("defaultVersion")
        if default and default != old.get("defaultVersion"):
            ec2.modify_launch_template(LaunchTemplateId=id, DefaultVersion=str(default))

    def delete(self, aws: Aws, id: str, state: Props, deadline: Deadline) -> None:
        with tolerating(GONE[0]):
            self.client(aws, state).delete_launch_template(LaunchTemplateId=id)

    def recomputed(self, old: Props, new: Props, changed: frozenset[str]) -> tuple[str, ...]:
        latest = ("latestVersion",) if changed - QUIET else ()
        return (*latest, *(("defaultVersion",) if new.get("updateDefaultVersion") else ()))


def _described(inputs: Props) -> Props:
    return {"VersionDescription": inputs["description"]} if inputs.get("description") else {}


def _content(inputs: Props) -> dict[str, Any]:
    """LaunchTemplateData. Zero values are not sent, but for an interface's device index."""
    rules = {**CONTENT, "maintenanceOptions": TYPE.inputs["maintenanceOptions"]}
    return _sent(rules, inputs)


def _sent(rules: Any, said: Props) -> dict[str, Any]:
    made = {}
    for key, rule in rules.items():
        value = said.get(key, 0) if key == "deviceIndex" else said.get(key)
        if not is_zero(value) or key == "deviceIndex":
            made[_api_name(key)] = _to_api(key, rule, value)
    return made


def _to_api(key: str, rule: Field, value: Any) -> Any:
    if rule.kind is Kind.OBJECT:
        return _sent(rule.fields, value)
    if rule.kind is Kind.OBJECTS:
        return [_sent(rule.fields, each) for each in value]
    if rule.kind is Kind.MAP:
        return tags.to_aws(value)
    if key == "ipv4Addresses":
        return [{"PrivateIpAddress": each, "Primary": at == 0} for at, each in enumerate(value)]
    return value == "true" if rule.check is true_or_false else value


def _read(rules: Any, told: Any) -> Props:
    """The program's names and shapes for what AWS keeps of a version; what it does not tell is left out."""
    made = {}
    for key, rule in rules.items():
        value = told.get(_api_name(key))
        if value is not None:
            made[key] = _from_api(key, rule, value)
    return made


def _from_api(key: str, rule: Field, value: Any) -> Any:
    if rule.kind is Kind.OBJECT:
        return _read(rule.fields, value)
    if rule.kind is Kind.OBJECTS:
        # The template's own tags stand among the specifications in moto.
        return [_read(rule.fields, each) for each in value if each.get("ResourceType") != "launch-template"]
    if rule.kind is Kind.MAP:
        return tags.from_aws(value)
    if key == "ipv4Addresses":
        return [each["PrivateIpAddress"] for each in value]
    return str(value).lower() if rule.check is true_or_false else value


def _api_name(key: str) -> str:
    return API_NAMES.get(key, key[0].upper() + key[1:])
