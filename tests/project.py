"""A project of its own for tests: stack files, state, keys, sandbox and addresses that no developer's fleet shares.

Its program and scripts are links to the repository's, so what is tested is what is there. uv's cache and the Pulumi
CLI are the developer's own: both are read alone, and getting them anew would take minutes.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import psutil
import yaml

from infra import sweep
from infra.cloud import Cloud, cloud_of
from infra.sandbox import process
from infra.stack_files import load_stack

REPO = Path(__file__).resolve().parents[1]
FLEET = REPO / ".venv" / "bin" / "fleet"
#: Another process's tests, at the same time, most likely begin elsewhere.
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
NETWORKS = (79 + (os.getpid() // 2 * 2 + 2 * number + WORKER % 2) % 20 for number in itertools.count())
_FOREIGN = ("AWS_", "PULUMI_", "FLEET_", "COV_")


@dataclass(frozen=True)
class Done:
    """How a command ended. `code` is negative where a signal ended it."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines() if line.startswith("{")]

    @property
    def all(self) -> str:
        return self.out + self.err

    def ok(self) -> Done:
        assert self.code == 0, f"exit code {self.code}\n{self.out[-3000:]}\n{self.err[-3000:]}"
        return self


@dataclass
class Project:
    """A folder with a Pulumi.yaml. `home` is where its sandbox lives; two projects may share one."""

    root: Path
    home: Path
    port: int
    ssh_port: int
    network: str
    env: dict[str, str] = field(default_factory=dict)
    shell: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def state(self) -> Path:
        return self.home / str(self.port)

    @property
    def record(self) -> Path:
        return self.root / ".fleet"

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        mine = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
        # uv as it most often is, beside other programs: a host is not given a virtual environment's folder, and would
        # get its own by pip.
        path = f"{self.root / 'bin'}:{mine['PATH']}"
        return (
            mine | {"PATH": path, "FLEET_SANDBOX_HOME": str(self.home), "COLUMNS": "200"} | self.env | dict(extra or {})
        )

    def fleet(
        self,
        *words: str | Path,
        say: str = "",
        env: Mapping[str, str] | None = None,
        within: float = 240,
        cwd: Path | None = None,
    ) -> Done:
        """`fleet WORDS` as typed in the project's folder, with `say` on its standard input."""
        return self.run([FLEET, *words], say=say, env=env, within=within, cwd=cwd)

    def run(
        self,
        command: list[str | Path],
        *,
        say: str = "",
        env: Mapping[str, str] | None = None,
        within: float = 240,
        cwd: Path | None = None,
    ) -> Done:
        environment = self.environment(env)
        done = subprocess.run(
            [shutil.which(str(command[0]), path=environment["PATH"]) or command[0], *command[1:]],
            cwd=cwd or self.root,
            env=environment,
            input=say,
            capture_output=True,
            text=True,
            timeout=within,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def going(self, *words: str | Path, env: Mapping[str, str] | None = None) -> Going:
        """`fleet WORDS`, started and not waited for."""
        return Going([FLEET, *words], self.root, self.environment(env))

    def pulumi(self, *words: str, within: float = 240) -> Done:
        """`pulumi WORDS` as typed in a shell where `eval "$(fleet sandbox env)"` was typed once."""
        if not self.shell:
            script = f'eval "$({FLEET} sandbox env)" && env -0'
            said = self.run(["bash", "-c", script]).ok().out
            self.shell = dict(pair.split("=", 1) for pair in said.split("\0") if "=" in pair)
        return self.run(["pulumi", *words], env=self.shell, within=within)

    def stack(self, name: str = "sandbox", *, change: Mapping[str, Any] | None = None, drop: str = "") -> Path:
        """Writes `stacks/Pulumi.<name>.yaml`: the repository's sandbox stack with this project's places."""
        data = yaml.safe_load((REPO / "stacks" / "Pulumi.sandbox.yaml").read_text())
        services = data["config"]["aws:endpoints"][0]
        data["config"] |= {
            "aws:endpoints": [dict.fromkeys(services, f"http://127.0.0.1:{self.port}")],
            "swift-fleet:vpcCidr": self.network,
            "swift-fleet:sshPort": str(self.ssh_port),
        } | dict(change or {})
        data["config"].pop(drop, None)
        file = self.root / "stacks" / f"Pulumi.{name}.yaml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(yaml.safe_dump(data, sort_keys=False))
        return file

    def job(self, tiny: Path, name: str = "job.yaml", **args: Any) -> Path:
        """The recipe of the demo, with its model and data named where they are and other `args` where given."""
        data = yaml.safe_load((REPO / "training" / "recipes" / "tiny-sft-lora.yaml").read_text())
        data["args"] |= {"model": str(tiny / "model"), "dataset": str(tiny / "docstrings.jsonl")} | args
        file = self.root / name
        file.write_text(yaml.safe_dump(data, sort_keys=False))
        return file

    def another(self, root: Path) -> Project:
        """A second folder on the same cloud, as another clone on another machine is: no keys, no records."""
        return new_project(root, Project(root, self.home, self.port, self.ssh_port, self.network, dict(self.env)))

    def nodes_set_up(self, really: bool) -> None:
        """Whether nodes that boot from here on set themselves up; else that fails at its first step. It takes most of
        what a node costs this machine, and a fleet on which nothing trains does not need it."""
        uv, real = self.root / "bin" / "uv", shutil.which("uv")
        assert real, "scripts/prepare puts uv on PATH"
        uv.unlink(missing_ok=True)
        if really:
            uv.symlink_to(real)
        else:
            uv.write_text("#!/bin/sh\necho no node is set up here >&2\nexit 1\n")
            uv.chmod(0o755)

    def cloud(self, stack: str = "sandbox") -> Cloud:
        return cloud_of(load_stack(self.root, stack)[1], source=stack)

    def left(self, stack: str = "sandbox") -> list[str]:
        """What the cloud still has of a stack, asked by boto3 whatever any state file says."""
        return [f"{thing.kind} {thing.id}" for answer in sweep.look(self.cloud(stack), stack) for thing in answer.found]

    def control(self, path: str, body: Any = None) -> Any:
        return process.control(self.port, path, body)

    def calls(self) -> list[dict[str, Any]]:
        """Every request that the cloud has had."""
        file = self.state / "requests.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def node_homes(self) -> list[Path]:
        return sorted((self.state / "hosts").glob("*/home"))

    def beyond_the_policy(self) -> set[str]:
        """What this cloud was asked for, by us and by the provider, that docs/operator-policy.json does not allow."""
        policy = json.loads((REPO / "docs" / "operator-policy.json").read_text())
        allowed = [action for one in policy["Statement"] for action in one["Action"]]
        of = {"efs": "elasticfilesystem"}
        asked = {f"{of.get(call['service'], call['service'])}:{call['action']}" for call in self.calls()}
        assert asked
        return {one for one in asked if not any(fnmatch(one, pattern) for pattern in allowed)}

    def processes(self) -> dict[int, str]:
        """Everything that runs of this project's: it carries the sandbox's home in its environment or its command."""
        mark, found = os.fsencode(self.home), {}
        for one in Path("/proc").iterdir():
            if not one.name.isdigit() or int(one.name) == os.getpid():
                continue
            with contextlib.suppress(OSError):
                command = (one / "cmdline").read_bytes()
                if command and (mark in command or mark in (one / "environ").read_bytes()):
                    found[int(one.name)] = command.replace(b"\0", b" ").decode(errors="replace").strip()
        return found

    def listeners(self) -> list[str]:
        """Sockets that listen on the project's ports, or anywhere on its network."""
        prefix = self.network.split(".0.0/")[0] + "."
        return [
            f"{one.laddr.ip}:{one.laddr.port}"
            for one in psutil.net_connections("tcp")
            if one.status == psutil.CONN_LISTEN
            and (one.laddr.ip.startswith(prefix) or (one.laddr.ip == "127.0.0.1" and one.laddr.port == self.port))
        ]

    def end(self) -> None:
        """Stops the sandbox, and whatever of the project is left beside it."""
        process.stop(self.state)
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


class Going:
    """A `fleet` command under way, in a session of its own as under a terminal: its group gets what Ctrl-C sends."""

    def __init__(self, command: list[str | Path], cwd: Path, env: Mapping[str, str]) -> None:
        self.lines: list[str] = []
        self.errors: list[str] = []
        self._news = threading.Condition()
        self._child = subprocess.Popen(
            command,
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._readers = [
            threading.Thread(target=self._read, args=(stream, into), daemon=True)
            for stream, into in ((self._child.stdout, self.lines), (self._child.stderr, self.errors))
        ]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        return self._child.pid

    def goes_on(self) -> bool:
        return self._child.poll() is None

    def until(self, fits: Callable[[dict[str, Any]], bool], *, within: float = 240) -> dict[str, Any]:
        """The first event (from the beginning) that fits; fails when the command ends or the time is over."""
        deadline = time.monotonic() + within
        read = 0
        with self._news:
            while True:
                for line in self.lines[read:]:
                    read += 1
                    if line.startswith("{") and fits(event := json.loads(line)):
                        return event
                if not self._readers[0].is_alive() or time.monotonic() > deadline:
                    raise AssertionError(f"it did not come to that:\n{''.join(self.lines + self.errors)[-3000:]}")
                self._news.wait(0.2)

    def stage(self, name: str, *, within: float = 240) -> None:
        """Waits until the stage has begun."""
        self.until(lambda event: event.get("stage") == name and event["state"] == "started", within=within)

    def signal(self, number: signal.Signals, *, group: bool = False) -> Done:
        """Sends a signal, and waits for the end. group: to all processes of the terminal, as Ctrl-C does."""
        if group:
            os.killpg(self.pid, number)
        else:
            os.kill(self.pid, number)
        return self.ended()

    def ended(self, *, within: float = 240) -> Done:
        code = self._child.wait(timeout=within)
        for reader in self._readers:
            reader.join(2)  # a child of the command may hold its end of the pipe
        return Done(code, "".join(self.lines), "".join(self.errors))

    def _read(self, stream: Any, into: list[str]) -> None:
        for line in stream:
            with self._news:
                into.append(line)
                self._news.notify_all()
        with self._news:
            self._news.notify_all()


@dataclass(frozen=True)
class Life:
    """What is known after one whole `fleet run` in a sandbox that is stopped again.

    left: what the cloud had of the stack after the run; sockets: (process, address) of every connection that a
    Python process of it opened; calls: the cloud's request log.
    """

    project: Project
    done: Done
    folder: Path
    receipt: dict[str, Any]
    left: list[str]
    idle: list[str]
    calls: list[dict[str, Any]]
    sockets: list[tuple[str, str]]

    @property
    def run_id(self) -> str:
        return str(self.receipt["request"]["run_id"])

    def log(self, rank: int) -> str:
        return (self.folder / "logs" / f"rank-{rank}.log").read_text(errors="replace")


@dataclass(frozen=True)
class Local:
    """A run with --local, and the environment that it made for ms-swift."""

    project: Project
    done: Done
    home: Path

    @property
    def python(self) -> Path:
        return self.home / "swift-env" / "bin" / "python"


def new_project(root: Path, project: Project | None = None) -> Project:
    """A project in `root`, which is made; with a sandbox of its own unless another project is given."""
    root.mkdir(parents=True)
    project = project or Project(
        root, root / "sandbox-home", free_port(), free_port(), f"127.{next(NETWORKS)}.0.0/16", {}
    )
    shutil.copy(REPO / "Pulumi.yaml", root)
    for name in ("infra", "scripts", "pyproject.toml", "uv.lock", ".venv"):
        (root / name).symlink_to(REPO / name)
    (root / "bin").mkdir()
    project.nodes_set_up(True)
    project.stack()
    return project


@contextlib.contextmanager
def project_in(root: Path) -> Iterator[Project]:
    project = new_project(root)
    try:
        yield project
    finally:
        project.end()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(what: Callable[[], Any], *, within: float = 60.0) -> Any:
    """The first true value of `what`; fails when the deadline has passed."""
    deadline = time.monotonic() + within
    while not (value := what()):
        assert time.monotonic() < deadline, f"not within {within} s: {getattr(what, '__name__', what)}"
        time.sleep(0.05)
    return value
