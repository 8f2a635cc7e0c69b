"""What the sandbox keeps of capacity beside moto, region by region: placement groups, reservations, offered blocks.
Their tags stand among moto's own."""

from __future__ import annotations

from typing import Any

from moto.ec2.models import EC2Backend
from moto.ec2.responses import EC2Response
from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE, EC2_RESOURCE_TO_PREFIX

from infra.sandbox.patches.hook import replace

_do_resources_exist = EC2Backend.do_resources_exist


def install() -> None:
    replace(EC2Backend, "do_resources_exist", do_resources_exist)
    for kind, prefix in (("placement-group", "pg"), ("capacity-reservation", "cr")):
        EC2_RESOURCE_TO_PREFIX[kind], EC2_PREFIX_TO_RESOURCE[prefix] = prefix, kind


def do_resources_exist(self: EC2Backend, resource_ids: list[str]) -> bool:
    """CreateTags asks moto this, which does not know our two kinds."""
    ours = {group["GroupId"] for group in store(self, "groups").values()} | set(store(self, "reservations"))
    return _do_resources_exist(self, [i for i in resource_ids if i not in ours])


def store(backend: Any, kind: str) -> dict[str, dict[str, Any]]:
    if not hasattr(backend, "sandbox_capacity"):
        backend.sandbox_capacity = {"groups": {}, "reservations": {}, "offerings": {}}
    return backend.sandbox_capacity[kind]  # type: ignore[no-any-return]


def tag(response: EC2Response, resource_id: str, kind: str) -> None:
    if tags := response._parse_tag_specification().get(kind):
        response.ec2_backend.create_tags([resource_id], tags)


def tagged(response: EC2Response, item: dict[str, Any], resource_id: str) -> dict[str, Any]:
    tags = response.ec2_backend.tags.get(resource_id, {})
    shown = {key: value for key, value in item.items() if value is not None}
    return shown | {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}


def filtered(response: EC2Response, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    filters = response._filters_from_querystring()
    return [item for item in items if all(_passes(item, name, values) for name, values in filters.items())]


def _passes(item: dict[str, Any], name: str, values: Any) -> bool:
    tags = {tag["Key"]: tag["Value"] for tag in item["Tags"]}
    if name.startswith("tag:"):
        return tags.get(name.removeprefix("tag:")) in values
    if name == "tag-key":
        return any(key in values for key in tags)
    # `group-name` is GroupName, `instance-type` InstanceType
    return str(item.get("".join(word.capitalize() for word in name.split("-")))) in values
