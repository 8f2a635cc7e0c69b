"""Runs ms-swift itself: run with a node's python, cases on stdin as in judged.py, what became of each on stdout.

Of a case: {"error": what it died of or null, "steps": those that it logged}. Each is the one rank of its own world.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import socket
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from judged import apart

MAINS = {
    "swift sft": "sft_main",
    "swift pt": "pretrain_main",
    "swift rlhf": "rlhf_main",
    "swift sample": "sampling_main",
}


def main() -> None:
    cases = json.load(sys.stdin)
    verdicts = sys.stdout
    with contextlib.redirect_stdout(io.StringIO()), tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        pipelines = importlib.import_module("swift.pipelines")
        importlib.import_module("swift.rlhf_trainers.ppo_trainer")
        answers = [apart(partial(ran, pipelines, case, f"run-{n}")) for n, case in enumerate(cases)]
    json.dump(answers, verdicts)


def ran(pipelines: Any, case: dict[str, Any], output: str) -> dict[str, Any]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ranks = {"RANK": 0, "LOCAL_RANK": 0, "NODE_RANK": 0, "WORLD_SIZE": 1, "LOCAL_WORLD_SIZE": 1, "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in ranks.items()} | {"MASTER_ADDR": "127.0.0.1"}
    args = case["args"] | {"output_dir": output}
    Path(f"{output}.yaml").write_text(json.dumps(args))
    error = None
    try:
        from swift.cli.main import parse_yaml_args

        argv = [f"{output}.yaml"]
        parse_yaml_args(argv)
        getattr(pipelines, MAINS[case["command"]])(argv)
    except Exception as raised:  # noqa: BLE001  what ms-swift raises is the answer
        error = f"{type(raised).__name__}: {raised}"
    logs = list(Path(output).rglob("logging.jsonl"))
    lines = [json.loads(line) for one in logs for line in one.read_text().splitlines()]
    return {"error": error, "steps": sum("loss" in one or "eps" in one for one in lines)}


if __name__ == "__main__":
    main()
