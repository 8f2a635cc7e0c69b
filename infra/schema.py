"""What the models say, for those who read files before we do: editors (JSON Schema) and Pulumi (`config:`).

`scripts/docs` writes both from here, so that neither can drift from the model that decides.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from infra.durations import show_duration
from infra.settings import PREFIX, StackConfig

DRAFT = "http://json-schema.org/draft-07/schema#"
#: A file's values may be text as well, which is how `pulumi config set` writes them.
AS_TEXT = {"integer": r"^-?\d+$", "number": r"^\d+(\.\d+)?$"}
#: Keys of Pulumi's own in a stack file, and the provider's that a fleet has most use of.
PULUMI_KEYS = ("encryptionsalt", "encryptedkey", "secretsprovider", "environment")
AWS_KEYS = {
    "aws:region": "where the fleet is made",
    "aws:profile": "of the AWS credentials, as any AWS tool reads it",
    "aws:maxRetries": "of one AWS call; the provider's own 25 make an out-of-capacity answer take 50 minutes",
}


def described(model: type[BaseModel]) -> dict[str, str]:
    """The lines `key: meaning` of a model's docstring; a field without one is a mistake."""
    found: dict[str, str] = {}
    keys: list[str] = []
    classes = [one for one in reversed(model.__mro__) if issubclass(one, BaseModel) and one is not BaseModel]
    for line in "\n".join(inspect.cleandoc(one.__doc__ or "") for one in classes).splitlines():
        begun = re.match(r"([a-z0-9_]+(?:, [a-z0-9_]+)*): (.*)", line)
        if begun:
            keys = begun.group(1).split(", ")
            found |= dict.fromkeys(keys, begun.group(2).strip())
        elif line.startswith("    ") and keys:
            found |= {key: f"{found[key]} {line.strip()}" for key in keys}
        else:
            keys = []
    for name in set(model.model_fields) - set(found):
        # `an EFS file system that every node mounts at `shared_path``: described with its neighbour.
        (near,) = [text for text in found.values() if f"`{name}`" in text]
        found[name] = near
    return {key: _as_written(text, model) for key, text in found.items()}


def _as_written(text: str, model: type[BaseModel]) -> str:
    """Field names in backquotes as a file writes them."""
    return re.sub(r"`(\w+)`", lambda m: f"`{getattr(model.model_fields.get(m[1]), 'alias', None) or m[1]}`", text)


def json_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Draft 7, of one file of this model. What takes several keys at once is left to the model."""
    whole = model.model_json_schema(by_alias=True)
    said, inner = described(model), whole.get("$defs", {})
    keys = {}
    for name, field in model.model_fields.items():
        key = field.alias or name
        default = field.get_default(call_default_factory=True)
        shown = {} if default in (None, PydanticUndefined) else {"default": _plain(default)}
        allowed = _allowed(whole["properties"][key], inner)
        if "$ref" in allowed.get("items", {}):
            (held,) = [one for one in get_args(field.annotation) if one is not Ellipsis]
            allowed["items"] = json_schema(held)
        keys[key] = {"description": said[name], **shown, **allowed}
    required = {"required": whole["required"]} if whole.get("required") else {}
    return {"type": "object", **required, "properties": keys, "additionalProperties": False}


def _allowed(said: Mapping[str, Any], inner: Mapping[str, Any]) -> dict[str, Any]:
    """What one key may hold: no null, which is to leave the key out, and text where text is read as well."""
    if "anyOf" in said:
        [said] = [one for one in said["anyOf"] if one.get("type") != "null"]
    if "$ref" in said:
        said = inner[said["$ref"].rpartition("/")[2]]
    found: dict[str, Any] = _bare(said)
    kind = found.get("type")
    if kind == "boolean":
        return {"enum": [True, False, "true", "false"]}
    if found.get("additionalProperties") == {"type": "string"}:
        found["additionalProperties"] = {"type": ["string", "number", "boolean"]}
    if kind in AS_TEXT:
        return {"anyOf": [found, {"type": "string", "pattern": AS_TEXT[str(kind)]}]}
    return found


def _bare(said: Any) -> Any:
    """Without what a model says of itself: its docstring is for those who read code."""
    if isinstance(said, dict):
        return {key: _bare(value) for key, value in said.items() if key not in ("title", "description", "default")}
    return said


def stack_schema() -> dict[str, Any]:
    """JSON Schema of `stacks/Pulumi.<stack>.yaml`."""
    ours = json_schema(StackConfig)
    keys = {f"{PREFIX}{key}": one for key, one in ours["properties"].items()}
    theirs = {key: {"description": text} for key, text in AWS_KEYS.items()}
    config = {
        "type": "object",
        "required": ["aws:region", "aws:maxRetries", *(f"{PREFIX}{key}" for key in ours["required"])],
        "properties": {**keys, **theirs},
        "propertyNames": {"anyOf": [{"not": {"pattern": f"^{PREFIX}"}}, {"enum": list(keys)}]},
    }
    return {
        "$schema": DRAFT,
        "title": "A stack of swift-fleet",
        "description": "The fleet that `fleet up` and `pulumi up` make. docs/stack.md.",
        "type": "object",
        "required": ["config"],
        "properties": {"config": config, **{key: {} for key in PULUMI_KEYS}},
        "additionalProperties": False,
    }


def pulumi_config() -> dict[str, dict[str, Any]]:
    """The `config:` of Pulumi.yaml: type, default and meaning of each key that Pulumi can declare.

    A declared key without a default is one that every stack must have (`mergeConfig` in Pulumi's
    pkg/workspace/config.go), so a key that may be left out altogether is not among them.
    """
    declared: dict[str, dict[str, Any]] = {}
    said = described(StackConfig)
    for name, field in StackConfig.model_fields.items():
        key = str(field.alias)
        default = field.get_default(call_default_factory=True)
        if default is None:
            continue
        declared[key] = {"type": pulumi_type(key), "description": said[name].rstrip(".")}
        if default is not PydanticUndefined:
            declared[key]["default"] = _plain(default)
    return declared


def pulumi_type(key: str) -> str:
    """Of a key of a stack file, in Pulumi's words: "integer", "number", "boolean", "string", "object"."""
    said = json_schema(StackConfig)["properties"][key]
    if True in said.get("enum", ()):
        return "boolean"
    first = said.get("anyOf", [said])[0]
    return str(first.get("type", "string"))


def _plain(default: Any) -> Any:
    if isinstance(default, BaseModel):
        return default.model_dump(by_alias=True, exclude_defaults=True)
    return show_duration(default) if isinstance(default, timedelta) else default
