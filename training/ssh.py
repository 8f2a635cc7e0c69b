"""A node over SSH: Fabric opens and owns the connection, scripts and bytes go straight through its channels.

(Fabric's own `run` feeds stdin byte by byte between two sleeps, its `put` needs SFTP: both too slow for us.)
Only the pinned host key is accepted and only the given key is offered: no agent, no other key, no known_hosts.
"""

from __future__ import annotations

import base64
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import fabric
import paramiko

from infra.errors import BadInput, CloudRefused, FleetError
from training.connection import CHUNK_BYTES, NotLetIn, Progress, Result, Unreachable, receiving, sending, text, whole
from training.inventory import Node
from training.keys import fingerprint, load_key
from training.proxy import Proxy

CONNECT_S = 10.0
#: The same where a process has to ask for a way first: `aws` alone takes seconds to start.
PROXY_S = 45.0
#: After which a peer that acknowledges nothing is gone (tcp(7)); else a cut cable is never noticed.
SILENT_PEER_MS = 30_000
WINDOW_BYTES = 1 << 24


class Ssh:
    """One open connection. `run` and the transfers may be called from several threads.

    gateway: an open connection to the node through which alone this one is reached.
    """

    def __init__(self, node: Node, gateway: Ssh | None = None) -> None:
        self.node = node
        self._proxy = Proxy(node.proxy) if node.proxy else None
        try:
            self._fabric = _open(node, self._way(gateway))
        except FleetError as error:
            self._give_up(error)
            raise
        self._transport: paramiko.Transport = self._fabric.transport
        self._transport.set_keepalive(30)

    def _way(self, gateway: Ssh | None) -> socket.socket | paramiko.Channel:
        if self._proxy:
            return self._proxy.socket
        return gateway.dial(self.node) if gateway else dial(self.node.address, self.node.port)

    def _give_up(self, error: FleetError) -> None:
        """No proxy is left behind; raises what it said of its own end, where that is the reason."""
        if self._proxy is None:
            return
        said = self._proxy.said() if isinstance(error, Unreachable) else ""
        self._proxy.close()
        if said:
            do = "Is the node up, does it reach Systems Manager, and may you (ssm:StartSession)?"
            raise Unreachable(said, where=_where(self.node), do=do) from error

    @property
    def alive(self) -> bool:
        return self._transport.is_active()

    def run(self, script: str, timeout_s: float) -> Result:
        deadline = time.monotonic() + timeout_s
        with self._channel("exec bash -s", timeout_s) as channel:
            _send(channel, whole(script))
            channel.shutdown_write()
            out, err = bytearray(), bytearray()
            # Both streams at once: a script that fills the one must not wait for us to end the other.
            aside = threading.Thread(target=_drain, args=(channel.recv_stderr, err))
            aside.start()
            left = max(0.1, deadline - time.monotonic())
            channel.settimeout(left)
            drained = _drain(channel.recv, out)
            aside.join(left)
            if not drained or aside.is_alive():
                raise TimeoutError
            code = self._exit_code(channel, left)
            return Result(code, text(out), text(err))

    def get(
        self, remote: str, local: Path, offset: int = 0, progress: Progress | None = None, timeout_s: float = 60
    ) -> None:
        with self._channel(sending(remote, offset), timeout_s) as channel:
            channel.shutdown_write()
            with local.open("ab") as file:
                while piece := channel.recv(CHUNK_BYTES):
                    file.write(piece)
                    if progress:
                        progress(len(piece))
            self._ended(channel, timeout_s, f"reading {remote}")

    def put(
        self, local: Path, remote: str, offset: int = 0, progress: Progress | None = None, timeout_s: float = 60
    ) -> None:
        with self._channel(receiving(remote, offset), timeout_s) as channel:
            with local.open("rb") as file:
                file.seek(offset)
                while piece := file.read(CHUNK_BYTES):
                    if not _send(channel, piece):
                        break
                    if progress:
                        progress(len(piece))
            channel.shutdown_write()
            self._ended(channel, timeout_s, f"writing {remote}")

    def dial(self, node: Node) -> paramiko.Channel:
        """A way on from here to another node's SSH server, or Unreachable."""
        try:
            there, here = (node.address, node.port), ("127.0.0.1", 0)
            return self._transport.open_channel("direct-tcpip", there, here, timeout=CONNECT_S)
        except (paramiko.SSHException, OSError, EOFError) as error:
            said = str(error) or "closed"
            do = f"Is the node up? It is reached through {_where(self.node)} alone."
            raise Unreachable(f"no way through: {said}", where=_where(node), do=do) from error

    def close(self) -> None:
        self._fabric.client.close()
        if self._proxy:
            self._proxy.close()

    @contextmanager
    def _channel(self, command: str, timeout_s: float) -> Iterator[paramiko.Channel]:
        """A channel that runs `command`; what paramiko says meanwhile is said in our words."""
        try:
            channel = self._transport.open_session(window_size=WINDOW_BYTES, timeout=min(timeout_s, CONNECT_S))
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise self._broken(f"the connection broke: {str(error) or 'closed'}") from error
        try:
            channel.settimeout(timeout_s)
            channel.exec_command(command)
            yield channel
        except TimeoutError as error:
            raise self._broken(f"no answer in {timeout_s:g} s") from error
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise self._broken(f"the connection broke: {str(error) or 'closed'}") from error
        finally:
            channel.close()

    def _ended(self, channel: paramiko.Channel, timeout_s: float, doing: str) -> None:
        code = self._exit_code(channel, timeout_s)
        said = channel.recv_stderr(CHUNK_BYTES) if code else b""
        Result(code, "", text(said)).must(self.node, doing)

    def _exit_code(self, channel: paramiko.Channel, timeout_s: float) -> int:
        if not channel.status_event.wait(timeout_s):
            raise TimeoutError
        if channel.exit_status < 0:
            raise self._broken("the connection broke before the command ended")
        return channel.exit_status

    def _broken(self, what: str) -> Unreachable:
        return Unreachable(what, where=_where(self.node), do="Is the node up, and the way to it?")


