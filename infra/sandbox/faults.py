"""Errors on demand. A rule names an action and the AWS error that the next matching requests get as their answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from xml.sax.saxutils import escape

from infra.errors import BadInput
from infra.sandbox.admission import KINDS, refusal

# How each service says that calls come too fast; all others say ThrottlingException with 400.
THROTTLED = "Throttled"
_THROTTLING = {"ec2": ("RequestLimitExceeded", 503), "iam": ("Throttling", 400), "sts": ("Throttling", 400)}


@dataclass(frozen=True)
class Rule:
    """Requests that a rule fits get its error, after `slow` seconds; with no `code` they are only slow.

    action: one, several joined by |, or *. code: AWS's, or Throttled, Denied, Expired, WrongKey or WrongClock, which
    every service words in its own way.
    match: request parameters by their wire name (`InstanceType`, `Placement.GroupName`), and of launches what they
    come to with their template and subnet (infra/sandbox/facts.py); "" means that it is not there.
    The first `after` matches pass unharmed, then `count` of them fail; without a count all do. until: the cloud's
    time (ISO 8601) from which it is void. name: what a person called it.
    """

    action: str
    code: str = ""
    status: int = 400
    message: str = "Injected by the sandbox."
    match: Mapping[str, str] = field(default_factory=dict)
    after: int = 0
    count: int | None = None
    until: str = ""
    slow: float = 0.0
    name: str = ""

    @staticmethod
    def read(raw: Any) -> Rule:
        try:
            rule = Rule(**raw)
            if rule.until:
                datetime.fromisoformat(rule.until)
        except (TypeError, ValueError) as error:
            fields = ", ".join(Rule.__dataclass_fields__)
            raise BadInput(f"not a fault rule: {raw!r}", do=f"Fields: {fields}; until is ISO 8601.") from error
        if not rule.code and not rule.slow:
            raise BadInput(f"not a fault rule: {raw!r}", do="Give a code, or slow.")
        return rule

    def fits(self, action: str, params: Mapping[str, str]) -> bool:
        named = self.action == "*" or action in self.action.split("|")
        return named and all(params.get(k, "") == v for k, v in self.match.items())

    def is_over(self, now: datetime) -> bool:
        if not self.until:
            return self.count == 0
        ends = datetime.fromisoformat(self.until)
        return self.count == 0 or now >= (ends if ends.tzinfo else ends.replace(tzinfo=UTC))

    def answer(self, service: str, action: str = "", region: str = "us-east-1") -> tuple[str, int, str]:
        """AWS's code, HTTP status and words in this service."""
        if self.code == THROTTLED:
            return *_THROTTLING.get(service, ("ThrottlingException", 400)), self.message
        if self.code in KINDS:
            said = refusal(self.code, service, action, region)
            return said.code, said.status, said.message
        return self.code, self.status, self.message


class Faults:
    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._lock, self._now = threading.Lock(), now
        self._rules: list[Rule] = []

    def set(self, rules: list[Rule]) -> None:
        with self._lock:
            self._rules = list(rules)

    def add(self, rule: Rule) -> None:
        with self._lock:
            self._rules.append(rule)

    def rules(self) -> list[Rule]:
        """Those that may still hit something."""
        with self._lock:
            self._rules = [rule for rule in self._rules if not rule.is_over(self._now())]
            return list(self._rules)

    def delay(self, action: str, params: Mapping[str, str]) -> float:
        """Seconds by which the answer to this request is late."""
        return sum(rule.slow for rule in self.rules() if rule.fits(action, params))

    def take(self, action: str, params: Mapping[str, str]) -> Rule | None:
        """The rule that this request fails by, with its counters moved on; None when it may pass."""
        with self._lock:
            for index, rule in enumerate(self._rules):
                if not rule.code or not rule.fits(action, params) or rule.is_over(self._now()):
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
