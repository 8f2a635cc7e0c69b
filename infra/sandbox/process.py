"""The life of the sandbox process: start, stop, status, and the environment in which Pulumi uses it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from infra.errors import BadInput, CloudRefused
from infra.sandbox.state import Running, announced, hold, is_alive, state_dir

__all__ = ["Running", "control", "state_dir", "endpoint_port", "environment", "start", "status", "stop"]

START_S = 60.0
STOP_S = 60.0
DYING_S = 5.0
_BIN = Path(__file__).parent / "bin"
_REPO = Path(__file__).parents[2]


def start(state_dir: Path, port: int, ssh_port: int = 2222) -> Running:
    """The sandbox of this folder, started if need be; returns when it answers. A new one begins empty.

    BadInput: no Linux, or the port is taken. CloudRefused: it did not come up; the message has its log's end.
    """
    if not sys.platform.startswith("linux"):
        raise BadInput("the sandbox needs Linux, where all of 127.0.0.0/8 is loopback", do="Use a Linux machine.")
    state_dir = state_dir.absolute()
    state_dir.mkdir(parents=True, exist_ok=True)
    state_dir.chmod(0o700)
    with hold(state_dir / "start.lock", wait=True):
        if running := announced(state_dir):
            if running.port == port:
                return running
            raise BadInput(
                f"the sandbox in {state_dir} already runs on port {running.port}, not {port}",
                do="Stop it first, or use that port.",
            )
        _check_free(port)
        return _spawn(state_dir, port, ssh_port)


def stop(state_dir: Path) -> bool:
    """Ends the sandbox with all its hosts; True if one was running. Returns when nothing of it is left."""
    state_dir = state_dir.absolute()
    deadline = time.monotonic() + STOP_S
    if not is_alive(state_dir):
        return False
    running = announced(state_dir)
    if running is None:
        raise CloudRefused(f"the sandbox in {state_dir} is alive but has not said where", do="Try again in a moment.")
    os.kill(running.pid, signal.SIGTERM)
    while is_alive(state_dir):
        if time.monotonic() > deadline:
            log = state_dir / "sandbox.log"
            raise CloudRefused(f"the sandbox (pid {running.pid}) does not end", do=f"Its log is {log}.")
        time.sleep(0.05)
    return True


def status(state_dir: Path) -> dict[str, Any]:
    """`running` and, when it does: pid, port, ssh_port, since, now, clock_offset, instances, schedules."""
    running = announced(state_dir.absolute())
    if running is None:
        return {"running": False}
    try:
        return {"running": True, "pid": running.pid, **control(running.port, "status")}
    except CloudRefused:
        # A process that dies refuses its connections a little before the kernel lets go of its lock.
        deadline = time.monotonic() + DYING_S
        while is_alive(state_dir.absolute()):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        return {"running": False}


def control(port: int, path: str, body: Any = None) -> Any:
    """One call of the sandbox's own endpoints: GET, or POST when there is a body. BadInput, CloudRefused."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/_sandbox/{path}", data)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=30) as response:
            return json.loads(response.read())
    except urllib.error.HTTPError as error:
        # What the caller can put right: the request, or the state of what it is about.
        kind = BadInput if error.code in (400, 409) else CloudRefused
        raise kind(_said(error.read()), where=f"sandbox {path}") from error
    except OSError as error:
        raise CloudRefused(f"the sandbox on port {port} does not answer: {error}", do="Start it.") from error


def _said(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace")


def environment(state_dir: Path) -> dict[str, str]:
    """The variables with which `pulumi` works on the sandbox and leaves the user's own Pulumi alone."""
    state_dir = state_dir.absolute()
    for folder in (state_dir / "pulumi", state_dir / "pulumi-home"):
        folder.mkdir(parents=True, exist_ok=True)
    passphrase = state_dir / "passphrase"
    if not passphrase.exists():
        passphrase.touch(0o600)
        # No secret: the sandbox holds none. Constant, so that the salt in the stack file fits in every clone.
        passphrase.write_text("sandbox")
    return {
        # Without a file of attributes beside each: an engine killed while it writes one would leave it empty, and the
        # state unreadable.
        "PULUMI_BACKEND_URL": f"file://{state_dir}/pulumi?metadata=skip",
        "PULUMI_HOME": str(state_dir / "pulumi-home"),
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(passphrase),
        # It wins over the file: the operator's own one, for other stacks, must not be tried on this cloud's.
        "PULUMI_CONFIG_PASSPHRASE": passphrase.read_text(),
        "PULUMI_SKIP_UPDATE_CHECK": "1",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "FLEET_PYTHON": sys.executable,
        "PATH": os.pathsep.join([str(_BIN), *(p for p in [os.environ.get("PATH", "")] if p)]),
    }


def endpoint_port(stack_file: Path) -> int | None:
    """The port of a sandbox stack, whose `aws:endpoints` all lead to one port of this machine; None for any other."""
    try:
        config = (yaml.safe_load(stack_file.read_text()) or {}).get("config") or {}
    except (OSError, AttributeError, yaml.YAMLError) as error:
        raise BadInput(f"not a stack file: {error}", where=str(stack_file)) from error
    endpoints = config.get("aws:endpoints") or []
    if isinstance(endpoints, str):  # as `pulumi config set` writes structured values
        endpoints = json.loads(endpoints)
    urls = [urlsplit(url) for group in endpoints for url in group.values()]
    local = {url.port for url in urls if (url.hostname or "") == "localhost" or (url.hostname or "").startswith("127.")}
    if not local:
        return None
    if len(local) > 1 or len(urls) != sum(url.port in local for url in urls):
        raise BadInput("aws:endpoints lead to more than one place", where=str(stack_file), do="Give all one port.")
    return local.pop()


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise BadInput(
                f"port {port} of 127.0.0.1 is taken by another program ({error.strerror})",
                do="Change the port in aws:endpoints of the stack file, or stop the other program.",
            ) from error


def _spawn(state_dir: Path, port: int, ssh_port: int) -> Running:
    log = state_dir / "sandbox.log"
    command = [sys.executable, "-m", "infra.sandbox", str(state_dir), str(port), str(ssh_port)]
    with log.open("wb") as output:
        child = subprocess.Popen(
            command,
            cwd=_REPO,
            # A profile or an endpoint of the operator's own is not for the sandbox's calls to itself.
            env={name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if child.poll() is not None:
            break
        running = announced(state_dir)
        if running and running.pid == child.pid:
            return running
        time.sleep(0.05)
    else:
        child.kill()
    tail = log.read_text(errors="replace").strip().splitlines()[-5:]
    raise CloudRefused(f"the sandbox did not start: {' | '.join(tail)}", do=f"Its log is {log}.")
