"""Check: what the program wrote -> the inputs that everything after works with, or what is wrong with them.

The order is the bridge's: unknown names, types, defaults and names, then the rules between inputs. Everything
that is wrong is told at once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from infra.sandbox.provider.autoname import autoname
from infra.sandbox.provider.schema import Failure, Field, Kind, ResourceType
from infra.sandbox.provider.tags import tags_all
from infra.sandbox.provider.values import DEFAULTS, UNKNOWN, Props, nearest


@dataclass
class Checked:
    inputs: Props = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)


@dataclass(frozen=True)
class Setting:
    """What Check takes from the provider's configuration and the engine."""

    region: str = ""
    default_tags: Mapping[str, str] = field(default_factory=dict)
    seed: bytes = b""


def check(kind: ResourceType, logical: str, olds: Props, news: Props, setting: Setting) -> Checked:
    """The checked inputs. `olds` are the inputs of the last update: generated names are taken from there."""
    done = Checked()
    fields = kind.all_inputs
    for name, value in news.items():
        if name == DEFAULTS or (name in fields and not fields[name].settable):
            continue
        if name not in fields:
            done.failures.append((name, _unknown_name(kind, name)))
            continue
        kept = _value(name, fields[name], value, done.failures)
        if kept is not None:
            done.inputs[name] = kept
    filled = _fill(kind, logical, olds, done, setting.seed)
    _rules(kind.token, kind.inputs, done.inputs, "", done.failures)
    _choices(kind, done)
    if kind.validate and not done.failures:
        done.failures.extend(kind.validate(done.inputs))
    if kind.regional:
        done.inputs.setdefault("region", setting.region)
    if kind.tagged:
        done.inputs["tagsAll"] = tags_all(done.inputs.get("tags"), setting.default_tags)
    done.inputs[DEFAULTS] = sorted(filled)
    return done


def _unknown_name(kind: ResourceType, name: str) -> str:
    if name in kind.elsewhere:
        return f"{name} is an argument of {kind.token} that the embedded cloud does not implement"
    settable = [each for each, rule in kind.all_inputs.items() if rule.settable]
    return f"Unsupported argument: {kind.token} has no {name}.{nearest(name, settable)}"


def _fill(kind: ResourceType, logical: str, olds: Props, done: Checked, seed: bytes) -> list[str]:
    filled = []
    for name, rule in kind.inputs.items():
        taken = name in done.inputs or any(other in done.inputs for other in rule.conflicts)
        if rule.default is not None and not taken:
            done.inputs[name] = rule.default
            filled.append(name)
    naming = kind.autoname
    if naming is None or naming.property in done.inputs:
        return filled
    if any(other in done.inputs for other in kind.inputs[naming.property].conflicts):
        return filled
    remembered = olds.get(naming.property) if naming.property in olds.get(DEFAULTS, []) else None
    name = remembered or autoname(logical, seed)
    if len(name) > naming.longest:
        room = naming.longest - (len(name) - len(logical))
        reason = f"generated name {name!r} is {len(name)} characters long, the limit is {naming.longest}: "
        done.failures.append((naming.property, reason + f"the logical name may have {room} characters"))
    done.inputs[naming.property] = name
    return [*filled, naming.property]


def _value(path: str, rule: Field, value: Any, failures: list[Failure]) -> Any:
    if value is None or value == UNKNOWN:
        return value
    if rule.kind is Kind.OBJECT:
        return _object(path, rule, value, failures)
    if rule.kind is Kind.OBJECTS and isinstance(value, list):
        return [_object(f"{path}[{at}]", rule, each, failures) for at, each in enumerate(value)]
    if rule.kind in (Kind.LIST, Kind.SET) and isinstance(value, list):
        return [_element(f"{path}[{at}]", each, failures) for at, each in enumerate(value)]
    if rule.kind is Kind.MAP and isinstance(value, dict):
        return {key: _element(f"{path}.{key}", each, failures) for key, each in value.items()}
    return _scalar(path, rule, value, failures)


def _element(path: str, value: Any, failures: list[Failure]) -> Any:
    made = _as_text(value)
    if made is None:
        failures.append((path, f"expected a string, got {_named(value)}"))
    return value if made is None else made


