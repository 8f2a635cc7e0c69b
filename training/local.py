"""This machine as a node."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from training.connection import CHUNK_BYTES, Progress, Result, Unreachable, receiving, sending, text, whole
from training.inventory import Node


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
        return Result(process.returncode, text(out), text(err))

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
        Result(process.wait(), "", text(process.stderr.read())).must(self.node, f"reading {remote}")

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
        Result(process.wait(), "", text(process.stderr.read())).must(self.node, f"writing {remote}")

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
