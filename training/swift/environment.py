"""Variables that a trainer's processes need: set for every rank unless the job's own `env` says otherwise. Pure."""

from __future__ import annotations

from collections.abc import Mapping

MEGATRON = {
    # Micro batches of packed rows differ in length: without it memory ends in holes (ms-swift's Megatron guide).
    "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
    # One queue for kernels, so that communication overlaps in the order it was issued (swift/cli/_megatron does too).
    "CUDA_DEVICE_MAX_CONNECTIONS": "1",
}

#: Commands whose page Gradio serves. It prints where it listens, which Python keeps back where the output is a file.
PAGES = ("app", "web-ui")
UNBUFFERED = {"PYTHONUNBUFFERED": "1"}

#: DeepSpeed builds some kernels by nvcc when it first uses them; ssh without a terminal reads no .bashrc that would say
#: where that is.
CUDA_HOME = '[ -n "${CUDA_HOME:-}" ] || [ ! -x /usr/local/cuda/bin/nvcc ] || export CUDA_HOME=/usr/local/cuda'


#: A rank on a CPU is at "cpu:0" to accelerate, where transformers 5 restores the optimizer of a run that goes on; torch
#: knows "cpu" alone, so that it failed.
CPUS = {"ACCELERATE_TORCH_DEVICE": "cpu"}


def environment(
    trainer: str, env: Mapping[str, str], shared: str = "", command: str = "", *, on_cpus: bool = False
) -> dict[str, str]:
    """The job's `env`, over what its trainer needs.

    shared: a folder that all nodes of more than one see: Megatron's ranks hang where they prepared the data apart
    (ms-swift issues 8108, 8234), so that they keep it there.
    """
    if trainer != "megatron":
        return {**(UNBUFFERED if command in PAGES else {}), **(CPUS if on_cpus else {}), **env}
    return {**MEGATRON, **({"MODELSCOPE_CACHE": f"{shared}/modelscope"} if shared else {}), **env}
