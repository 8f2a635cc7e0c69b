"""Acting on nodes: one kept connection each, over SSH or on this machine, behind one small interface.

    with Machines(inventory) as machines:
        results = machines.run("uname -r", timeout_s=10)      # {rank: Result | FleetError}

Nothing is installed on a node. A script goes in on stdin, so neither it nor a secret in it shows in `ps` or a log.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from infra.errors import CloudRefused, FleetError
from training.inventory import Inventory, Node

T = TypeVar("T")
Progress = Callable[[int], None]  #: called with the number of bytes that were just moved

CHUNK_BYTES = 1 << 18
#: Connections that are set up at one time. The work is cryptography on this CPU: more of them only wait.
POOL = 32


class Unreachable(CloudRefused):
    """No answer, or an answer that broke off: the node may be well and the way to it not."""


class NotLetIn(CloudRefused):
    """The node answered and did not take the key. While it boots, the key may not be there yet."""


@dataclass(frozen=True)
class Result:
    """What a script gave. Bytes that are no UTF-8 are kept as surrogates: `raw` gives them back."""

    exit_code: int
    out: str
    err: str

    @property
    def raw(self) -> bytes:
        return self.out.encode("utf-8", "surrogateescape")

    def must(self, node: Node, doing: str) -> Result:
        """Itself, or CloudRefused that says which node refused what."""
        if self.exit_code == 0:
            return self
        said = (self.err.strip() or self.out.strip() or f"exit code {self.exit_code}").splitlines()[-1]
        raise CloudRefused(f"{doing} failed: {said}", where=node.name, do="Look at the node.")


class Connection(Protocol):
    """One node, connected. `~/` at the start of a remote path is the node's home folder."""

    @property
    def node(self) -> Node: ...

    @property
    def alive(self) -> bool: ...

    def run(self, script: str, timeout_s: float) -> Result: ...

    def get(
        self, remote: str, local: Path, offset: int = 0, progress: Progress | None = None, timeout_s: float = 60
    ) -> None:
        """Appends what `remote` holds from `offset` on to `local`. timeout_s: the longest silence."""

    def put(
        self, local: Path, remote: str, offset: int = 0, progress: Progress | None = None, timeout_s: float = 60
    ) -> None:
        """Appends what `local` holds from `offset` on to `remote`, whose folder is made."""

    def close(self) -> None: ...


def whole(script: str) -> bytes:
    """`script` for the stdin of `bash -s`: read to its end before it starts, and none of it is a command's input."""
    return ("{\n" + script + "\n} </dev/null\nexit\n").encode("utf-8", "surrogateescape")


def quoted(path: str) -> str:
    """A remote path for a shell, with a leading `~/` left to mean the home folder."""
    if path == "~":
        return '"$HOME"'
    return f'"$HOME"/{shlex.quote(path[2:])}' if path.startswith("~/") else shlex.quote(path)


def sending(remote: str, offset: int) -> str:
    return f"tail -c +{offset + 1} -- {quoted(remote)}"


def receiving(remote: str, offset: int) -> str:
    """Appends stdin, at `offset` only: what an earlier attempt left beyond it is cut off."""
    path = quoted(remote)
    return f'mkdir -p -- "$(dirname -- {path})" && touch -- {path} && truncate -s {offset} -- {path} && cat >> {path}'


class Local:
    """This machine, with the environment that an SSH session would have: none of what makes a rank."""

    KEPT = ("HOME", "USER", "LOGNAME", "PATH", "SHELL", "LANG", "TZ", "TMPDIR", "HTTP_PROXY", "HTTPS_PROXY")
    KEPT_PREFIXES = ("LC_", "UV_", "PIP_", "SSL_CERT_", "NO_PROXY")

    def __init__(self, node: Node) -> None:
        self.node = node

    @property
    def alive(self) -> bool:
        return True

    def run(self, script: str, timeout_s: float) -> Result:
        process = self._start("exec bash -s")
        try:
            out, err = process.communicate(whole(script), timeout_s)
        except subprocess.TimeoutExpired as error:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise Unreachable(
                f"no answer in {timeout_s:g} s", where=self.node.name, do="Look at what holds this machine up."
            ) from error
        return Result(process.returncode, _text(out), _text(err))

    def get(
        self, remote: str, local: Path, offset: int = 0, progress: Progress | None = None, timeout_s: float = 60
    ) -> None:
        process = self._start(sending(remote, offset))
        assert process.stdin and process.stdout and process.stderr
        process.stdin.close()
        with local.open("ab") as file:
            while piece := process.stdout.read(CHUNK_BYTES):
                file.write(piece)
                if progress:
                    progress(len(piece))
        Result(process.wait(), "", _text(process.stderr.read())).must(self.node, f"reading {remote}")

    def put(
        self, local: Path, remote: str, offset: int = 0, progress: Progress | None = None, timeout_s: float = 60
    ) -> None:
        process = self._start(receiving(remote, offset))
        assert process.stdin and process.stderr
        try:
            with local.open("rb") as file, process.stdin:
                file.seek(offset)
                while piece := file.read(CHUNK_BYTES):
                    process.stdin.write(piece)
                    if progress:
                        progress(len(piece))
        except BrokenPipeError:
            pass  # The shell has ended: its exit code and stderr say why.
        Result(process.wait(), "", _text(process.stderr.read())).must(self.node, f"writing {remote}")

    def close(self) -> None:
        pass

    def _start(self, command: str) -> subprocess.Popen[bytes]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if name.upper() in self.KEPT or name.upper().startswith(self.KEPT_PREFIXES)
        }
        pipe = subprocess.PIPE
        return subprocess.Popen(
            ["bash", "-c", command],
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            env=kept,
            cwd=kept.get("HOME", "/"),
            start_new_session=True,
        )


