"""A resource's state: what AWS told, what only the program knows, and what a preview can't know yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.sandbox.provider import tags
from infra.sandbox.provider.diff import same
from infra.sandbox.provider.schema import Field, Kind, ResourceType
from infra.sandbox.provider.values import DEFAULTS, UNKNOWN, Props, is_zero


def merged(kind: ResourceType, read: Props, known: Props, default_tags: Mapping[str, str]) -> Props:
    """The state to record. `known`: the inputs after a create or update, the last state on a refresh.

    Inputs that no API tells are kept; so is a policy text, or another wording, that means what AWS told.
    """
    made = {key: value for key, value in read.items() if value is not None}
    for name, rule in kind.all_inputs.items():
        if not rule.read_back and name in known:
            made.setdefault(name, known[name])
        if name in made and name in known and same(rule, made[name], known[name]):
            made[name] = known[name] if rule.kind is not Kind.OBJECTS else made[name]
    if kind.tagged:
        made |= tags.split(read.get("tagsAll") or {}, default_tags, known.get("tags"))
    return made


def inputs_of(kind: ResourceType, state: Props, old_inputs: Props) -> Props:
    """The inputs that a read gives back: on a refresh those the program had, with today's values; on an import
    all that the state shows and that is not merely a default."""
    if not old_inputs:
        return _imported(kind, state)
    made = {DEFAULTS: old_inputs.get(DEFAULTS, [])}
    for name, rule in kind.all_inputs.items():
        if name in old_inputs and name in state:
            made[name] = _projected(rule, old_inputs[name], state[name])
    if kind.tagged:
        made["tagsAll"] = state["tagsAll"]
        if state["tags"] and "tags" not in made:
            made["tags"] = state["tags"]
    return made


def _projected(rule: Field, old: Any, now: Any) -> Any:
    if rule.kind is Kind.OBJECT and isinstance(old, dict) and isinstance(now, dict):
        return {
            key: _projected(inner, old[key], now[key])
            for key, inner in rule.fields.items()
            if key in old and key in now
        }
    return now


def _imported(kind: ResourceType, state: Props) -> Props:
    made: Props = {DEFAULTS: []}
    for name, rule in kind.all_inputs.items():
        value = state.get(name)
        if is_zero(value) or value == rule.default or any(other in made for other in rule.conflicts):
            continue
        made[name] = _settable(rule, value)
    return made


def _settable(rule: Field, value: Any) -> Any:
    if rule.kind is Kind.OBJECT and isinstance(value, dict):
        return {
            key: _settable(inner, value[key])
            for key, inner in rule.fields.items()
            if inner.settable and not is_zero(value.get(key))
        }
    if rule.kind is Kind.OBJECTS and isinstance(value, list):
        return [_settable(Field(Kind.OBJECT, fields=rule.fields), each) for each in value]
    return value


def before_create(kind: ResourceType, inputs: Props) -> Props:
    """What a preview of a create shows: the inputs, and unknown for all that AWS will tell."""
    made = {key: value for key, value in inputs.items() if key != DEFAULTS}
    for name, rule in kind.all_inputs.items():
        if name not in made:
            if rule.computed and rule.read_back:
                made[name] = UNKNOWN
        else:
            made[name] = _filled(rule, made[name])
    return made | dict.fromkeys(kind.outputs, UNKNOWN)


def before_update(kind: ResourceType, state: Props, inputs: Props, recomputed: tuple[str, ...]) -> Props:
    """What a preview of an update shows: the state with the wanted inputs over it."""
    made = dict(state)
    for name, rule in kind.all_inputs.items():
        if name in inputs:
            old = state.get(name)
            both_objects = rule.kind is Kind.OBJECT and isinstance(old, dict) and isinstance(inputs[name], dict)
            made[name] = {**old, **inputs[name]} if both_objects else inputs[name]  # type: ignore[dict-item]
        elif not rule.computed:
            made.pop(name, None)
    return made | dict.fromkeys(recomputed, UNKNOWN)


def _filled(rule: Field, value: Any) -> Any:
    if rule.kind is not Kind.OBJECT or not isinstance(value, dict):
        return value
    unknown = {key: UNKNOWN for key, inner in rule.fields.items() if inner.computed and key not in value}
    return {**value, **unknown}
