"""Acting on all nodes: one kept connection each, over SSH or on this machine.

with Machines(inventory) as machines:
    results = machines.run("uname -r", timeout_s=10)      # {rank: Result | FleetError}
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from infra.errors import FleetError
from training.connection import Connection, Result, Unreachable
from training.inventory import Inventory, Node
from training.local import Local

T = TypeVar("T")
#: Connections that are set up at one time. The work is cryptography on this CPU: more of them only wait.
POOL = 32


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
