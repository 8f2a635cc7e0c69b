"""Outputs as the tools print them: nvidia-smi (its --help-query-gpu and banner), the kernel's NVRM lines, fi_info."""

from __future__ import annotations

import pytest

from infra.errors import BadInput
from training.checks import skipped
from training.hardware import checks, read
from training.inventory import Node

H100 = "".join(f"{n}, NVIDIA H100 80GB HBM3, 81559, 1, 570.133.20, 0\n" for n in range(8))
BANNER = """Tue Nov 24 09:12:31 2026
+-----------------------------------------------------------------------------------------+
| NVIDIA-SMI 570.133.20             Driver Version: 570.133.20     CUDA Version: 12.8     |
|-----------------------------------------+------------------------+----------------------+
| GPU  Name                 Persistence-M | Bus-Id          Disp.A | Volatile Uncorr. ECC |
"""
HARMLESS = (
    "[ 5120.77] NVRM: Xid (PCI:0000:64:00): 31, pid=41023, name=python, Ch 00000008, intr 00000000. MMU Fault\n"
    "[ 5121.02] NVRM: Xid (PCI:0000:64:00): 43, pid=41023, name=python, Ch 00000008\n"
)
FELL_OFF = "[ 9321.47] NVRM: Xid (PCI:0000:53:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.\n"
LOST = "Unable to determine the device handle for GPU0000:53:00.0: Unknown Error\n"
DEVICES = [f"rdmap{n}s0" for n in range(32)]
INFINIBAND = "".join(f"{name} efa\n" for name in DEVICES)
FI_INFO = "".join(
    f"provider: efa\n    fabric: {fabric}\n    domain: {name}-rdm\n    version: 122.0\n    type: FI_EP_RDM\n"
    f"    protocol: {protocol}\n"
    for name in DEVICES
    for fabric, protocol in (("efa", "FI_PROTO_EFA"), ("efa-direct", "FI_PROTO_EFA"))
)
NO_PROVIDER = "fi_getinfo: -61 (No data available)\n"


def asked(
    query: str = H100, banner: str = BANNER, dmesg: str = "", devices: str = INFINIBAND, fi: str = FI_INFO
) -> str:
    parts = {"nvidia-smi query": query, "nvidia-smi": banner, "dmesg": dmesg, "infiniband": devices, "fi_info": fi}
    return "".join(f"== {name}\n{text}" for name, text in parts.items()) + "== end\n"


def failed(text: str, torch_cuda: str | None = "12.8", memory_gib: float | None = 80.0) -> dict[str, str]:
    node = Node(1, "node-001", "", "", gpus=8, gpu_memory_gib=memory_gib, efa=32, instance_type="p5.48xlarge")
    return {one.name: one.found for one in checks(read(text), node, torch_cuda) if not one.ok and one.do and one.needed}


def test_a_whole_p5_is_well() -> None:
    hardware = read(asked())
    assert (len(hardware.gpus), hardware.cuda, hardware.efa, hardware.efa_seen) == (8, "12.8", 32, 32)
    assert hardware.gpus[7].name == "NVIDIA H100 80GB HBM3" and hardware.gpus[7].driver == "570.133.20"
    assert failed(asked(dmesg=HARMLESS)) == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (asked(H100.replace("81559", "40960", 1)), {"gpu-memory": "GPU 0 has 40.0 GiB"}),
        (asked(H100.replace("7, NVIDIA H100 80GB HBM3, 81559, 1,", "7, NVIDIA H100 80GB HBM3, 81559, 41000,")),
         {"gpu-memory": "40.0 GiB of GPU 7 are held"}),
        (asked(H100.replace("570.133.20, 0", "570.133.20, 3", 1)), {"gpu-errors": "GPU 0: 3 uncorrected ECC errors"}),
        (asked(dmesg=HARMLESS + FELL_OFF * 2), {"gpu-errors": "Xid 79 (fell off the bus) of 0000:53:00"}),
        (asked(LOST), {"gpu-errors": LOST.strip()}),
        (asked(fi=NO_PROVIDER), {"efa": "32 devices, 0 seen by provider efa"}),
        (asked(devices=INFINIBAND.replace("rdmap3s0 efa\n", "")), {"efa": "31 devices, 32 seen by provider efa"}),
        (asked(devices="mlx5_0 mlx5_core\n", fi=""), {"efa": "0 devices, 0 seen by provider efa"}),
    ],
)  # fmt: skip
def test_what_is_amiss_with_the_hardware_is_named_and_nothing_else(text: str, expected: dict[str, str]) -> None:
    assert failed(text) == expected


@pytest.mark.parametrize(
    ("torch_cuda", "banner", "expected"),
    [
        ("12.4", BANNER, None),
        ("12.9", BANNER, None),  # minor versions are compatible
        ("13.0", BANNER, "driver 570.133.20, CUDA 12.8"),
        ("13.0", BANNER.replace("CUDA Version: 12.8", "CUDA UMD Version: 13.2"), None),
        ("", BANNER, "torch without CUDA"),
        (None, BANNER, None),
    ],
)
def test_an_older_driver_runs_no_newer_major_cuda(torch_cuda: str | None, banner: str, expected: str | None) -> None:
    assert failed(asked(banner=banner), torch_cuda).get("cuda") == expected


def test_a_card_without_ecc_and_a_promise_of_nothing_are_well() -> None:
    query = "0, NVIDIA A10G, 23028, 0, 570.133.20, [N/A]\n"
    assert read(asked(query)).gpus[0].uncorrected is None
    assert failed(asked(query), memory_gib=22.4) == {} and failed(asked(query), memory_gib=None) == {}


def test_no_gpu_and_no_efa_give_no_check() -> None:
    bare = read("== nvidia-smi query\n== infiniband\n== fi_info\n== end\n")
    assert list(checks(bare, Node(0, "node-000", "", ""), "")) == []


def test_an_unknown_check_to_skip_is_refused_with_the_nearest() -> None:
    assert skipped(["gpu-errors", "disk"]) == ("gpu-errors", "disk")
    with pytest.raises(BadInput, match="no check is called gpu-error. Did you mean gpu-errors"):
        skipped(["gpu-error"])
