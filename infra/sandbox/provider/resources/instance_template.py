"""An instance and the launch template that it came from: ec2_instance.go's rules for the version."""

from __future__ import annotations

from typing import Any

from infra.sandbox.provider import tags
from infra.sandbox.provider.resources.instance_launch import template as named
from infra.sandbox.provider.values import Props, has_unknown
from infra.sandbox.provider.waits import or_none

# AWS puts these on each instance that a template made.
ID_TAG, VERSION_TAG = "aws:ec2launchtemplate:id", "aws:ec2launchtemplate:version"
GONE = ("InvalidLaunchTemplateId.NotFound", "InvalidLaunchTemplateId.Malformed")


def content(ec2: Any, said: Props | None) -> dict[str, Any]:
    """LaunchTemplateData of the version that the program names; empty without a template."""
    wanted = named(said)
    if not wanted:
        return {}
    version = wanted.pop("Version")
    [found] = ec2.describe_launch_template_versions(**wanted, Versions=[version])["LaunchTemplateVersions"]
    return dict(found["LaunchTemplateData"])


def replaces(ec2: Any, old: Props, new: Props) -> bool:
    """Whether a changed `launchTemplate` means another machine: added or removed, or a version that is not the
    instance's own. A version that is not known yet is another one."""
    before, after = old.get("launchTemplate"), new.get("launchTemplate")
    if not before or not after:
        return True
    wanted, own = str(after.get("version")), _own(ec2, old["arn"].rpartition("/")[2])
    if has_unknown(wanted) or not own:
        return True
    template = _described(ec2, own[ID_TAG])
    aliases = {"$Default": "DefaultVersionNumber", "$Latest": "LatestVersionNumber"}
    if template and wanted in aliases:
        wanted = str(template[aliases[wanted]])
    return wanted != own[VERSION_TAG]


def read(ec2: Any, instance: Any, known: Props | None) -> Props | None:
    """`$Default` and `$Latest` stay while they mean the instance's own version; else its number is read."""
    own = tags.from_aws(instance.get("Tags"))
    if ID_TAG not in own:
        return None
    template = _described(ec2, own[ID_TAG])
    if template is None:
        return None
    wanted, version = (known or {}).get("version"), own[VERSION_TAG]
    aliases = {"$Default": template["DefaultVersionNumber"], "$Latest": template["LatestVersionNumber"]}
    kept = wanted if wanted in aliases and str(aliases[wanted]) == version else version
    return {"id": own[ID_TAG], "name": template["LaunchTemplateName"], "version": kept}


def _own(ec2: Any, instance_id: str) -> dict[str, str]:
    mine = [{"Name": "resource-id", "Values": [instance_id]}]
    found = tags.from_aws(ec2.describe_tags(Filters=mine)["Tags"])
    return found if ID_TAG in found and VERSION_TAG in found else {}


def _described(ec2: Any, id: str) -> Any:
    answer = or_none(lambda: ec2.describe_launch_templates(LaunchTemplateIds=[id]), *GONE)
    found = (answer or {}).get("LaunchTemplates", [])
    return found[0] if found else None
