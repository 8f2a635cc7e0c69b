"""Train, merge, infer, serve in one run with real ms-swift: each on what the one before left; a request is answered."""

from __future__ import annotations

import json
import signal
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml
from project import Going, Project, eventually

pytestmark = [pytest.mark.full, pytest.mark.timeout(1500)]

OF_THE_MODEL = {"model_type": "qwen2", "template": "qwen2_5", "torch_dtype": "float32"}
ASKED = {"model": "tiny", "messages": [{"role": "user", "content": "def add(a, b):"}], "max_tokens": 8}


def chain(project: Project, tiny: Path) -> Path:
    file = project.job(tiny, dataset=f"{tiny}/docstrings.jsonl#64", split_dataset_ratio=0.1, save_steps=2, eval_steps=2)
    data = yaml.safe_load(file.read_text())
    env = dict(data["env"])
    data["then"] = [
        {"command": "export", "ranks": [1], "args": {"adapters": "{train.best_checkpoint}", "merge_lora": True}},
        {
            "command": "infer",
            "args": {"model": "{merge.output}", "val_dataset": f"{tiny}/docstrings.jsonl#4", "max_new_tokens": 8},
        },
        {"command": "deploy", "args": {"model": "{merge.output}", "served_model_name": "tiny", "port": 8123}},
    ]
    for step in data["then"]:
        step["args"] |= OF_THE_MODEL
        step["env"] = env
    file.write_text(yaml.safe_dump(data, sort_keys=False))
    return file


def test_a_chain_trains_merges_infers_and_serves_until_it_is_stopped(project: Project, tiny: Path) -> None:
    job = chain(project, tiny)
    refused = project.fleet("run", job, "-s", "sandbox", "--yes")
    assert refused.code == 2 and "the last step, deploy, serves: the fleet would stay" in refused.err

    done = project.fleet("run", job, "-s", "sandbox", "--yes", "--keep", "--json", within=1200).ok()
    receipt: dict[str, Any] = done.events[-1]
    run = receipt["request"]["run_id"]
    assert [(one["name"], one["state"]) for one in receipt["chain"]] == [
        ("train", "succeeded"),
        ("merge", "succeeded"),
        ("infer", "succeeded"),
        ("deploy", "serves"),
    ]
    folder = project.root / "runs" / run
    [best] = {event["best_checkpoint"] for event in done.events if event["event"] == "Outcome"} - {""}
    [args] = args_of(project, f"{run}.merge", 1)
    assert f"adapters: {best}\n" in args
    assert (folder / "merge/output/model.safetensors").stat().st_size > 1_000_000
    answers = (folder / "infer/output/infer.jsonl").read_text().splitlines()
    assert len(answers) == 4 and all(json.loads(one)["response"] for one in answers)

    [endpoint] = project.fleet("status", "-s", "sandbox", "--json").ok().json["serves"]
    assert endpoint["url"] == receipt["chain"][-1]["left"]
    tunnel = project.going("tunnel", run)
    try:
        url = eventually(lambda: address(tunnel))
        request = urllib.request.Request(
            f"{url}/v1/chat/completions", json.dumps(ASKED).encode(), {"Content-Type": "application/json"}
        )
        answered = eventually(lambda: asked(request))
        assert answered["choices"][0]["message"]["content"] and answered["usage"]["completion_tokens"] <= 8
    finally:
        tunnel.signal(signal.SIGINT)

    assert "(deploy)" in project.fleet("stop", run).ok().out
    assert project.fleet("status", "-s", "sandbox", "--json").ok().json["serves"] == []
    assert project.fleet("tunnel", run).code == 2
    project.fleet("down", "-s", "sandbox", within=300).ok()
    assert project.left() == []


def args_of(project: Project, run: str, rank: int) -> list[str]:
    """What ms-swift was given on the node of that rank."""
    files = [home / f"fleet/runs/{run}/rank-{rank}/args.yaml" for home in project.node_homes()]
    return [file.read_text() for file in files if file.exists()]


def address(tunnel: Going) -> str:
    return tunnel.lines[0].split()[0] if tunnel.lines else ""


def asked(request: urllib.request.Request) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return dict(json.load(answer))
    except urllib.error.URLError:
        return {}  # ssh has not yet opened the port
