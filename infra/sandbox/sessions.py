"""Stands in for AWS's CLI and its Session Manager plugin, as far as SSH through a session needs them.

`aws ssm start-session ...` asks the API for a session and becomes `session-manager-plugin ANSWER ...`, as AWS's own
does (aws-cli, customizations/sessionmanager.py). The plugin's part carries bytes to where the answer says: here plain
TCP to the host, on AWS a WebSocket to the agent. Standard library only: it starts once a connection.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

CHUNK_BYTES = 1 << 16
OPERATION = "StartSession"
PLUGIN = Path(__file__).resolve().parent / "bin" / "session-manager-plugin"


def aws(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="aws", description="The sandbox's stand-in: ssm start-session alone.")
    parser.add_argument("service", choices=["ssm"])
    parser.add_argument("command", choices=["start-session"])
    for name in ("--target", "--document-name", "--parameters", "--region", "--endpoint-url"):
        parser.add_argument(name, required=True)
    parser.add_argument("--profile", default="")
    given = parser.parse_args(words)
    key, _, value = given.parameters.partition("=")
    asked = {"Target": given.target, "DocumentName": given.document_name, "Parameters": {key: [value]}}
    headers = {
        "Content-Type": "application/x-amz-json-1.1",
        "X-Amz-Target": f"AmazonSSM.{OPERATION}",
        # The sandbox checks no signature; it reads the region and the service.
        "Authorization": f"AWS4-HMAC-SHA256 Credential=sandbox/20260101/{given.region}/ssm/aws4_request",
    }
    request = urllib.request.Request(given.endpoint_url, json.dumps(asked).encode(), headers)
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        answer = direct.open(request, timeout=30).read().decode()
    except urllib.error.HTTPError as error:
        said = json.loads(error.read() or b"{}")
        code, message = str(said.get("__type", error.code)).split("#")[-1], said.get("message", "")
        print(f"An error occurred ({code}) when calling the {OPERATION} operation: {message}", file=sys.stderr)
        return 254
    except OSError as error:
        print(f"Could not connect to the endpoint URL: {given.endpoint_url} ({error})", file=sys.stderr)
        return 255
    told = [answer, given.region, OPERATION, given.profile, json.dumps(asked), given.endpoint_url]
    return os.execv(PLUGIN, [str(PLUGIN), *told])


def plugin(words: list[str]) -> int:
    at = urlsplit(json.loads(words[0])["StreamUrl"])
    try:
        there = socket.create_connection((at.hostname, at.port), timeout=10)
    except OSError as error:
        print(f"Connection to destination port failed, {error}", file=sys.stderr)
        return 1
    there.settimeout(None)
    there.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    threading.Thread(target=_upwards, args=(there,), daemon=True).start()
    while piece := there.recv(CHUNK_BYTES):
        _write(piece)
    return 0


def _upwards(there: socket.socket) -> None:
    while piece := os.read(0, CHUNK_BYTES):
        there.sendall(piece)
    # Nobody is left who could read an answer.
    os._exit(0)


def _write(piece: bytes) -> None:
    while piece:
        piece = piece[os.write(1, piece) :]


if __name__ == "__main__":
    sys.exit({"aws": aws, "session-manager-plugin": plugin}[sys.argv[1]](sys.argv[2:]))
