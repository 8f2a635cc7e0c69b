"""What a node's hardware says of itself: nvidia-smi, the kernel's log, EFA's devices and libfabric. Reading is pure.

Formats: `nvidia-smi --help-query-gpu`; NVIDIA's Xid documents (docs.nvidia.com/deploy/xid-errors) for the kernel's line
and the codes; fi_info(1) of libfabric. What no machine here could show is in docs/aws-unverified.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from training.checks import check
from training.inventory import Node
from training.readiness import Check

#: Ends what ASK asks: each tool's own output after a line that names it. A driver that hangs is given 20 s.
ASK = r"""
echo "== nvidia-smi query"
if command -v nvidia-smi > /dev/null; then
  fields=index,name,memory.total,memory.used,driver_version,ecc.errors.uncorrected.volatile.total
  timeout 20 nvidia-smi --query-gpu=$fields --format=csv,noheader,nounits 2>&1
  echo "== nvidia-smi"
  timeout 20 nvidia-smi 2>&1 | head -n 5
  echo "== dmesg"
  { dmesg 2>/dev/null || sudo -n dmesg 2>/dev/null; } | grep -a 'NVRM: Xid' | tail -n 100
fi
echo "== infiniband"
for device in /sys/class/infiniband/*; do
  [ -e "$device" ] && echo "${device##*/} $(basename "$(readlink -f "$device/device/driver")")"
done
echo "== fi_info"
if [ -e /sys/class/infiniband ]; then
  PATH="$PATH:/opt/amazon/efa/bin" timeout 20 fi_info -p efa -t FI_EP_RDM 2>&1
fi
echo "== end"
"""

MEMORY_SHARE = 0.95
#: The driver itself holds some hundred MiB; a trainer that was left behind holds gigabytes.
HELD_GIB = 2.0

#: Xids after which NVIDIA's catalog asks for a reset, a reboot or a repair; others are a program's, or contained.
FATAL_XIDS = {
    48: "double-bit ECC error",
    62: "micro-controller halt",
    64: "row remapping failed",
    74: "NVLink error",
    79: "fell off the bus",
    95: "uncontained ECC error",
    119: "GSP timeout",
    120: "GSP error",
    140: "unrecovered ECC error",
    143: "GPU initialization failed",
}


@dataclass(frozen=True)
class Gpu:
    """memory_gib, held_gib: of the whole card; uncorrected: ECC errors since the boot, None without ECC."""

    index: int
    name: str
    memory_gib: float
    held_gib: float
    driver: str
    uncorrected: int | None


@dataclass(frozen=True)
class Hardware:
    """cuda: the newest that the driver runs, "" where it doesn't say. xids: (PCI address, code) as the kernel logged
    them. efa: devices that the EFA driver has; efa_seen: those that libfabric's provider offers. complaints: what
    nvidia-smi said in place of a GPU's line."""

    gpus: tuple[Gpu, ...] = ()
    complaints: tuple[str, ...] = ()
    cuda: str = ""
    xids: tuple[tuple[str, int], ...] = ()
    efa: int = 0
    efa_seen: int = 0


def read(text: str) -> Hardware:
    """The output of ASK as values."""
    parts = re.split(r"^== (.*)$", text, flags=re.MULTILINE)
    said = {name: part.strip() for name, part in zip(parts[1::2], parts[2::2], strict=False)}
    gpus, complaints = [], []
    for line in said.get("nvidia-smi query", "").splitlines():
        gpu = _gpu(line)
        if gpu:
            gpus.append(gpu)
        elif line.strip():
            complaints.append(line.strip())
    cuda = re.search(r"CUDA(?: UMD)? Version\s*:\s*(\d+\.\d+)", said.get("nvidia-smi", ""))
    xids = re.findall(r"NVRM: Xid \(PCI:([0-9a-fA-F:.]+)\): (\d+)", said.get("dmesg", ""))
    return Hardware(
        gpus=tuple(gpus),
        complaints=tuple(complaints),
        cuda=cuda[1] if cuda else "",
        xids=tuple((address, int(code)) for address, code in xids),
        efa=sum(line.split()[-1] == "efa" for line in said.get("infiniband", "").splitlines()),
        efa_seen=len(set(re.findall(r"^\s*domain: (\S+)", _of_efa(said.get("fi_info", "")), re.MULTILINE))),
    )


