#!/usr/bin/env python3
"""Whether a node has what ms-swift's `megatron` needs, check by check; nothing is changed, nothing downloaded.

    python3 check_megatron_env.py [--json]

Runs by any Python >= 3.8, with nothing but its standard library. What it looks into is the environment of --python
(by default ~/swift-env-megatron), each import in a process of its own: a library that crashes is a check that failed.
A check is ok, warn (it trains, slower or not with everything) or fail. Exit code 1 where one failed, else 0.
Versions: the wheel of ms-swift 4.6.0, mcore-bridge's and TransformerEngine's own requirements.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SWIFT = "4.6.0"
IMPORT_S = 180

#: distribution -> (from, below, what to do). peft: LoRA by Megatron needs 0.15. apex is no release, but a build.
RANGES = {
    "transformers": ("4.33", "5.20", ""),
    "trl": ("0.15", "1.0", ""),
    "peft": ("0.15", "0.21", ""),
    "datasets": ("4.0", "4.8.5", ""),
    "megatron-core": ("0.16", "0.20", ""),
    "mcore-bridge": ("1.6.3", "", ""),
    "transformer-engine": (
        "2.3",
        "",
        "uv pip install --no-build-isolation 'transformer-engine[pytorch,core-cu12]' (CUDA 13: core-cu13)",
    ),
}
#: Of a model's name: what its layers run slowly, or not at all, without.
LAYERS = (
    (re.compile(r"qwen3[-_.]?(next|5)", re.I), ("flash-linear-attention", "causal-conv1d")),
    (re.compile(r"deepseek[-_]v(3\.2|4)|glm-5", re.I), ("deep-gemm", "fast-hadamard-transform")),
)
TORCH = "uv pip install torch --torch-backend=auto: its wheels for CUDA have cuDNN and NCCL."
ENGINE = ("transformer-engine", "transformer-engine-cu12", "transformer-engine-cu13", "transformer-engine-torch")

VERSIONS = """
import importlib.metadata as m, json, os, platform, sys
known = {d.metadata["Name"].lower().replace("_", "-"): d.version for d in m.distributions() if d.metadata["Name"]}
there = [name for name in ("swift", "megatron") if os.access(os.path.join(sys.prefix, "bin", name), os.X_OK)]
print(json.dumps({"python": platform.python_version(), "scripts": there, "packages": known}))
"""
#: name -> a program that ends in one line of JSON.
IMPORTS = {
    "torch": """
import json, torch
cuda, nccl = torch.cuda, torch.distributed.is_available() and torch.distributed.is_nccl_available()
seen = cuda.is_available()
print(json.dumps({
    "cuda": torch.version.cuda or "",
    "gpus": sorted({"%d.%d" % cuda.get_device_capability(n) for n in range(cuda.device_count())}) if seen else [],
    "nccl": ".".join(map(str, cuda.nccl.version())) if nccl and seen else "yes" if nccl else "",
    "cudnn": torch.backends.cudnn.version() or 0,
}))
""",
    "transformer-engine": """
import json, transformer_engine.pytorch
try:
    from transformer_engine.pytorch.attention.dot_product_attention.utils import FlashAttentionUtils as flash
    most = str(flash.max_version)
except (ImportError, AttributeError):
    most = ""
