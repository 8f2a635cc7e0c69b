"""The sandbox's own endpoints, under /_sandbox/ on the port of the API.

GET  status | requests | faults | quotas
POST clock   {"advance": seconds}
POST faults  [rule, ...]                          replaces all rules
POST fault   rule                                 adds one
POST quotas  {code: value, ...}                   replaces all that were set
POST node    {"instance": id, "do": kill | lose-disk | spot-notice}
POST images  {"region": us-east-1, "release": 20261115}    newer Deep Learning images, which AWS's parameters name
POST metrics {"i-...": percent | null}             CPUUtilization of an instance; null: as its host has it
GET  host/<instance>/<token>/imds/latest/...       its metadata (imds.py); PUT for a token
POST host/<instance>/<token>/timers | power | mount     what a host's own commands ask for
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from infra.errors import BadInput
from infra.sandbox.faults import Rule
from infra.sandbox.patches import images, instances, lustre, quotas, storage

if TYPE_CHECKING:
    from infra.sandbox.cloud import Cloud

Answer = tuple[str, list[tuple[str, str]], bytes]


class Refused(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Control:
    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._routes: dict[tuple[str, str], Callable[[Any], Any]] = {
            ("GET", "status"): lambda body: cloud.status(),
            ("GET", "requests"): lambda body: [asdict(call) for call in cloud.journal.calls()],
            ("GET", "faults"): lambda body: [asdict(rule) for rule in cloud.faults.rules()],
            ("POST", "faults"): self._set_faults,
            ("POST", "fault"): self._add_fault,
            ("GET", "quotas"): lambda body: dict(quotas.limits),
            ("POST", "quotas"): self._set_quotas,
            ("POST", "node"): self._befall,
            ("POST", "images"): self._publish,
            ("POST", "metrics"): self._set_metrics,
            ("POST", "clock"): lambda body: {"now": cloud.advance(float(body["advance"])).isoformat()},
        }
        self._host_routes: dict[str, Callable[[str, Any], Any]] = {
            "timers": self._timers,
            "power": self._power,
            "mount": self._mount,
        }

    def __call__(self, method: str, path: str, raw: bytes, token: str = "") -> Answer:
        if path.startswith("host/") and "/imds/" in path:
            return self._metadata(method, path, token)
        try:
            body = json.loads(raw) if raw else None
            status, answer = 200, self._route(method, path, body)
        except Refused as refusal:
            status, answer = refusal.status, {"error": str(refusal)}
        except BadInput as error:
            status, answer = 400, {"error": str(error)}
        except (KeyError, TypeError, ValueError) as error:
            status, answer = 400, {"error": f"the request can't be read: {error!r}"}
        content = json.dumps(answer).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(content)))]
        return f"{status} Sandbox", headers, content

    def _metadata(self, method: str, path: str, token: str) -> Answer:
        host, _, asked = path.partition("/imds/")
        _, instance_id, secret = host.split("/")
        if not self._cloud.hosts.knows(instance_id, secret):
            return _text(403, "not this host's token")
        with self._cloud.lock:
            instance = instances.find(instance_id)
            status, text = self._cloud.metadata.answer(instance, method, asked, token)
        return _text(status, text)

    def _route(self, method: str, path: str, body: Any) -> Any:
        if route := self._routes.get((method, path)):
            return route(body)
        match path.split("/"):
            case ["host", instance_id, token, verb] if method == "POST" and verb in self._host_routes:
                if not self._cloud.hosts.knows(instance_id, token):
                    raise Refused(403, "not this host's token")
                return self._host_routes[verb](instance_id, body)
        raise Refused(404, f"no such endpoint: {method} {path}")

    def _set_faults(self, body: Any) -> Any:
        self._cloud.faults.set([Rule.read(raw) for raw in body])
        return {}

    def _add_fault(self, body: Any) -> Any:
        rule = Rule.read(body)
        self._cloud.faults.add(rule)
        return asdict(rule)

    def _set_quotas(self, body: Any) -> Any:
        unknown = set(body) - {quota.code for quota in quotas.QUOTAS}
        if unknown:
            known = ", ".join(quota.code for quota in quotas.QUOTAS)
            raise BadInput(f"the sandbox has no quota {', '.join(sorted(unknown))}", do=f"It has {known}.")
        with self._cloud.lock:
            quotas.limits.clear()
            quotas.limits.update({code: float(value) for code, value in body.items()})
        return body

    def _befall(self, body: Any) -> Any:
        with self._cloud.lock:
            instance = instances.find(body["instance"])
        if instance is None or instance.state != "running":
            raise Refused(409, f"{body['instance']} is not running")
        match body["do"]:
            case "kill":
                self._cloud.hosts.kill(instance.id)
            case "lose-disk":
                self._cloud.hosts.lose_disk(instance.id)
            case "spot-notice" if instance.lifecycle == "spot":
                return {"at": self._cloud.market.notice(instance.id).isoformat(timespec="seconds")}
            case "spot-notice":
                raise Refused(409, f"{instance.id} is no spot instance")
            case _:
                raise Refused(400, "do: kill, lose-disk or spot-notice")
        return {}

    def _publish(self, body: Any) -> Any:
        with self._cloud.lock:
            images.publish(str(body["region"]), str(body["release"]))
        return {}

    def _set_metrics(self, body: Any) -> Any:
        self._cloud.alarms.set({str(one): None if value is None else float(value) for one, value in body.items()})
        return {}

    def _timers(self, host: str, body: Any) -> Any:
        timers = self._cloud.timers
        match body["do"]:
            case "list":
                return {"timers": [t.as_json() for t in timers.of(host)], "now": self._cloud.clock.now().timestamp()}
            case "stop":
                return {"stopped": timers.remove(host, body["unit"])}
            case "start":
                if body.get("replace"):
                    timers.remove(host, body["unit"])
                try:
                    when = {key: body.get(key) for key in ("at", "after", "every")}
                    timer = timers.add(host, body["unit"], body["command"], **when)
                except KeyError:
                    raise Refused(409, f"Unit {body['unit']}.timer was already loaded.") from None
                return timer.as_json()
        raise Refused(400, "do: start, stop or list")

    def _power(self, host: str, body: Any) -> Any:
        with self._cloud.lock:
            instance = instances.find(host)
            if instance is None:
                raise Refused(404, "no such instance")
            if body["do"] == "reboot":
                instance.reboot()
            else:
                instances.power_off_from_within(instance)
        self._cloud.hosts.reconcile()
        return {}

    def _mount(self, host: str, body: Any) -> Any:
        with self._cloud.lock:
            instance = instances.find(host)
            if instance is None:
                raise Refused(404, "no such instance")
            try:
                share = _share(instance, body)
                folder = self._cloud.shared.folder(share)
            except storage.MountRefused as refusal:
                raise Refused(409, str(refusal)) from refusal
        return {"folder": str(folder)}


def _share(instance: Any, body: Any) -> storage.Share:
    path = body.get("path", "/")
    if body.get("kind") == "lustre":
        return lustre.share(instance, body["fs"], path)
    how = {name: bool(body.get(name)) for name in ("tls", "iam")}
    return storage.share(instance, body["fs"], body.get("accesspoint", ""), path, **how)


def _text(status: int, text: str) -> Answer:
    content = text.encode()
    return f"{status} Sandbox", [("Content-Type", "text/plain"), ("Content-Length", str(len(content)))], content
