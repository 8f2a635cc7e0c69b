"""The SSH server of a host: exec, shell with a terminal, SFTP and forwarding, for whoever holds a key that stands in
the host's authorized_keys."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import asyncssh

from infra.sandbox.environ import USER

USERS = (USER, "ubuntu")
_ACCEPTED_ENV = ("LANG", "LC_")


class Door:
    """The listeners and the open connections of one host."""

    def __init__(self, home: Path, environment: Mapping[str, str], host_key: asyncssh.SSHKey) -> None:
        self.home, self.environment, self._key = home, dict(environment), host_key
        self.connections: set[asyncssh.SSHServerConnection] = set()
        self._listeners: dict[str, asyncssh.SSHAcceptor] = {}

    async def listen(self, addresses: set[str], port: int) -> None:
        """Listens on just these addresses. OSError if one is taken."""
        for gone in set(self._listeners) - addresses:
            self._listeners.pop(gone).close()
        for address in addresses - set(self._listeners):
            self._listeners[address] = await asyncssh.listen(
                address,
                port,
                server_factory=lambda: _Server(self),
                server_host_keys=[self._key],
                process_factory=self._session,
                sftp_factory=lambda chan: _Files(chan, self.home),
                allow_scp=True,
                encoding=None,
                line_editor=False,
                login_timeout=30,
            )

    async def close(self) -> None:
        for listener in self._listeners.values():
            listener.close()
        for connection in list(self.connections):
            connection.abort()
        for listener in self._listeners.values():
            await listener.wait_closed()
        self._listeners.clear()

    async def _session(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        sent = {k: v for k, v in process.env.items() if k.startswith(_ACCEPTED_ENV)}
        environment = self.environment | {str(k): str(v) for k, v in sent.items()}
        client = process.get_extra_info("peername")
        if client:
            environment["SSH_CONNECTION"] = (
                f"{client[0]} {client[1]} {self.environment.get('HOST_ADDRESS', '')}".strip()
            )
        shell = ["bash", "-c", process.command] if process.command else ["bash", "-l"]
        if process.term_type:
            await self._in_terminal(process, shell, environment | {"TERM": process.term_type})
        else:
            await self._in_pipes(process, shell, environment)
        await process.wait_closed()

    async def _in_pipes(
        self, process: asyncssh.SSHServerProcess[bytes], command: list[str], environment: dict[str, str]
    ) -> None:
        """As sshd does: the client's end of a pipe closes with the connection, the process is not signalled."""
        child_in, ours_in = os.pipe()
        ours_out, child_out = os.pipe()
        ours_err, child_err = os.pipe()
        child_ends = (child_in, child_out, child_err)
        child = await _spawn(command, environment, self.home, child_ends, close=child_ends)
        process.set_redirect_pid(child.pid)
        feeding = asyncio.ensure_future(_feed(process.stdin, os.fdopen(ours_in, "wb", 0)))
        try:
            await process.redirect(stdout=os.fdopen(ours_out, "rb", 0), stderr=os.fdopen(ours_err, "rb", 0))
            await process.stdout.drain()
            await process.stderr.drain()
        except (OSError, asyncssh.Error):
            return  # the connection is gone; the process may live on
        finally:
            feeding.cancel()
        _report(process, await child.wait())

    async def _in_terminal(
        self, process: asyncssh.SSHServerProcess[bytes], command: list[str], environment: dict[str, str]
    ) -> None:
        """A lost connection closes the terminal, which is what hangs the shell up."""
        master, slave = os.openpty()
        command = ["setsid", "--wait", "--ctty", *command]
        child = await _spawn(command, environment, self.home, (slave,) * 3, close=(slave,))
        process.set_redirect_pid(child.pid)
        try:
            await process.redirect(os.fdopen(master, "wb", 0), os.fdopen(os.dup(master), "rb", 0), send_eof=False)
            code = await child.wait()
            await process.stdout.drain()
        except (OSError, asyncssh.Error):
            return
        _report(process, code)


class _Server(asyncssh.SSHServer):
    def __init__(self, door: Door) -> None:
        self._door = door
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._door.connections.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._connection:
            self._door.connections.discard(self._connection)

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return username in USERS and key.public_data in authorized(self._door.home)

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:
        return True

    def server_requested(self, listen_host: str, listen_port: int) -> bool:
        return True


def authorized(home: Path) -> set[bytes]:
    """The key data of ~/.ssh/authorized_keys; lines that hold no key are skipped, as sshd does."""
    try:
        lines = (home / ".ssh" / "authorized_keys").read_text().splitlines()
    except OSError:
        return set()
    keys = set()
    for line in lines:
        try:
            keys.add(asyncssh.import_public_key(line).public_data)
        except asyncssh.KeyImportError:
            continue
    return keys


class _Files(asyncssh.SFTPServer):
    """Relative paths start at home, as with sshd's internal-sftp."""

    def __init__(self, chan: asyncssh.SSHServerChannel[bytes], home: Path) -> None:
        super().__init__(chan)
        self._home = os.fsencode(home)

    def map_path(self, path: bytes) -> bytes:
        return os.path.normpath(os.path.join(self._home, path))  # noqa: PTH118  (bytes)


async def _spawn(
    command: list[str],
    environment: Mapping[str, str],
    home: Path,
    streams: tuple[int, ...],
    close: tuple[int, ...],
) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *command,
            stdin=streams[0],
            stdout=streams[1],
            stderr=streams[2],
            env=dict(environment),
            cwd=home,
            start_new_session=command[0] != "setsid",
        )
    finally:
        for fd in close:
            os.close(fd)


async def _feed(source: asyncssh.SSHReader[bytes], pipe: IO[bytes]) -> None:
    """What the client sends, at the pace of the reader, then the end. asyncssh's own redirect of stdin drops, at the
    end of input, what its pipe has not taken yet."""
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.connect_write_pipe(lambda: asyncio.streams.FlowControlMixin(loop=loop), pipe)
    sink = asyncio.StreamWriter(transport, protocol, None, loop)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError, asyncssh.Error):
        while piece := await source.read(1 << 16):
            sink.write(piece)
            await sink.drain()
    sink.close()


def _report(process: asyncssh.SSHServerProcess[Any], code: int) -> None:
    if code >= 0:
        process.exit(code)
        return
    process.exit_with_signal(signal.Signals(-code).name.removeprefix("SIG"))
