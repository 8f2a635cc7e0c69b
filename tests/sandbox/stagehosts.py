"""Hosts for the stage tests: real SSH on loopback addresses, each with its own HOME, in one thread of this process."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh

from training.inventory import Inventory, Node


@dataclass
class Host:
    address: str
    home: Path
    port: int
    host_key: asyncssh.SSHKey
    server: asyncssh.SSHAcceptor | None = None
    open: list[asyncssh.SSHServerConnection] = field(default_factory=list)


class Server(asyncssh.SSHServer):
    def __init__(self, host: Host) -> None:
        self.host = host

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self.host.open.append(conn)

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:
        return True


class Hosts:
    """`count` hosts at 127.78.0.10, .11, ...; cut and killed at will."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder = folder
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        key = asyncssh.generate_private_key("ssh-ed25519")
        self.key_file = folder / "key"
        key.write_private_key(self.key_file)
        self.key_file.chmod(0o600)
        self.authorized = folder / "authorized_keys"
        key.write_public_key(self.authorized)
        self.hosts = [self._host(number) for number in range(count)]
        for host in self.hosts:
            self.listen(host)

    def _host(self, number: int) -> Host:
        home = self.folder / f"host-{number}"
        home.mkdir()
        return Host(f"127.78.0.{10 + number}", home, 0, asyncssh.generate_private_key("ssh-ed25519"))

    def listen(self, host: Host) -> None:
        self._do(self._listen(host))

    def cut(self, host: Host) -> None:
        """Nobody answers any more, and what is open breaks."""
        self._do(self._cut(host, refuse=True))

    def drop(self, host: Host) -> None:
        """What is open breaks; new connections are welcome."""
        self._do(self._cut(host, refuse=False))

    def inventory(self, *, shared_path: str = "") -> Inventory:
        nodes = tuple(
            Node(
                rank,
                f"node-{rank}",
                host.address,
                host.address,
                user="ec2-user",
                port=host.port,
                key_file=self.key_file,
                host_key=host.host_key.export_public_key().decode().strip(),
                gpus=0,
            )
            for rank, host in enumerate(self.hosts)
        )
        return Inventory("hosts", "lab", nodes, shared_path)

    def close(self) -> None:
        kill_under(self.folder)
        for host in self.hosts:
            self.cut(host)
        self._do(self._ended())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)

    async def _listen(self, host: Host) -> None:
        async def process(request: asyncssh.SSHServerProcess) -> None:
            env = {"HOME": str(host.home), "PATH": os.environ["PATH"], "USER": "ec2-user", "LANG": "C.UTF-8"}
            pipe = asyncio.subprocess.PIPE
            child = await asyncio.create_subprocess_exec(
                *["bash", "-c", request.command or "exit 0"],
                stdin=pipe,
                stdout=pipe,
                stderr=pipe,
                env=env,
                cwd=host.home,
                start_new_session=True,
            )
            # Not asyncssh's own redirect: at the end of a long input it loses what its pipe has not taken yet.
            feeding = asyncio.ensure_future(pump(request.stdin, child.stdin))
            await asyncio.gather(pump(child.stdout, request.stdout), pump(child.stderr, request.stderr))
            code = await child.wait()
            feeding.cancel()
            request.exit(code if code >= 0 else 128 - code)

        host.server = await asyncssh.listen(
            host.address,
            host.port,
            server_factory=lambda: Server(host),
            server_host_keys=[host.host_key],
            authorized_client_keys=str(self.authorized),
            process_factory=process,
            encoding=None,
            reuse_address=True,
        )
        host.port = host.server.get_port()

    async def _cut(self, host: Host, *, refuse: bool) -> None:
        if refuse and host.server:
            host.server.close()
            await host.server.wait_closed()
        for connection in host.open:
            connection.abort()
        host.open.clear()

    async def _ended(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=2)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await asyncio.sleep(0)  # closed pipes are told on the next turn

    def _do(self, coroutine: object) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(20)  # type: ignore[arg-type]


def pids_under(folder: Path) -> list[int]:
    """Processes whose working folder is in `folder`."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            where = (entry / "cwd").readlink()
        except OSError:
            continue
        if where.is_relative_to(folder):
            found.append(int(entry.name))
    return found


def kill_under(folder: Path) -> None:
    for pid in pids_under(folder):
        if pid != os.getpid():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


async def pump(source: Any, sink: Any) -> None:
    """Bytes from one stream to another, at the pace of the slower, then the end."""
    try:
        while piece := await source.read(1 << 16):
            sink.write(piece)
            await sink.drain()
        if isinstance(sink, asyncio.StreamWriter):
            sink.close()
    except (BrokenPipeError, ConnectionResetError):
        return


@contextmanager
def hosts(folder: Path, count: int) -> Iterator[Hosts]:
    made = Hosts(folder.resolve(), count)
    try:
        yield made
    finally:
        made.close()


def swift_env(home: Path, script: Path) -> None:
    """A `~/swift-env` whose `swift` is a shell script: the process under supervision. Also that of eval and vllm."""
    home.mkdir(parents=True, exist_ok=True)
    for profile in ("eval", "vllm"):
        (home / f"swift-env-{profile}").symlink_to("swift-env")
    bin_ = home / "swift-env" / "bin"
    bin_.mkdir(parents=True)
    shutil.copy(script, bin_ / "swift")
    (bin_ / "swift").chmod(0o755)
