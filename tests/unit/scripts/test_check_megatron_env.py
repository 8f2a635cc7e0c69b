"""scripts/check_megatron_env.py: what facts mean, and the script itself on environments whole, broken, none."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pytest

from training.swift.arguments import VERSION

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "check_megatron_env.py"
_spec = importlib.util.spec_from_file_location("check_megatron_env", SCRIPT)
assert _spec and _spec.loader
script = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(script)

PACKAGES = {
    "ms-swift": "4.6.0", "torch": "2.11.0+cu130", "transformers": "5.12.1", "trl": "0.29.1", "peft": "0.20.0",
    "datasets": "4.8.4", "megatron-core": "0.18.0", "mcore-bridge": "1.6.5", "transformer-engine": "2.16.0",
    "transformer-engine-cu13": "2.16.0", "transformer-engine-torch": "2.16.0", "flash-attn": "2.8.3",
}  # fmt: skip
GPUS = {"cuda": "13.0", "gpus": ["9.0"], "nccl": "2.27.7", "cudnn": 91300}
WHOLE: dict[str, Any] = {
    "python": "3.12.3",
    "scripts": ["swift", "megatron"],
    "packages": PACKAGES,
    "imports": {
        "torch": GPUS, "transformer-engine": {"flash_attn_below": "2.8.3"}, "flash-attn": {},
        "flash-attn-3": {"error": "ModuleNotFoundError"}, "apex": {}, "swift.megatron": {},
    },
    "driver_cuda": "13.0", "nvcc": "13.0", "shm_gib": 64.0, "efa": True, "efa_plugin": True,
    "env": {"MODELSCOPE_CACHE": "/shared/modelscope"},
}  # fmt: skip


def changed(facts: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Facts with `imports.torch.gpus` and the like in another way; None takes away."""
    facts = json.loads(json.dumps(facts))
    for path, value in changes.items():
        *way, last = path.split("/")
        inner = facts
        for step in way:
            inner = inner[step]
        inner.pop(last, None)
        if value is not None:
            inner[last] = value
    return facts


def bad(changes: dict[str, Any], *arguments: str) -> dict[str, str]:
    rows = script.judged(changed(WHOLE, changes), script.options(["--nodes", "2", *arguments]))
    assert all(row["needed"] and row["hint"] and row["found"] for row in rows)
    return {row["name"]: row["state"] for row in rows if row["state"] != "ok"}


@pytest.mark.parametrize(
    ("changes", "arguments", "expected"),
    [  # MEG-10
        ({}, (), {}),
        ({"python": "3.9.18"}, (), {"python": "fail"}),
        ({"packages/ms-swift": "4.5.1"}, (), {"ms-swift": "fail"}),
        ({"scripts": ["swift"]}, (), {"ms-swift": "fail"}),
        ({"packages/trl": "1.0.0"}, (), {"trl": "fail"}),
        ({"packages/datasets": "4.8.5"}, (), {"datasets": "fail"}),
        ({"packages/megatron-core": "0.15.3"}, (), {"megatron-core": "fail"}),
        ({"packages/megatron-core": "0.20.0rc1"}, (), {"megatron-core": "fail"}),
        ({"packages/mcore-bridge": "1.6.2"}, (), {"mcore-bridge": "fail"}),
        # What is missing is said once: neither its import nor what needs it is.
        ({"packages/transformer-engine": None, "imports/transformer-engine": {"error": "x"},
          "imports/swift.megatron": {"error": "x"}}, (), {"transformer-engine": "fail"}),
        ({"imports/transformer-engine": {"error": "libcudnn.so.9: cannot open"}}, (), {"engine": "fail"}),
        ({"packages/transformer-engine-torch": "2.15.0"}, (), {"engine": "fail"}),
        ({"imports/swift.megatron": {"error": "undefined symbol: _ZN3c10"}}, (), {"swift.megatron": "fail"}),
        ({"imports/torch": {"error": "No module named 'torch'"}}, (),
         {"torch": "fail", "gpu": "fail", "cudnn": "fail", "nccl": "fail", "nvcc": "warn"}),
        ({"imports/torch/cuda": ""}, (), {"torch": "fail", "nvcc": "warn"}),
        ({"driver_cuda": "12.8"}, (), {"torch": "fail"}),
        ({"imports/torch/gpus": []}, (), {"gpu": "fail"}),
        ({"imports/torch/gpus": ["9.0", "7.5"]}, (), {"bf16": "warn"}),
        ({"imports/torch/gpus": ["8.0"]}, ("--fp8", "delayed"), {"fp8": "fail"}),
        ({"imports/torch/gpus": ["8.9"]}, ("--fp8", "delayed"), {}),
        ({"imports/torch/gpus": ["8.9"]}, ("--fp8", "blockwise"), {"fp8": "fail"}),
        ({"imports/torch/gpus": ["10.0"]}, ("--fp8", "blockwise"), {}),
        ({"imports/torch/cudnn": 80907}, (), {"cudnn": "fail"}),
        ({"imports/torch/nccl": ""}, (), {"nccl": "fail"}),
        ({"nvcc": "12.8"}, (), {"nvcc": "warn"}),
        ({"imports/apex": {"error": "No module named 'amp_C'"}}, (), {"apex": "warn"}),
        ({"packages/flash-attn": None}, (), {"flash-attn": "fail"}),
        ({"packages/flash-attn": "2.8.4"}, (), {"flash-attn": "fail"}),
        ({"imports/flash-attn": {"error": "undefined symbol"}}, ("--attention", "fused"), {"flash-attn": "warn"}),
        ({"packages/flash-attn": None, "packages/flash-attn-3": "3.0.0", "imports/flash-attn-3": {}}, (), {}),
        ({"env": {"CUDA_DEVICE_MAX_CONNECTIONS": "32"}}, ("--nodes", "1"), {"connections": "warn"}),
        ({"env": {}}, (), {"modelscope-cache": "warn"}),
        ({"env": {}}, ("--nodes", "1"), {}),
        ({"shm_gib": 0.06}, (), {"dev-shm": "warn"}),
        ({"efa_plugin": False}, (), {"efa-plugin": "warn"}),
        ({}, ("--model", "Qwen/Qwen3.5-35B-A3B"), {"model-layers": "warn"}),
        ({}, ("--model", "Qwen/Qwen3-30B-A3B"), {}),
    ],
)  # fmt: skip
def test_what_is_amiss_is_named_and_nothing_else(
    changes: dict[str, Any], arguments: tuple[str, ...], expected: dict[str, str]
) -> None:
    assert bad(changes, *arguments) == expected


