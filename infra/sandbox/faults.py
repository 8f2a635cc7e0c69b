"""Errors on demand. A rule names an action and the AWS error that the next matching requests get as their answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from xml.sax.saxutils import escape

from infra.errors import BadInput


@dataclass(frozen=True)
class Rule:
    """`match` compares request parameters by their wire name (`InstanceType`, `SubnetId`, `Placement.GroupName`).
    The first `after` matches pass unharmed, then `count` of them fail; without a count all do."""

    action: str
    code: str
    status: int = 400
    message: str = "Injected by the sandbox."
    match: Mapping[str, str] = field(default_factory=dict)
    after: int = 0
    count: int | None = None

    @staticmethod
    def read(raw: Any) -> Rule:
        try:
            return Rule(**raw)
        except TypeError as error:
            raise BadInput(
                f"not a fault rule: {raw!r}", do="Fields: action, code, status, message, match, after, count."
            ) from error

    def fits(self, action: str, params: Mapping[str, str]) -> bool:
        return self.action in (action, "*") and all(params.get(k) == v for k, v in self.match.items())


class Faults:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[Rule] = []

    def set(self, rules: list[Rule]) -> None:
        with self._lock:
            self._rules = list(rules)

    def rules(self) -> list[Rule]:
        with self._lock:
            return list(self._rules)

    def take(self, action: str, params: Mapping[str, str]) -> Rule | None:
        """The rule that this request falls under, with its counters moved on; None when it may pass."""
        with self._lock:
            for index, rule in enumerate(self._rules):
                if not rule.fits(action, params) or rule.count == 0:
                    continue
                if rule.after > 0:
                    self._rules[index] = replace(rule, after=rule.after - 1)
                    continue
                if rule.count is not None:
                    self._rules[index] = replace(rule, count=rule.count - 1)
                return rule
            return None


def error_body(code: str, message: str, *, service: str) -> tuple[str, str]:
    """An AWS error as (content type, body) in the protocol of the service; botocore parses both forms."""
    if service == "ec2":
        error = f"<Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>"
        return "text/xml", f"<Response><Errors>{error}</Errors><RequestID>sandbox</RequestID></Response>"
    if service in ("iam", "sts"):
        error = f"<Error><Type>Sender</Type><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>"
        return "text/xml", f"<ErrorResponse>{error}<RequestId>sandbox</RequestId></ErrorResponse>"
    return "application/json", json.dumps({"__type": code, "code": code, "message": message, "Message": message})