print(json.dumps({"flash_attn_below": most}))
""",
    "flash-attn": "import flash_attn; print(0)",
    "flash-attn-3": "import flash_attn_interface; print(0)",
    "apex": "import amp_C, fused_weight_gradient_mlp_cuda; print(0)",
    "swift.megatron": "import swift.megatron; print(0)",
}


def main(arguments=None):
    asked = options(arguments)
    checks = judged(gathered(asked.python), asked)
    failed = any(one["state"] == "fail" for one in checks)
    if asked.json:
        print(json.dumps({"ok": not failed, "python": asked.python, "checks": checks}))
    else:
        for one in checks:
            print(f"{one['state']:4}  {one['name']:18}  {one['found']}")
            if one["state"] != "ok":
                print(f"{'':24}  needed: {one['needed']}. {one['hint']}")
    return int(failed)


def options(arguments=None):
    home = Path.home() / "swift-env-megatron" / "bin" / "python"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default=str(home) if home.exists() else sys.executable, help="the environment's")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--swift", default=SWIFT, metavar="VERSION", help="ms-swift's, default: %(default)s")
    parser.add_argument("--nodes", type=int, default=1, help="of the job")
    parser.add_argument("--model", default="", help="the job's: some need packages of their own")
    parser.add_argument("--attention", default="flash", metavar="BACKEND", help="the job's attention_backend")
    parser.add_argument("--fp8", default="", metavar="RECIPE", help="the job's fp8_recipe, if it trains in FP8")
    return parser.parse_args(arguments)


# What there is -------------------------------------------------------------------------------------------------------


def gathered(python):
    """Facts about the environment and the node. imports: name -> what it said, or {"error": its last line}."""
    facts = ran([python, "-I", "-c", VERSIONS])
    facts = {"python": "", "scripts": [], "packages": {}, **facts}
    with ThreadPoolExecutor() as pool:
        wanted = {name: pool.submit(ran, [python, "-I", "-c", code]) for name, code in IMPORTS.items()}
        facts["imports"] = {name: one.result() for name, one in wanted.items()}
    smi = re.search(r"CUDA(?: UMD)? Version\s*:\s*(\d+\.\d+)", said(["nvidia-smi"]))
    toolkit = os.environ.get("CUDA_HOME") or "/usr/local/cuda"
    nvcc = shutil.which("nvcc", path=toolkit + "/bin") or shutil.which("nvcc")
    release = re.search(r"release (\d+\.\d+)", said([nvcc, "--version"])) if nvcc else None
    shm = os.statvfs("/dev/shm") if Path("/dev/shm").is_dir() else None
    names = ("CUDA_DEVICE_MAX_CONNECTIONS", "MODELSCOPE_CACHE")
    return {
        **facts,
        "driver_cuda": smi.group(1) if smi else "",
        "nvcc": release.group(1) if release else "",
        "shm_gib": shm.f_blocks * shm.f_frsize / 2**30 if shm else 0.0,
        "efa": any(Path("/sys/class/infiniband").glob("rdmap*")) or any(Path("/sys/class/infiniband").glob("efa*")),
        "efa_plugin": any(Path("/opt/amazon").glob("*/lib*/libnccl-net*.so*")),
        "env": {name: os.environ[name] for name in names if name in os.environ},
    }


def ran(command):
    """The last line of a program's output as JSON, a mapping; or its error, in one line."""
    pipe = subprocess.PIPE
    try:
        done = subprocess.run(command, stdout=pipe, stderr=pipe, stdin=subprocess.DEVNULL, timeout=IMPORT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"error": str(error)}
    lines = done.stdout.decode(errors="replace").split("\n")
    if done.returncode == 0:
        told = [line for line in lines if line.startswith("{")]
        return json.loads(told[-1]) if told else {}
    errors = done.stderr.decode(errors="replace").strip().split("\n")
    return {"error": errors[-1].strip()[:300] or f"ended with code {done.returncode}"}


def said(command):
    try:
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=30).stdout.decode()
    except (OSError, subprocess.TimeoutExpired):
        return ""


# What it means. Pure. ------------------------------------------------------------------------------------------------


def judged(facts, asked):
    """Every check: name, state (ok, warn, fail), found, needed, hint. asked: the job, as `options` has it."""
    return [*environment(facts, asked), *cuda(facts, asked), *libraries(facts, asked), *node(facts, asked)]


def row(name, good, found, needed, hint, bad="fail"):
    return {"name": name, "state": "ok" if good else bad, "found": found, "needed": needed, "hint": hint}


def environment(facts, asked):
    packages, python = facts["packages"], facts["python"]
    yield row(
        "python", numbers(python) >= (3, 10), python or "none", "3.10 or newer", "Make ~/swift-env-megatron of 3.12."
    )
    swift, whole = packages.get("ms-swift", ""), len(facts["scripts"]) == 2
    needed = f"{asked.swift} with its scripts swift and megatron"
    hint = f"uv pip install 'ms-swift[megatron]=={asked.swift}'"
    yield row("ms-swift", swift == asked.swift and whole, swift or "none", needed, hint)
    for name, (first, below, do) in RANGES.items():
        version = packages.get(name, "")
        good = bool(version) and numbers(first) <= numbers(version) and (not below or numbers(version) < numbers(below))
        spec = f">={first},<{below}" if below else f">={first}"
        yield row(name, good, version or "none", spec, do or f"uv pip install '{name}{spec}'")