def test_it_holds_nodes_to_the_release_that_fleet_installs() -> None:
    assert script.SWIFT == VERSION


def environment(folder: Path, modules: dict[str, str]) -> Path:
    """An environment of its own with these modules and the packages of a whole one, as installers leave them."""
    venv.create(folder, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    for name, version in PACKAGES.items():
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    for name, text in modules.items():
        file = site / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    for name in ("swift", "megatron"):
        (folder / "bin" / name).write_text("#!/bin/sh\n")
        (folder / "bin" / name).chmod(0o755)
    return folder / "bin" / "python"


def test_a_library_that_kills_its_process_or_does_not_import_is_a_line_like_any_other(tmp_path: Path) -> None:
    modules = {
        "transformer_engine/__init__": "",
        "transformer_engine/pytorch": "import os; os.abort()",
        "flash_attn": "raise ImportError('undefined symbol: _ZN3c105ErrorC2E')",
        "swift/__init__": "",
        "swift/megatron": "print('hello')",
    }
    python = environment(tmp_path / "env", modules)
    asked = [sys.executable, "-I", str(SCRIPT), "--python", str(python)]
    done = subprocess.run([*asked, "--json"], capture_output=True, text=True)
    said = json.loads(done.stdout)
    found = {row["name"]: (row["state"], row["found"]) for row in said["checks"]}
    assert (done.returncode, said["ok"], said["python"]) == (1, False, str(python))
    assert found["megatron-core"] == ("ok", "0.18.0") and found["ms-swift"] == ("ok", "4.6.0")
    assert found["engine"] == ("fail", "ended with code -6")
    assert found["flash-attn"] == ("fail", "2.8.3: ImportError: undefined symbol: _ZN3c105ErrorC2E")
    assert found["swift.megatron"] == ("ok", "imported")
    assert found["torch"] == ("fail", "ModuleNotFoundError: No module named 'torch'")
    people = subprocess.run(asked, capture_output=True, text=True)
    assert people.returncode == 1
    assert "fail  engine" in people.stdout and "needed: it imports, its parts are of one version." in people.stdout


def test_no_environment_at_all_is_told_by_each_check(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--python", str(tmp_path / "none"), "--json"], capture_output=True
    )
    rows = json.loads(done.stdout)["checks"]
    assert done.returncode == 1
    assert {"python", "ms-swift", "torch", "megatron-core"} <= {row["name"] for row in rows if row["state"] == "fail"}
