"""Tags of a resource and of the provider, and how AWS's answer is split between them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from infra.sandbox.provider.values import UNKNOWN, Props, has_unknown

Tags = dict[str, str]


def tags_all(own: object, defaults: Mapping[str, str]) -> Tags | str:
    """What is sent: the provider's defaultTags under the resource's own; unknown as a whole if any part is."""
    if has_unknown(own) or has_unknown(dict(defaults)):
        return UNKNOWN
    return {**defaults, **(own if isinstance(own, dict) else {})}


def split(found: Mapping[str, str], defaults: Mapping[str, str], declared: object) -> Props:
    """AWS's tags as `tags` and `tagsAll`. AWS's own (aws:...) are no one's; a default is own only if declared so."""
    every = {key: value for key, value in found.items() if not key.startswith("aws:")}
    said = declared if isinstance(declared, dict) else {}
    own = {key: value for key, value in every.items() if key in said or defaults.get(key) != value}
    return {"tags": own, "tagsAll": every}


def changes(old: Mapping[str, str], new: Mapping[str, str]) -> tuple[Tags, list[str]]:
    """What to set, and which keys to remove."""
    return {k: v for k, v in new.items() if old.get(k) != v}, [key for key in old if key not in new]


def from_aws(items: Iterable[Mapping[str, str]] | None) -> Tags:
    return {item["Key"]: item.get("Value", "") for item in items or []}


def to_aws(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def specification(kind: str, tags: Mapping[str, str]) -> list[dict[str, object]]:
    """EC2's TagSpecifications; empty when there is nothing to tag, for EC2 refuses an empty one."""
    return [{"ResourceType": kind, "Tags": to_aws(tags)}] if tags else []
