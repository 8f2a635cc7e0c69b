"""One host: the folder that is its disk, its SSH server, what cloud-init does at boot, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from infra.sandbox import cloudinit, processes
from infra.sandbox.environ import host_environment, scratch
from infra.sandbox.ssh import Door

#: What repeats may hold up the clock for, before its next turn comes.
LONGEST_TURN_S = 60
CONSOLE_LIMIT = 64 * 1024  # EC2 keeps the last 64 KiB (GetConsoleOutput)


@dataclass(frozen=True)
class Machine:
    """What a host needs to know of its instance. `public_key` is the line that EC2 writes to authorized_keys."""

    instance_id: str
    addresses: frozenset[str]
    public_key: str
    user_data: bytes


class Host:
    def __init__(self, folder: Path, control_url: str, operator: Mapping[str, str], python: str) -> None:
        self.folder, self.home = folder, folder / "home"
        self.environment = host_environment(operator, folder, control_url, python)
        self.addresses: frozenset[str] = frozenset()
        self._door: Door | None = None
        self._booting: asyncio.Task[None] | None = None

    @property
    def is_up(self) -> bool:
        return self._door is not None

    async def power_on(self, machine: Machine, port: int) -> None:
        """Returns when it listens; cloud-init goes on by itself. OSError if it can't listen."""
        self._prepare(machine)
        key = self._host_key()
        door = Door(self.home, self.environment, key)
        try:
            await door.listen(set(machine.addresses), port)
        except OSError:
            await door.close()
            raise
        self._door, self.addresses = door, machine.addresses
        self._booting = asyncio.create_task(self._cloud_init(machine, key))

    async def move_to(self, addresses: frozenset[str], port: int) -> None:
        self.addresses = addresses
        if self._door:
            await self._door.listen(set(addresses), port)

    async def power_off(self, grace_s: float = processes.GRACE_S) -> None:
        """Nothing of the host runs afterwards; its disk stays. grace_s: its processes' time between TERM and KILL."""
        if self._booting:
            self._booting.cancel()
            self._booting = None
        if self._door:
            await self._door.close()
            self._door = None
        stuck = await asyncio.to_thread(processes.end, lambda: processes.with_home(self.home), grace_s)
        if stuck:
            self._print(f"sandbox: these processes could not be ended: {stuck}\n")
        for folder in (self.folder / "run", scratch(self.folder)):
            shutil.rmtree(folder, ignore_errors=True)

    def lose_disk(self) -> None:
        for path in [*self.home.iterdir(), *scratch(self.folder).glob("*")]:
            if path.name == ".ssh":
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    async def run(self, unit: str, command: list[str], to_its_end: bool = False) -> None:
        """Starts what a timer runs: detached, with its output in the unit's own log."""
        with (self.folder / "run" / f"{unit}.log").open("ab") as log:
            child = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment,
                cwd=self.home,
                start_new_session=True,
            )
        if to_its_end:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(child.wait(), LONGEST_TURN_S)

    def console(self) -> str:
        text = b"".join(
            path.read_bytes()
            for name in ("console-head.log", "cloud-init-output.log", "console-keys.log")
            if (path := self.folder / name).exists()
        )
        return text[-CONSOLE_LIMIT:].decode("utf-8", "replace")

    def _prepare(self, machine: Machine) -> None:
        for folder in (self.home / ".ssh", scratch(self.folder), self.folder / "run", self.folder / "cloud"):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)
        keys = self.home / ".ssh" / "authorized_keys"
        if not keys.exists():
            keys.write_text(machine.public_key.strip() + "\n")
            keys.chmod(0o600)
        profile = self.home / ".bash_profile"
        if not profile.exists():
            # /etc/profile of the operator's machine sets PATH anew in a login shell.
            profile.write_text(f'export PATH="{self.environment["PATH"]}"\n[ -f ~/.bashrc ] && . ~/.bashrc\ntrue\n')
        with (self.folder / "console-head.log").open("a") as head:
            head.write(f"swift-fleet sandbox host {machine.instance_id} on {', '.join(sorted(machine.addresses))}\n")

    def _host_key(self) -> asyncssh.SSHKey:
        path = self.folder / "ssh_host_ed25519_key"
        if not path.exists():
            key = asyncssh.generate_private_key("ssh-ed25519")
            path.touch(0o600)
            path.write_bytes(key.export_private_key())
        return asyncssh.read_private_key(path)

    async def _cloud_init(self, machine: Machine, key: asyncssh.SSHKey) -> None:
        data = cloudinit.parse(machine.user_data)
        for refusal in data.refused:
            self._print(f"cloud-init: {refusal}\n")
        for number, hook in enumerate(data.boothooks, 1):
            await self._script(f"boothook-{number:03d}", hook)
        done = self.folder / "cloud" / "scripts-done"
        if not done.exists():
            done.touch()
            for number, script in enumerate(data.scripts, 1):
                await self._script(f"part-{number:03d}", script)
        public = key.export_public_key().decode()
        (self.folder / "console-keys.log").write_text(
            cloudinit.keys_to_console(public, key.get_fingerprint()) + "Cloud-init finished.\n"
        )

    async def _script(self, name: str, content: bytes) -> None:
        path = self.folder / "cloud" / name
        path.write_bytes(content)
        path.chmod(0o700)
        with (self.folder / "cloud-init-output.log").open("ab") as log:
            try:
                child = await asyncio.create_subprocess_exec(
                    path,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=self.environment,
                    cwd=self.home,
                    start_new_session=True,
                )
            except OSError as error:  # no #! line, or an interpreter that is not there
                self._print(f"cloud-init: can't run {name}: {error}\n")
                return
        if code := await child.wait():
            self._print(f"cloud-init: {name} failed with exit status {code}\n")

    def _print(self, text: str) -> None:
        with (self.folder / "cloud-init-output.log").open("a") as log:
            log.write(text)