def checks(hardware: Hardware, node: Node, torch_cuda: str | None) -> Iterator[Check]:
    """What the hardware's answers mean for a node. torch_cuda: of the environment's torch, "" for one without CUDA,
    None where it has no torch (another check says so)."""
    if hardware.gpus or hardware.complaints:
        yield _memory(hardware, node)
        yield _errors(hardware)
        if torch_cuda is not None:
            yield _cuda(hardware, torch_cuda)
    if node.efa:
        ok = hardware.efa >= node.efa and hardware.efa_seen >= node.efa
        found = f"{hardware.efa} devices, {hardware.efa_seen} seen by provider efa"
        yield check("efa", ok, found, f"{node.efa} devices, provider efa")


def _gpu(line: str) -> Gpu | None:
    """A line of the query: `0, NVIDIA H100 80GB HBM3, 81559, 1, 570.133.20, 0`, `[N/A]` without ECC."""
    found = re.fullmatch(r"(\d+), (.+), (\d+), (\d+), ([\d.]+), (\d+|\[?N/A\]?|\[Not Supported\])", line.strip())
    if not found:
        return None
    index, name, total, held, driver, ecc = found.groups()
    return Gpu(int(index), name, int(total) / 1024, int(held) / 1024, driver, int(ecc) if ecc.isdigit() else None)


def _of_efa(text: str) -> str:
    """Only what fi_info says of the provider efa itself: not of efa-direct's twins, nor of layers upon it."""
    return "\n".join(
        part for part in re.split(r"^(?=provider: )", text, flags=re.M) if part.startswith("provider: efa\n")
    )


def _memory(hardware: Hardware, node: Node) -> Check:
    needed = f"at most {HELD_GIB:g} GiB held"
    if node.gpu_memory_gib:
        needed = f"{node.gpu_memory_gib * MEMORY_SHARE:.1f} GiB each, {needed}"
    for gpu in hardware.gpus:
        if gpu.memory_gib < (node.gpu_memory_gib or 0) * MEMORY_SHARE:
            return check("gpu-memory", False, f"GPU {gpu.index} has {gpu.memory_gib:.1f} GiB", needed)
        if gpu.held_gib > HELD_GIB:
            return check("gpu-memory", False, f"{gpu.held_gib:.1f} GiB of GPU {gpu.index} are held", needed)
    least = min((gpu.memory_gib for gpu in hardware.gpus), default=0.0)
    return check("gpu-memory", True, f"{least:.1f} GiB each", needed)


def _errors(hardware: Hardware) -> Check:
    said = [*hardware.complaints[:1]]
    said += [f"GPU {gpu.index}: {gpu.uncorrected} uncorrected ECC errors" for gpu in hardware.gpus if gpu.uncorrected]
    fatal = dict.fromkeys(one for one in hardware.xids if one[1] in FATAL_XIDS)
    said += [f"Xid {code} ({FATAL_XIDS[code]}) of {address}" for address, code in fatal]
    return check("gpu-errors", not said, "; ".join(said) or "none", "none since the boot")


def _cuda(hardware: Hardware, torch_cuda: str) -> Check:
    """Within one major version an older driver runs a newer minor one (CUDA Compatibility, docs.nvidia.com/deploy)."""
    driver = hardware.gpus[0].driver if hardware.gpus else ""
    found = f"driver {driver}, CUDA {hardware.cuda or '?'}"
    if not torch_cuda:
        return check("cuda", False, "torch without CUDA", f"a torch for CUDA {hardware.cuda}".strip())
    ok = not hardware.cuda or int(hardware.cuda.split(".")[0]) >= int(torch_cuda.split(".")[0])
    return check("cuda", ok, found, f"CUDA {torch_cuda.split('.')[0]} or newer: torch is built for {torch_cuda}")