def cuda(facts, asked):
    torch, driver = facts["imports"]["torch"], facts["driver_cuda"]
    built, archs = torch.get("cuda", ""), sorted(torch.get("gpus", []), key=numbers)
    least, sm = numbers(archs[0] if archs else ""), f"sm {', '.join(archs) or 'none'}"
    fits = not driver or numbers(built)[:1] <= numbers(driver)[:1]
    found = torch.get("error") or f"{facts['packages'].get('torch', '?')}, CUDA {built or 'none'}"
    needed = f"a torch for CUDA {driver.split('.')[0]} or older" if driver else "a torch with CUDA"
    yield row("torch", bool(built) and fits, found, needed, TORCH)
    yield row("gpu", bool(archs), sm if archs else "torch sees none", "one", "nvidia-smi: is the driver loaded?")
    if asked.fp8 == "blockwise":
        good = least >= (9, 0) and numbers(built) >= (12, 9)
        yield row("fp8", good, f"{sm}, CUDA {built}", "sm 9.0 and CUDA 12.9", "Take H100 or newer, or no FP8.")
    elif asked.fp8:
        yield row("fp8", least >= (8, 9), sm, "sm 8.9", "Take L40S, H100 or newer, or no FP8.")
    elif archs:
        yield row("bf16", least >= (8, 0), sm, "sm 8.0 or newer", "torch_dtype: float16", "warn")
    cudnn = torch.get("cudnn", 0)
    shown = f"{cudnn // 10000}.{cudnn // 100 % 100}" if cudnn else "none"
    yield row("cudnn", cudnn >= 90000, shown, "9 or newer", TORCH)
    yield row("nccl", bool(torch.get("nccl")), torch.get("nccl") or "none", "torch built with NCCL", TORCH)
    nvcc = facts["nvcc"]
    needed, hint = f"CUDA {built.split('.')[0] or '?'}, as torch", "Set CUDA_HOME: some kernels are built at first use."
    yield row("nvcc", bool(nvcc) and numbers(nvcc)[:1] == numbers(built)[:1], nvcc or "none", needed, hint, "warn")


def libraries(facts, asked):
    """What is missing has been said: what can't be imported without it is not said again."""
    packages, imports = facts["packages"], facts["imports"]
    engine, bridge, apex = imports["transformer-engine"], imports["swift.megatron"], imports["apex"]
    if "transformer-engine" in packages:
        parts = {name: packages[name] for name in ENGINE if name in packages}
        mixed = ", ".join(map(" ".join, parts.items())) if len(set(parts.values())) > 1 else ""
        found = engine.get("error") or mixed or "imported"
        hint = f"Build it anew, against this torch: {RANGES['transformer-engine'][2]}"
        yield row("engine", found == "imported", found, "it imports, its parts are of one version", hint)
    yield flash(packages, imports, asked.attention)
    hint = "ms-swift sets gradient_accumulation_fusion false without it: slower."
    yield row("apex", "error" not in apex, apex.get("error", "imported"), "optional", hint, "warn")
    if all(name in packages for name in RANGES):
        hint = "Put right what is bad above."
        yield row("swift.megatron", "error" not in bridge, bridge.get("error", "imported"), "it imports", hint)
    for pattern, layers in LAYERS:
        if pattern.search(asked.model):
            found = ", ".join(name for name in layers if name in packages) or "none"
            good, needed = all(name in packages for name in layers), f"{', '.join(layers)} for {asked.model}"
            yield row("model-layers", good, found, needed, "Install them from their repositories.", "warn")


def flash(packages, imports, backend):
    """Of the attention that the job asks for: flash needs its package, of a version that TransformerEngine takes."""
    most = imports["transformer-engine"].get("flash_attn_below", "")
    found = packages.get("flash-attn", "none")
    good = found != "none" and "error" not in imports["flash-attn"]
    if "flash-attn-3" in packages and "error" not in imports["flash-attn-3"]:
        found, good = f"flash-attn-3 {packages['flash-attn-3']}", True
    elif found != "none" and not good:
        found += f": {imports['flash-attn']['error']}"
    elif good and most and numbers(found) > numbers(most):
        good = False
    needed = f"flash-attn{' up to ' + most if most else ''} for attention_backend {backend}"
    hint = "attention_backend: fused (cuDNN's), or uv pip install --no-build-isolation flash-attn"
    return row("flash-attn", good, found, needed, hint, "fail" if backend.startswith("flash") else "warn")


def node(facts, asked):
    env, shm, plugin = facts["env"], facts["shm_gib"], facts["efa_plugin"]
    connections = env.get("CUDA_DEVICE_MAX_CONNECTIONS", "1")
    needed, hint = "1; more for use_megatron_fsdp alone", "env: CUDA_DEVICE_MAX_CONNECTIONS: 1"
    yield row("connections", connections == "1", connections, needed, hint, "warn")
    if asked.nodes > 1:
        cache, hint = env.get("MODELSCOPE_CACHE", ""), "env: MODELSCOPE_CACHE: a folder that all nodes share"
        yield row("modelscope-cache", bool(cache), cache or "each node its own", "one for all nodes", hint, "warn")
    hint = "In a container: --shm-size 16g or --ipc=host."
    yield row("dev-shm", shm >= 8, f"{shm:.1f} GiB", "8 GiB", hint, "warn")
    if facts["efa"] and asked.nodes > 1:
        hint = "Install aws-ofi-nccl, which AWS's Deep Learning image has: NCCL goes by TCP without it."
        yield row("efa-plugin", plugin, "found" if plugin else "none", "libnccl-net.so in /opt/amazon", hint, "warn")


def numbers(version):
    """(2, 16, 0) of 2.16.0+cu12."""
    return tuple(int(one) for one in re.findall(r"\d+", re.split(r"[+a-z]", version)[0]))


if __name__ == "__main__":
    sys.exit(main())
