"""One node, connected: what can be asked of it, the shell that it is asked in, and how it says no.

Nothing is installed on a node. A script goes in on stdin, so neither it nor a secret in it shows in `ps` or a log.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from infra.errors import CloudRefused
from training.inventory import Node

Progress = Callable[[int], None]  #: called with the number of bytes that were just moved

CHUNK_BYTES = 1 << 18


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


def text(data: bytes | bytearray) -> str:
    return data.decode("utf-8", "surrogateescape")
