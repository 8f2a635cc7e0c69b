"""The embedded cloud in one object: the API, its hosts, its clock. One a process, for moto's state is the process's."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from infra.sandbox.ageing import age
from infra.sandbox.api import Api, serve  # first: it mends moto before anything imports it
from infra.sandbox.clock import Clock
from infra.sandbox.control import Control
from infra.sandbox.cpu_alarms import Alarms
from infra.sandbox.efs import SharedFolders
from infra.sandbox.faults import Faults
from infra.sandbox.forgetting import Forgetting
from infra.sandbox.hosts import Hosts
from infra.sandbox.imds import Metadata
from infra.sandbox.journal import Journal
from infra.sandbox.market import Market
from infra.sandbox.patches import instances, reservations
from infra.sandbox.rehearsal import BOOT, NODE_TAG, STACK_TAG
from infra.sandbox.schedules import Schedules
from infra.sandbox.timers import Timers

log = logging.getLogger(__name__)


class Cloud:
    def __init__(self, state: Path, port: int, ssh_port: int) -> None:
        self.state, self.ssh_port = state, ssh_port
        self.since = datetime.now(UTC)
        self.journal = Journal(state / "requests.jsonl")
        self.clock = Clock()
        self.faults = Faults(self.clock.now)
        self._api = Api(self.journal, self.faults, Control(self), self._changed)
        self.lock = self._api.lock
        self._server = serve(self._api, port)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self.hosts = Hosts(state / "hosts", state / "trash", ssh_port, self.lock, f"{self.url}/_sandbox")
        self.shared = SharedFolders(state / "efs", self.hosts.remove)
        self.timers = Timers(self.clock, self.hosts.run)
        self.schedules = Schedules(self.clock, self.url, self.lock)
        self.alarms = Alarms(self.clock, self.lock, self.hosts.cpu_seconds, self.schedules.call_ec2)
        self.hosts.on_power_off = self.timers.forget
        self.forgetting = Forgetting(self.clock, self.lock)
        self.market = Market(self.clock, self.lock, self.hosts.reconcile)
        self.metadata = Metadata(self.market.action)
        self.hosts.boot_fault = self._boot_fault
        instances.console = self.hosts.console
        instances.is_dead, instances.now = self.hosts.is_dead, self.clock.now
        reservations.now, reservations.ahead = self.clock.now, lambda: self.clock.offset

    def start(self) -> None:
        self.hosts.start()
        self.clock.start()
        threading.Thread(target=self._server.serve_forever, name="sandbox-api", daemon=True).start()

    def stop(self) -> None:
        """Every host is ended and nothing listens any more when this returns."""
        self._server.shutdown()
        self.clock.stop()
        self.hosts.stop()
        self._server.server_close()
        self.journal.close()

    def advance(self, seconds: float) -> datetime:
        """Moves the clock forward. Raises ValueError for the other way."""
        now = self.clock.advance(seconds)
        with self.lock:
            age(timedelta(seconds=seconds))
        return now

    def status(self) -> dict[str, Any]:
        with self.lock:
            machines = [_summary(instance) for instance in instances.every()]
        return {
            "port": self.port,
            "ssh_port": self.ssh_port,
            "state_dir": str(self.state),
            "since": self.since.isoformat(timespec="seconds"),
            "now": self.clock.now().isoformat(timespec="seconds"),
            "clock_offset": self.clock.offset.total_seconds(),
            "instances": machines,
            "schedules": self.schedules.outcomes(),
            "alarms": self.alarms.states(),
        }

    def _boot_fault(self, instance: Any) -> str:
        tags = {tag["key"]: tag["value"] for tag in instance.get_tags()}
        known = {"Rank": tags.get(NODE_TAG, ""), "InstanceType": instance.instance_type}
        rule = self.faults.take(BOOT, known)
        return rule.code if rule else ""

    def _changed(self) -> None:
        self.hosts.reconcile()
        with self.lock:
            self.shared.drop_deleted()
        self.clock.wake()


def _summary(instance: Any) -> dict[str, Any]:
    tags = {tag["key"]: tag["value"] for tag in instance.get_tags() if not tag["key"].startswith("aws:")}
    return {
        "id": instance.id,
        "state": instance.state,
        "address": instance.private_ip if instance.nics else None,
        "type": instance.instance_type,
        "stack": tags.get(STACK_TAG),
        "tags": tags,
    }
