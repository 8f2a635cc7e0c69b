"""The `pulumi` CLI: found, or got once into the user's cache. There is no other engine."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from infra.errors import BadInput, CloudRefused

#: What is got where none is there: the newest release that Go's module proxy has as well.
VERSION = "3.259.0"
#: As old as the SDK may be: older ones don't know all that it asks of them.
OLDEST = (3, 250, 0)
GO_MODULE = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
GO_VERSION_VARIABLE = "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version"

Say = Callable[[str], None]


def find(environ: dict[str, str] | None = None) -> Path | None:
    """The CLI on PATH, else the one in the cache, else None. Raises BadInput for one that is too old."""
    environ = dict(os.environ) if environ is None else environ
    on_path = shutil.which("pulumi", path=environ.get("PATH"))
    for candidate in (Path(on_path) if on_path else None, _cached(environ)):
        if candidate and candidate.exists():
            _check_age(candidate)
            return candidate
    return None


def ensure(say: Say = lambda line: None) -> Path:
    """The CLI; got where there is none: by the SDK's own installer, else built as a Go tool (5 minutes, once)."""
    found = find()
    if found:
        return found
    home = _cached(dict(os.environ))
    say(f"pulumi {VERSION} is not on PATH: getting it once into {home.parent.parent}")
    if not _install(home, say):
        _build(home, say)
    return home


@contextmanager
def ends_in_order() -> Iterator[None]:
    """While an engine works: Ctrl-C and SIGTERM let it end what it is at, and only then end us.

    It writes down what it has made by then. Were its output closed before, it would die in the middle of a create.
    Ctrl-C reaches it from the terminal as it does us; a second one ends both at once.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught = 0

    def on_signal(number: int, frame: Any) -> None:
        nonlocal caught
        caught += 1
        if caught > 1:
            raise KeyboardInterrupt
        if number == signal.SIGTERM:
            _interrupt_engines()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except Exception as error:
        if caught:
            raise KeyboardInterrupt from error
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if caught:
        raise KeyboardInterrupt


def _interrupt_engines() -> None:
    """Those that this process has started; not its other children, of which a sandbox may be one."""
    import psutil

    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            if child.name() == "pulumi":
                child.send_signal(signal.SIGINT)


def _cached(environ: dict[str, str]) -> Path:
    cache = environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME", "~")).expanduser() / ".cache"
    return Path(cache) / "swift-fleet" / f"pulumi-{VERSION}" / "bin" / "pulumi"


def _check_age(command: Path) -> None:
    said = _version(command)
    try:
        version = tuple(int(n) for n in said.removeprefix("v").split("-")[0].split("."))
    except ValueError as error:
        raise BadInput(f"says {said!r} for its version", where=str(command), do="Install a release.") from error
    if version < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise BadInput(
            f"pulumi {said} is too old, {oldest} is needed",
            where=str(command),
            do="Update it, or take it off PATH to have fleet get one.",
        )


def _version(command: Path) -> str:
    try:
        done = subprocess.run([command, "version"], capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise BadInput(f"can't be run: {error}", where=str(command), do="Remove or reinstall it.") from error
    return done.stdout.strip()


def _install(home: Path, say: Say) -> bool:
    from pulumi.automation import PulumiCommand
    from semver import VersionInfo

    try:
        PulumiCommand.install(root=str(home.parent.parent), version=VersionInfo.parse(VERSION))
    except (OSError, subprocess.CalledProcessError) as error:
        say(f"no release can be downloaded here ({error.__class__.__name__}): building it with Go instead")
        return False
    return home.exists()


def _build(home: Path, say: Say) -> None:
    go = shutil.which("go")
    if not go:
        raise BadInput(
            "there is no pulumi, no release can be downloaded, and there is no Go to build it",
            do="Install pulumi: https://www.pulumi.com/docs/install/",
        )
    work = home.parent.parent / "build"
    work.mkdir(parents=True, exist_ok=True)
    (work / "go.mod").write_text("module swift-fleet-pulumi\n", encoding="utf-8")
    steps = (
        ("1 of 2: its sources, about a minute", ["get", "-tool", f"{GO_MODULE}@v{VERSION}"]),
        (
            "2 of 2: the build, about 4 minutes on two cores",
            # Without the version in the binary the Automation API refuses it.
            ["build", "-ldflags", f"-s -w -X {GO_VERSION_VARIABLE}={VERSION}", "-o", "pulumi", GO_MODULE],
        ),
    )
    for what, arguments in steps:
        say(f"pulumi {VERSION}, {what}")
        done = subprocess.run([go, *arguments], cwd=work, capture_output=True, text=True)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise CloudRefused(f"pulumi can't be built: {last}", where=str(work), do="Install pulumi by hand.")
    home.parent.mkdir(parents=True, exist_ok=True)
    (work / "pulumi").replace(home)
    shutil.rmtree(work)


if __name__ == "__main__":
    ensure(lambda line: print(line, flush=True))