def dial(address: str, port: int, timeout_s: float = CONNECT_S) -> socket.socket:
    """A TCP connection, or Unreachable that says what to verify."""
    where = f"{address}:{port}"
    verify = f"Check: the address; that the node runs; that port {port} is open to this machine."
    try:
        sock = socket.create_connection((address, port), timeout=timeout_s)
    except TimeoutError as error:
        raise Unreachable(f"no answer in {timeout_s:g} s", where=where, do=verify) from error
    except socket.gaierror as error:
        raise BadInput("no such host name", where=where, do="Check the address.") from error
    except OSError as error:
        raise Unreachable((error.strerror or str(error)).lower(), where=where, do=verify) from error
    # A request and its few bytes of input are two small packets: Nagle would hold the second for 40 ms (tcp(7)).
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENT_PEER_MS)
    return sock


def offered(address: str, port: int) -> paramiko.PKey:
    """The host key that answers there, of the kind that OpenSSH prefers, before any log-in."""
    transport = paramiko.Transport(dial(address, port))
    transport.banner_timeout = CONNECT_S
    try:
        transport.start_client(timeout=CONNECT_S)
        return transport.get_remote_server_key()
    except (paramiko.SSHException, OSError, EOFError) as error:
        do = f"Check: that port {port} is an SSH server's."
        raise Unreachable(f"no SSH answer: {str(error) or 'closed'}", where=f"{address}:{port}", do=do) from error
    finally:
        transport.close()


def _open(node: Node, way: socket.socket | paramiko.Channel) -> fabric.Connection:
    if node.key_file is None or not node.host_key:
        missing = "host key" if node.key_file else "key file"
        raise BadInput(f"no {missing} is known for this node", where=_where(node), do="Add it: fleet hosts add.")
    expected = paramiko.PKey.from_type_string(*_host_key(node))
    key = load_key(node.key_file.expanduser())
    connection = fabric.Connection(
        node.address,
        user=node.user,
        port=node.port,
        config=_config(),
        connect_timeout=CONNECT_S,
        connect_kwargs={
            "sock": way,
            "pkey": key,
            "allow_agent": False,
            "look_for_keys": False,
            "banner_timeout": PROXY_S if node.proxy else CONNECT_S,
            "auth_timeout": CONNECT_S,
        },
    )
    name = node.address if node.port == 22 else f"[{node.address}]:{node.port}"
    connection.client.get_host_keys().add(name, expected.get_name(), expected)
    connection.client.set_missing_host_key_policy(paramiko.RejectPolicy())
    try:
        connection.open()
    except (paramiko.SSHException, OSError, EOFError) as error:
        connection.client.close()
        raise _translated(error, node, expected) from error
    return connection


def _translated(error: Exception, node: Node, expected: paramiko.PKey) -> FleetError:
    where = _where(node)
    if isinstance(error, paramiko.BadHostKeyException):
        return CloudRefused(
            f"its host key is {fingerprint(error.key)}, expected {fingerprint(expected)}",
            where=where,
            do="Another machine answers there, or it was set up anew. If you know why: fleet hosts add again.",
        )
    if isinstance(error, paramiko.AuthenticationException):
        do = "Check the user and the key; on a new node the key may not be there yet."
        return NotLetIn(f"user {node.user} with key {node.key_file} was not let in", where=where, do=do)
    if "known_hosts" in str(error) or "host key" in str(error):
        return CloudRefused(
            f"it offers no {expected.get_name()} host key, expected {fingerprint(expected)}",
            where=where,
            do="Another machine answers there, or it was set up anew. If you know why: fleet hosts add again.",
        )
    said = str(error).lower() or "the connection was closed"
    if isinstance(error, TimeoutError) or "banner" in said:
        said = f"no SSH answer in {CONNECT_S:g} s"
    return Unreachable(said, where=where, do="Is it an SSH server, and is the node up?")


def _host_key(node: Node) -> tuple[str, bytes]:
    try:
        kind, text = node.host_key.split()[:2]
        return kind, base64.b64decode(text, validate=True)
    except ValueError as error:
        do = 'It looks like "ssh-ed25519 AAAA...".'
        raise BadInput("its pinned host key is no public key", where=_where(node), do=do) from error


def _config() -> fabric.Config:
    """Without ~/.ssh/config: what the inventory says is all that counts.

    A new one each time (0.3 ms): a Connection writes into its own, which empties and refills it, so that another
    thread's Connection would find nothing in it meanwhile.
    """
    return fabric.Config(overrides={"load_ssh_configs": False}, lazy=True)


def _send(channel: paramiko.Channel, data: bytes) -> bool:
    """Whether all of it went; False where the command has ended and said why."""
    try:
        channel.sendall(data)
    except TimeoutError:
        raise
    except OSError:
        return False
    return True


def _drain(receive: Callable[[int], bytes], into: bytearray) -> bool:
    """Whether the stream came to its end, rather than to a silence longer than the time-out."""
    try:
        while piece := receive(CHUNK_BYTES):
            into += piece
    except TimeoutError:
        return False
    return True


def _where(node: Node) -> str:
    return f"{node.name} ({node.address}:{node.port})"
