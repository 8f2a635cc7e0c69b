"""Where a sandbox keeps its things, and whether one is alive there. One folder is one cloud."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO


@dataclass(frozen=True)
class Running:
    """A live sandbox. `since` is ISO 8601, UTC."""

    pid: int
    port: int
    ssh_port: int
    since: str
    state_dir: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def state_dir(port: int, environ: Mapping[str, str] = os.environ) -> Path:
    """One sandbox a user, machine and port, shared by clones of the repository."""
    if given := environ.get("FLEET_SANDBOX_HOME"):
        root = Path(given)
    else:
        home = Path(environ.get("HOME") or Path.home())
        root = Path(environ.get("XDG_STATE_HOME") or home / ".local" / "state") / "swift-fleet" / "sandbox"
    return root / str(port)


@contextlib.contextmanager
def hold(path: Path, *, wait: bool) -> Iterator[IO[str]]:
    """An exclusive lock that ends with the process, however it ends. BlockingIOError if it is held and wait is off."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield file


def is_alive(state_dir: Path) -> bool:
    """Whether a sandbox process holds this folder."""
    if not (state_dir / "alive.lock").exists():
        return False
    try:
        with hold(state_dir / "alive.lock", wait=False):
            return False
    except BlockingIOError:
        return True


def announce(running: Running) -> None:
    path = Path(running.state_dir) / "sandbox.json"
    fresh = path.with_suffix(f".{secrets.token_hex(4)}")
    fresh.write_text(json.dumps(asdict(running)))
    fresh.replace(path)


def announced(state_dir: Path) -> Running | None:
    """The live sandbox of this folder, as it announced itself."""
    if not is_alive(state_dir):
        return None
    try:
        return Running(**json.loads((state_dir / "sandbox.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None