def _object(path: str, rule: Field, value: Any, failures: list[Failure]) -> Any:
    if value == UNKNOWN:
        return value
    if not isinstance(value, dict):
        failures.append((path, f"expected an object, got {_named(value)}"))
        return value
    made: Props = {}
    for name, each in value.items():
        inner = rule.fields.get(name)
        if name == DEFAULTS or (inner is not None and not inner.settable):
            continue
        if inner is None:
            reason = f"Unsupported argument: {path} has no {name}.{nearest(name, rule.fields)}"
            failures.append((f"{path}.{name}", reason))
            continue
        kept = _value(f"{path}.{name}", inner, each, failures)
        if kept is not None:
            made[name] = kept
    for name, inner in rule.fields.items():
        if inner.default is not None and not any(other in made for other in (name, *inner.conflicts)):
            made[name] = inner.default
    _rules("", rule.fields, made, f"{path}.", failures)
    return made


def _scalar(path: str, rule: Field, value: Any, failures: list[Failure]) -> Any:
    made = _coerced(rule.kind, value)
    if made is None:
        failures.append((path, f"expected a {rule.kind.value}, got {_named(value)}"))
        return value
    wrong = _wrong(path, rule, made)
    if wrong:
        failures.append((path, wrong))
    return made


def _as_text(value: Any) -> str | None:
    """Text as it is; booleans and numbers as the bridge writes them where the provider takes text (schema.go)."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, str | int | float) else None


def _coerced(kind: Kind, value: Any) -> Any:
    """The value as the kind wants it, None where it can't be; numbers and flags may come as text, as in Terraform."""
    if kind is Kind.TEXT:
        return _as_text(value)
    if kind is Kind.JSON:
        return json.dumps(value) if isinstance(value, dict) else value if isinstance(value, str) else None
    if kind is Kind.FLAG:
        return {"true": True, "false": False}.get(str(value).lower())
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        made = float(value)
    except ValueError:
        return None
    if kind is Kind.INT:
        return int(made) if made.is_integer() else None
    return made


def _wrong(path: str, rule: Field, value: Any) -> str | None:
    if rule.enum and value not in rule.enum:
        allowed = ", ".join(rule.enum)
        return f"expected {path} to be one of [{allowed}], got {value}.{nearest(str(value), rule.enum)}"
    if rule.length and not rule.length[0] <= len(value) <= rule.length[1]:
        low, high = rule.length
        return f"expected length of {path} to be in the range ({low} - {high}), got {len(value)}"
    if rule.bounds and not rule.bounds[0] <= value <= rule.bounds[1]:
        return f"expected {path} to be in the range ({rule.bounds[0]} - {rule.bounds[1]}), got {value}"
    if rule.kind is Kind.JSON:
        return _not_json(path, value)
    return rule.check(value) if rule.check else None


def _not_json(path: str, value: str) -> str | None:
    try:
        parsed = json.loads(value)
    except ValueError as error:
        return f"{path} contains an invalid JSON: {error}"
    return None if isinstance(parsed, dict) else f"{path} contains an invalid JSON policy: not a JSON object"


def _named(value: Any) -> str:
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list", dict: "an object"}
    kind = names.get(type(value), "another type")
    return f"{kind} ({value})" if isinstance(value, bool | int | float | str) else kind


def _rules(token: str, fields: Mapping[str, Field], made: Props, prefix: str, failures: list[Failure]) -> None:
    for name, rule in fields.items():
        if rule.required and name not in made:
            owner = token or prefix.rstrip(".")
            failures.append((prefix + name, f"Missing required argument: {name} is required in {owner}"))
        clashing = [other for other in rule.conflicts if other in made and name in made]
        # Both sides name each other; the first in the alphabet tells.
        for other in (each for each in clashing if name < each or name not in fields[each].conflicts):
            failures.append((prefix + name, f"Conflicting configuration arguments: {name} conflicts with {other}"))


def _choices(kind: ResourceType, done: Checked) -> None:
    for group in kind.exactly_one_of:
        given = [name for name in group if name in done.inputs]
        if len(given) != 1:
            listed = ", ".join(given) if given else "none"
            reason = f"Invalid combination of arguments: exactly one of {', '.join(group)} must be given, got {listed}"
            done.failures.append((given[0] if given else group[0], reason))
    for group in kind.at_least_one_of:
        if not any(name in done.inputs for name in group):
            reason = f"Missing required argument: one of {', '.join(group)} must be given"
            done.failures.append((group[0], reason))
