"""IAM policy documents: when two say the same, and how `getPolicyDocument` writes one."""

from __future__ import annotations

import json
from typing import Any

from infra.sandbox.provider.values import Props

_LISTS = ("Action", "NotAction", "Resource", "NotResource")


def equivalent(one: Any, other: Any) -> bool:
    """Whether two documents mean the same: one string or a list of one, any order, any spacing."""
    try:
        return bool(_canonical(json.loads(one)) == _canonical(json.loads(other)))
    except (TypeError, ValueError):
        return bool(one == other)


def _canonical(document: Any) -> Any:
    if not isinstance(document, dict):
        return document
    statements = document.get("Statement", [])
    statements = statements if isinstance(statements, list) else [statements]
    return {**document, "Statement": [_canonical_statement(each) for each in statements]}


def _canonical_statement(statement: Any) -> Any:
    if not isinstance(statement, dict):
        return statement
    said = {key: value for key, value in statement.items() if value not in ("", None)}
    for key in _LISTS:
        if key in said:
            said[key] = _sorted(said[key])
    for key in ("Principal", "NotPrincipal"):
        if said.get(key) == "*":
            said[key] = {"AWS": "*"}
        if isinstance(said.get(key), dict):
            said[key] = {kind: _sorted(who) for kind, who in said[key].items()}
    if isinstance(said.get("Condition"), dict):
        said["Condition"] = {
            operator: {key: _sorted(value) for key, value in keys.items()}
            for operator, keys in said["Condition"].items()
        }
    return said


def _sorted(value: Any) -> list[str]:
    items = value if isinstance(value, list) else [value]
    return sorted(str(item).lower() if isinstance(item, bool) else str(item) for item in items)


def written(args: Props) -> tuple[str, str]:
    """`getPolicyDocument`'s answer: the text with indents of two, and without any.

    One-element lists become plain strings and lists are sorted in reverse, as terraform-provider-aws
    iam/policy_model.go does.
    """
    document: Props = {"Version": args.get("version", "2012-10-17")}
    if args.get("policyId"):
        document["Id"] = args["policyId"]
    document["Statement"] = _merged(args)
    return json.dumps(document, indent=2), json.dumps(document, separators=(",", ":"))


def _merged(args: Props) -> list[Props]:
    statements: list[Props] = []
    for source in args.get("sourcePolicyDocuments", []):
        statements.extend(json.loads(source).get("Statement", []))
    statements.extend(_statement(each) for each in args.get("statements", []))
    for source in args.get("overridePolicyDocuments", []):
        for override in json.loads(source).get("Statement", []):
            kept = [each for each in statements if not override.get("Sid") or each.get("Sid") != override["Sid"]]
            statements = [*kept, override]
    return statements


def _statement(said: Props) -> Props:
    made: Props = {}
    if said.get("sid"):
        made["Sid"] = said["sid"]
    made["Effect"] = said.get("effect", "Allow")
    for key, name in (
        ("actions", "Action"),
        ("notActions", "NotAction"),
        ("resources", "Resource"),
        ("notResources", "NotResource"),
    ):
        if said.get(key):
            made[name] = _one_or_many(said[key])
    for key, name in (("principals", "Principal"), ("notPrincipals", "NotPrincipal")):
        if said.get(key):
            made[name] = _principals(said[key])
    if said.get("conditions"):
        made["Condition"] = _conditions(said["conditions"])
    return made


def _principals(said: list[Props]) -> Any:
    if [each["type"] for each in said] == ["*"]:
        return "*"
    return {each["type"]: _one_or_many(each["identifiers"]) for each in said}


def _conditions(said: list[Props]) -> Props:
    made: Props = {}
    for each in said:
        made.setdefault(each["test"], {})[each["variable"]] = (
            each["values"][0] if len(each["values"]) == 1 else list(each["values"])
        )
    return made


def _one_or_many(items: list[str]) -> Any:
    return items[0] if len(items) == 1 else sorted(items, reverse=True)