def connect(node: Node, gateway: Connection | None = None) -> Connection:
    """gateway: an open connection to the node that stands before this one."""
    if not node.address:
        return Local(node)
    from training.ssh import Ssh  # fabric and paramiko take long to import, and a local fleet needs neither

    assert gateway is None or isinstance(gateway, Ssh)
    return Ssh(node, gateway)


class Machines:
    """The nodes of an inventory and their connections, made when first needed and kept until the end."""

    def __init__(self, inventory: Inventory) -> None:
        self.inventory = inventory
        self._kept: dict[int, Connection] = {}
        self._locks = {node.rank: threading.Lock() for node in inventory.nodes}
        self._pool = ThreadPoolExecutor(min(POOL, len(inventory.nodes)), thread_name_prefix="fleet-node")

    def __enter__(self) -> Machines:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def ranks(self) -> tuple[int, ...]:
        return tuple(self._locks)

    def node(self, rank: int) -> Node:
        return next(node for node in self.inventory.nodes if node.rank == rank)

    def each(
        self, fn: Callable[[Connection], T], ranks: Iterable[int] | None = None, *, idempotent: bool = False
    ) -> dict[int, T | FleetError]:
        """What `fn` gives on each node, all at once; a node that fails has its error in its place.

        idempotent: `fn` may run a second time, so a connection that drops meanwhile is made anew, once.
        """
        chosen = list(self.ranks if ranks is None else ranks)
        if len(chosen) == 1:
            futures = {chosen[0]: _done(lambda: self.on(chosen[0], fn, idempotent=idempotent))}
        else:
            futures = {rank: self.submit(rank, fn, idempotent=idempotent) for rank in chosen}
        results: dict[int, T | FleetError] = {}
        for rank, future in futures.items():
            one = settled(future)
            results[rank] = one
        return results

    def run(
        self, script: str, timeout_s: float, ranks: Iterable[int] | None = None, *, idempotent: bool = False
    ) -> dict[int, Result | FleetError]:
        return self.each(lambda c: c.run(script, timeout_s), ranks, idempotent=idempotent)

    def submit(self, rank: int, fn: Callable[[Connection], T], *, idempotent: bool = False) -> Future[T]:
        return self._pool.submit(self.on, rank, fn, idempotent=idempotent)

    def on(self, rank: int, fn: Callable[[Connection], T], *, idempotent: bool = False) -> T:
        """What `fn` gives on one node; its error is raised."""
        connection = self._connection(rank)
        try:
            return fn(connection)
        except Unreachable:
            self._forget(rank, connection)
            if not idempotent:
                raise
        return fn(self._connection(rank))

    def become(self, inventory: Inventory) -> None:
        """The same ranks, some on other machines: all are connected to anew, for one may be the others' gateway."""
        for connection in self._kept.values():
            connection.close()
        self._kept.clear()
        self.inventory = inventory

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        for connection in list(self._kept.values()):  # a node that is being connected to adds itself meanwhile
            connection.close()
        self._kept.clear()

    def _connection(self, rank: int) -> Connection:
        with self._locks[rank]:
            kept = self._kept.get(rank)
            if kept is None or not kept.alive:
                node = self.node(rank)
                gateway = self._connection(self.inventory.master.rank) if node.behind_master else None
                kept = self._kept[rank] = connect(node, gateway)
            return kept

    def _forget(self, rank: int, connection: Connection) -> None:
        connection.close()
        with self._locks[rank]:
            if self._kept.get(rank) is connection:
                del self._kept[rank]


def settled(future: Future[T]) -> T | FleetError:
    """What a future gave; an error that is ours as a value, any other raised."""
    error = future.exception()
    if isinstance(error, FleetError):
        return error
    return future.result()


def all_or_raise(results: Mapping[int, T | FleetError]) -> dict[int, T]:
    """The results, or one error that names every node that failed; its class is the first one's."""
    errors = {rank: one for rank, one in results.items() if isinstance(one, FleetError)}
    if not errors:
        return {rank: one for rank, one in results.items() if not isinstance(one, FleetError)}
    first = next(iter(errors.values()))
    if len(errors) == 1:
        raise first
    raise type(first)("\n".join(str(error) for error in errors.values())) from first


def _done(fn: Callable[[], T]) -> Future[T]:
    future: Future[T] = Future()
    try:
        future.set_result(fn())
    except FleetError as error:
        future.set_exception(error)
    return future


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
