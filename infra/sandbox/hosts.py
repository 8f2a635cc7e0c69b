"""Brings the hosts in line with the instances that moto has: boots what is pending, ends what is to stop or go, and
reports back, so that an instance is `running` when its host listens and `terminated` when nothing of it is left."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import logging
import os
import secrets
import shutil
import sys
import threading
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from moto.ec2.models.instances import Instance

from infra.sandbox import processes
from infra.sandbox.host import Host, Machine
from infra.sandbox.patches import instances
from infra.sandbox.rehearsal import BOOT_FAILS

log = logging.getLogger(__name__)


class Hosts:
    """`lock` is held whenever moto is read or written: it is not thread-safe."""

    def __init__(
        self, folder: Path, trash: Path, ssh_port: int, lock: AbstractContextManager[Any], control: str
    ) -> None:
        self._folder, self._trash, self._port = folder, trash, ssh_port
        self._lock, self._control = lock, control
        self._hosts: dict[str, Host] = {}
        self._tokens: dict[str, str] = {}
        self._reboots: dict[str, int] = {}
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="sandbox-hosts", daemon=True)
        self._removals: list[threading.Thread] = []
        # Machines that AWS calls running and that nothing answers on: they died, or never booted.
        self._dead: set[str] = set()
        self.on_power_off: Callable[[str], None] = lambda instance_id: None
        # What a fault rule does to this launch: a code of rehearsal.py, or nothing.
        self.boot_fault: Callable[[Instance], str] = lambda instance: ""

    # Called from any thread ----------------------------------------------------------------------------------------

    def start(self) -> None:
        self._thread.start()

    def reconcile(self) -> None:
        self._loop.call_soon_threadsafe(self._reconcile)

    def console(self, instance_id: str) -> str:
        host = self._hosts.get(instance_id)
        return host.console() if host else ""

    def knows(self, instance_id: str, token: str) -> bool:
        return secrets.compare_digest(self._tokens.get(instance_id, ""), token) and bool(token)

    def run(self, instance_id: str, unit: str, command: list[str], to_its_end: bool = False) -> None:
        """What a timer fires; returns when the command has been started, or has ended."""
        host = self._hosts.get(instance_id)
        if host and host.is_up:
            try:
                self._wait(host.run(unit, command, to_its_end))
            except OSError as error:
                log.warning("%s %s: can't run %s: %s", instance_id, unit, command, error)

    def is_dead(self, instance_id: str) -> bool:
        return instance_id in self._dead

    def kill(self, instance_id: str) -> None:
        """The machine dies without a word; a reboot does not help, a stop and start (or a new one) does."""
        self._wait(self._die(instance_id))

    def lose_disk(self, instance_id: str) -> None:
        """All files of the host are gone under its running processes; who may log in stays."""
        if host := self._hosts.get(instance_id):
            host.lose_disk()

    def cpu_seconds(self, instance_id: str) -> float | None:
        """What the processes of its host have used so far; None where none is up."""
        host = self._hosts.get(instance_id)
        return processes.cpu_seconds(host.home) if host and host.is_up else None

    def stop(self) -> None:
        """Ends every host, keeps no process, and waits for the disks that are still being removed."""
        self._wait(self._end_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=30)
        for removal in self._removals:
            removal.join()

    # In the loop's thread ------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _reconcile(self) -> None:
        with self._lock:
            waiting = [i for i in instances.every() if i.id not in self._busy and self._is_due(i)]
        for instance in waiting:
            task = self._loop.create_task(self._settle(instance))
            self._busy[instance.id] = task
            task.add_done_callback(lambda done, name=instance.id: self._settled(name, done))  # type: ignore[misc]

    def _settled(self, instance_id: str, task: asyncio.Task[None]) -> None:
        self._busy.pop(instance_id, None)
        if not task.cancelled() and (error := task.exception()):
            log.error("%s could not be settled", instance_id, exc_info=error)
            return
        self._reconcile()

    def _is_due(self, instance: Instance) -> bool:
        if instance.state in ("pending", "stopping", "shutting-down"):
            return True
        host = self._hosts.get(instance.id)
        if instance.state != "running" or host is None or instance.id in self._dead:
            return False
        asked = instances.reboots_asked(instance) != self._reboots.get(instance.id, 0)
        return asked or host.addresses != _addresses(instance)

    async def _settle(self, instance: Instance) -> None:
        match instance.state:
            case "pending":
                await self._boot(instance)
            case "running":
                await self._keep_up(instance)
            case "stopping":
                await self._power_off(instance.id)
                with self._lock:
                    instances.is_stopped(instance)
            case "shutting-down":
                await self._power_off(instance.id)
                self._discard(instance.id)
                with self._lock:
                    instances.is_terminated(instance)

    async def _boot(self, instance: Instance) -> None:
        with self._lock:
            machine = _machine(instance)
        fault = self.boot_fault(instance)
        if fault == BOOT_FAILS:
            with self._lock:
                instances.could_not_boot(instance, "the host failed on launch")
            return
        if not machine.addresses:
            log.warning("%s has no host: its address %s is not loopback", instance.id, instance.private_ip)
        elif fault:
            self._dead.add(instance.id)
        elif not await self._power_on(instance, machine):
            return
        with self._lock:
            instances.is_running(instance)

    async def _keep_up(self, instance: Instance) -> None:
        with self._lock:
            machine, asked = _machine(instance), instances.reboots_asked(instance)
        if asked != self._reboots[instance.id]:
            await self._power_off(instance.id)
            await self._power_on(instance, machine)
            return
        try:
            await self._hosts[instance.id].move_to(machine.addresses, self._port)
        except OSError as error:
            log.error("%s can't listen on all of %s: %s", instance.id, sorted(machine.addresses), error)

    async def _power_on(self, instance: Instance, machine: Machine) -> bool:
        """False when the host can't listen; its instance has failed then, as on a broken machine of AWS."""
        self._reboots[instance.id] = instances.reboots_asked(instance)
        try:
            await self._host(instance.id).power_on(machine, self._port)
        except OSError as error:
            log.error("%s can't boot: %s", instance.id, error)
            await self._power_off(instance.id)
            self._discard(instance.id)
            with self._lock:
                instances.could_not_boot(instance, str(error))
            return False
        return True

    async def _power_off(self, instance_id: str) -> None:
        self.on_power_off(instance_id)
        self._dead.discard(instance_id)
        if host := self._hosts.get(instance_id):
            await host.power_off()

    async def _die(self, instance_id: str) -> None:
        self.on_power_off(instance_id)
        self._dead.add(instance_id)
        if host := self._hosts.get(instance_id):
            await host.power_off(grace_s=0.0)

    def _host(self, instance_id: str) -> Host:
        if instance_id not in self._hosts:
            token = self._tokens[instance_id] = secrets.token_urlsafe(16)
            url = f"{self._control}/host/{instance_id}/{token}"
            self._hosts[instance_id] = Host(self._folder / instance_id, url, os.environ, sys.executable)
        return self._hosts[instance_id]

    def _discard(self, instance_id: str) -> None:
        """The disk is out of sight at once; a big one takes its time to be deleted."""
        self._tokens.pop(instance_id, None)
        host = self._hosts.pop(instance_id, None)
        if host and host.folder.exists():
            self.remove(host.folder)

    def remove(self, folder: Path) -> None:
        self._trash.mkdir(parents=True, exist_ok=True)
        doomed = folder.rename(self._trash / f"{folder.name}-{secrets.token_hex(4)}")
        removal = threading.Thread(target=shutil.rmtree, args=(doomed, True), name=f"remove {folder.name}")
        self._removals = [r for r in self._removals if r.is_alive()] + [removal]
        removal.start()

    async def _end_all(self) -> None:
        for task in list(self._busy.values()):
            task.cancel()
        await asyncio.gather(*(host.power_off() for host in self._hosts.values()))


def _machine(instance: Instance) -> Machine:
    pair = instance.ec2_backend.key_pairs.get(instance.key_name)
    public_key = pair.material_public if pair else b""
    if isinstance(public_key, bytes):
        public_key = public_key.decode()
    user_data = base64.b64decode(str(instance.user_data)) if instance.user_data else b""
    return Machine(instance.id, _addresses(instance), public_key, user_data)


def _addresses(instance: Instance) -> frozenset[str]:
    """Where the host listens: its private address, and its public one while it has any."""
    given = (address for nic in instance.nics.values() for address in (nic.private_ip_address, nic.public_ip))
    return frozenset(a for a in given if a and ipaddress.ip_address(a).is_loopback)
