"""A Python language host for a Pulumi CLI that has none, so that plain `pulumi up` runs where only the CLI is.

Releases of the CLI ship `pulumi-language-python`; a CLI built as a Go tool does not. This one runs the program
with the interpreter it runs in: the SDK's own server for inline programs, given a program that is a directory.
"""

from __future__ import annotations

import os
import runpy
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import empty_pb2
from pulumi.automation._server import LanguageServer
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2

MAX_MESSAGE = 400 * 1024 * 1024


class LanguageHost(LanguageServer):
    """Runs `<program directory>` as `python <program directory>` would: its `__main__.py`."""

    def __init__(self) -> None:
        super().__init__(program=lambda: None)

    def Handshake(self, request: Any, context: Any) -> Any:
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version="0.0.0")

    def GetProgramDependencies(self, request: Any, context: Any) -> Any:
        return language_pb2.GetProgramDependenciesResponse()

    def RuntimeOptionsPrompts(self, request: Any, context: Any) -> Any:
        return language_pb2.RuntimeOptionsResponse()

    def InstallDependencies(self, request: Any, context: Any) -> Any:
        # `uv sync` made the environment; `pulumi install` has nothing to add.
        yield language_pb2.InstallDependenciesResponse()

    def Cancel(self, request: Any, context: Any) -> Any:
        return empty_pb2.Empty()

    def Run(self, request: Any, context: Any) -> Any:
        directory = Path(request.info.program_directory or request.program)
        entry = request.info.entry_point or "."
        self.program = lambda: run_program(directory, entry)
        answer = super().Run(request, context)
        # What is wrong was logged where it arose; told as an error too, the engine would show it twice.
        answer.bail = bool(answer.error)
        return answer

    def RunPlugin(self, request: Any, context: Any) -> Any:
        """A plugin that ships as source: `python <its directory>`, until the engine ends it."""
        command = [sys.executable, request.info.program_directory, *request.args]
        env = dict(pair.split("=", 1) for pair in request.env) or None
        child = subprocess.Popen(command, cwd=request.pwd or None, env=env, stdout=subprocess.PIPE)
        context.add_callback(child.terminate)
        for line in child.stdout or ():
            yield language_pb2.RunPluginResponse(stdout=line)
        yield language_pb2.RunPluginResponse(exitcode=child.wait())


def run_program(directory: Path, entry: str) -> None:
    """The program, in its own directory and with the project's root importable, as the shipped host has it."""
    target = directory if entry == "." else directory / entry
    sys.argv = [str(target)]
    os.chdir(directory)
    runpy.run_path(str(target), run_name="__main__")


def main() -> None:
    server = grpc.server(
        ThreadPoolExecutor(max_workers=8),
        options=[("grpc.max_receive_message_length", MAX_MESSAGE), ("grpc.max_send_message_length", MAX_MESSAGE)],
    )
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(LanguageHost(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    stopped = threading.Event()
    # The engine ends its plugins with SIGINT.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    engine = os.getppid()
    while not stopped.wait(1) and os.getppid() == engine:
        continue
    server.stop(grace=None)


if __name__ == "__main__":
    main()
