"""A way to a node that is a process: what it reads and writes is the connection."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Sequence

from infra.errors import BadInput

GRACE_S = 5.0


class Proxy:
    """`socket` is this end of it. It lives until `close`; if this process is killed, its end of file ends it."""

    def __init__(self, command: Sequence[str]) -> None:
        self.socket, theirs = socket.socketpair()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (open as long as the process)
        try:
            # A session of its own: Ctrl-C is for us, who still have to say goodbye through it.
            self._process = subprocess.Popen(
                command, stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=self._errors, start_new_session=True
            )
        except OSError as error:
            self.socket.close()
            self._errors.close()
            do = "Install it, or put it on PATH."
            raise BadInput(f"can't be run: {error.strerror}", where=command[0], do=do) from error
        finally:
            theirs.close()

    def said(self) -> str:
        """The last line that it wrote to stderr, once it has ended; "" while it lives."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.5)
            self._errors.seek(0)
            lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
            return lines[-1].strip() if lines else f"exit code {self._process.returncode}"
        return ""

    def close(self) -> None:
        self.socket.close()
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)  # `aws` waits for a child that carries the bytes
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(GRACE_S)
                break
        self._errors.close()
