"""Diff: the state as last read against the inputs now wanted -> what changes, in place or by replacement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra.sandbox.provider.policy import equivalent
from infra.sandbox.provider.schema import Field, Kind, ResourceType
from infra.sandbox.provider.values import DEFAULTS, Props, has_unknown, is_zero


@dataclass(frozen=True)
class Change:
    """One path (`rootBlockDevice.volumeSize`), what happens to it (add, delete, update), and whether it replaces."""

    path: str
    what: str
    replaces: bool = False

    @property
    def top(self) -> str:
        return self.path.split(".", 1)[0].split("[", 1)[0]


@dataclass(frozen=True)
class Difference:
    changes: tuple[Change, ...]
    replaces: tuple[str, ...]
    stables: tuple[str, ...]
    delete_before_replace: bool

    @property
    def changed(self) -> frozenset[str]:
        return frozenset(change.top for change in self.changes)


def diff(kind: ResourceType, state: Props, news: Props) -> Difference:
    fields = kind.all_inputs
    found = tuple(_fields(fields, state, news, "", False))
    changed = {change.top for change in found}
    stables = tuple(sorted(name for name, rule in fields.items() if rule.force_new and name not in changed))
    return Difference(
        changes=found,
        replaces=tuple(sorted({change.path for change in found if change.replaces})),
        stables=stables,
        delete_before_replace=kind.delete_before_replace or _named_by_hand(kind, news),
    )


def with_replaced(found: Difference, names: set[str]) -> Difference:
    """The same difference, where changes of the named inputs replace too."""
    changes = tuple(Change(each.path, each.what, each.replaces or each.top in names) for each in found.changes)
    return Difference(
        changes=changes,
        replaces=tuple(sorted({each.path for each in changes if each.replaces})),
        stables=found.stables,
        delete_before_replace=found.delete_before_replace,
    )


def _named_by_hand(kind: ResourceType, news: Props) -> bool:
    """A name that the user gave can't exist twice; without the list of defaults the name counts as generated."""
    naming, filled = kind.autoname, news.get(DEFAULTS)
    return naming is not None and filled is not None and naming.property not in filled


def _fields(fields: Mapping[str, Field], old: Props, new: Props, prefix: str, replaces: bool) -> list[Change]:
    found: list[Change] = []
    for name, rule in fields.items():
        if prefix and not rule.settable:
            continue
        path = prefix + name
        found.extend(_one(path, rule, old.get(name), new.get(name), replaces or rule.force_new))
    return found


def _one(path: str, rule: Field, old: Any, new: Any, replaces: bool) -> list[Change]:
    if new is None:
        unsaid = rule.computed or is_zero(old) or old == rule.default
        return [] if unsaid else [Change(path, "delete", replaces)]
    if old is None:
        quiet = is_zero(new) or (not rule.read_back and new == rule.default)
        return [] if quiet else [Change(path, "add", replaces)]
    if rule.kind is Kind.OBJECT and isinstance(old, dict) and isinstance(new, dict):
        return _fields(rule.fields, old, new, f"{path}.", replaces)
    if rule.kind is Kind.MAP and isinstance(old, dict) and isinstance(new, dict):
        return _entries(path, old, new, replaces)
    return [] if same(rule, old, new) else [Change(path, "update", replaces)]


def _entries(path: str, old: Props, new: Props, replaces: bool) -> list[Change]:
    found = [Change(f"{path}.{key}", "delete", replaces) for key in old if key not in new]
    for key, value in new.items():
        if key not in old:
            found.append(Change(f"{path}.{key}", "add", replaces))
        elif old[key] != value:
            found.append(Change(f"{path}.{key}", "update", replaces))
    return found


def same(rule: Field, old: Any, new: Any) -> bool:
    """Whether two values of one input mean the same."""
    if has_unknown(new):
        return False
    if rule.same:
        return rule.same(old, new)
    if rule.kind is Kind.JSON:
        return equivalent(old, new)
    if rule.kind is Kind.SET and isinstance(old, list) and isinstance(new, list):
        return sorted(old) == sorted(new)
    if rule.kind is Kind.OBJECTS and isinstance(old, list) and isinstance(new, list):
        return _same_objects(rule, old, new)
    return bool(old == new)


def same_in_order(fields: Mapping[str, Field], old: list[Any], new: list[Any]) -> bool:
    """Whether blocks whose order has a meaning mean the same, each in its place."""
    pairs = zip(old, new, strict=False)
    return len(old) == len(new) and not any(_fields(fields, was, is_, "x.", False) for was, is_ in pairs)


def _same_objects(rule: Field, old: list[Any], new: list[Any]) -> bool:
    """Lists of blocks are sets: each wanted block must have its own equal among those that are there."""
    left = list(old)
    for wanted in new:
        match = next((each for each in left if not _fields(rule.fields, each, wanted, "x.", False)), None)
        if match is None:
            return False
        left.remove(match)
    return not left
