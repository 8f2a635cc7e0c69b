"""Whether a role's own policies let it do something to instances: enough of IAM for what a schedule may do.

Allow and Deny, actions with wildcards, and StringEquals on an instance's tags; a statement with any other condition
does not apply. https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

_TAG = "ec2:ResourceTag/"


def allows(documents: Iterable[str], action: str, tags: Mapping[str, str]) -> bool:
    """documents: the role's policies as text; tags: those of the instance that the action is for."""
    statements = [one for text in documents for one in _listed(json.loads(text).get("Statement", []))]
    fitting = [one for one in statements if _names(one, action) and _applies(one, tags)]
    return any(one.get("Effect") == "Allow" for one in fitting) and not any(one["Effect"] == "Deny" for one in fitting)


def _names(statement: Mapping[str, Any], action: str) -> bool:
    return any(fnmatchcase(action.lower(), one.lower()) for one in _listed(statement.get("Action", [])))


def _applies(statement: Mapping[str, Any], tags: Mapping[str, str]) -> bool:
    for operator, conditions in (statement.get("Condition") or {}).items():
        for key, wanted in conditions.items():
            if operator != "StringEquals" or not key.startswith(_TAG):
                return False
            if tags.get(key.removeprefix(_TAG)) not in _listed(wanted):
                return False
    return True


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
