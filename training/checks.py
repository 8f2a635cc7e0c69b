"""What preflight looks at, in that order: the names that `--skip` takes, what each needs, what puts it right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from infra.errors import BadInput
from infra.written import nearest
from training.readiness import Check


@dataclass(frozen=True)
class Kind:
    """A check. looks_at: as a question about a node; needed: its threshold, in words; do: what puts it right.
    of_machine: whether another machine would, as `--replace-bad` takes one.
    """

    looks_at: str
    needed: str
    do: str
    of_machine: bool = False


CHECKS: Mapping[str, Kind] = {
    "clock": Kind("Is its clock that of node 0?", "within 5 s", "Start chrony or systemd-timesyncd on the node."),
    "disk": Kind(
        "Is there space where runs are kept, and may one write there?",
        "10 GiB free, 2 without a GPU",
        "Free space, or take a bigger volume.",
    ),
    "gpus": Kind(
        "Has it the GPUs that its type promises, and one for each process?",
        "the type's number",
        "Run nvidia-smi on the node: driver, or a GPU that fell off the bus (dmesg, Xid). Else replace the node.",
        of_machine=True,
    ),
    "gpu-memory": Kind(
        "Has each GPU the type's memory, and is it free?",
        "95 % of the type's, at most 2 GiB of it held",
        "nvidia-smi shows what holds it: end that process. Less than the type has: replace the node.",
        of_machine=True,
    ),
    "gpu-errors": Kind(
        "Did a GPU report uncorrected ECC errors, or the kernel an Xid that only a reset mends?",
        "none since the boot",
        "Reboot the node (it resets its GPUs); if it comes again, replace the node.",
        of_machine=True,
    ),
    "cuda": Kind(
        "Can its driver run the CUDA that the environment's torch is built for?",
        "the driver's CUDA is of torch's major version or newer",
        "Take a newer image (its driver), or set the node up with a torch for an older CUDA.",
    ),
    "efa": Kind(
        "Has it an EFA device for each of its interfaces, and does libfabric see them? Where the stack has EFA.",
        "the type's number, provider efa",
        "Is the EFA driver loaded (modinfo efa, fi_info -p efa)? Take AWS's Deep Learning image, or replace the node.",
        of_machine=True,
    ),
    "shm": Kind(
        "Is /dev/shm large enough for NCCL's ranks on one node?",
        "1 GiB, with 2 GPUs or more",
        "In a container: --shm-size 16g or --ipc=host.",
    ),
    "swift": Kind(
        "Is ms-swift's environment there?",
        "the job's trainer",
        "fleet run and fleet launch set it up: their bootstrap says what failed.",
    ),
    "versions": Kind(
        "Are its packages those of node 0?", "the same, all of them", "Set both nodes up from the same lock file."
    ),
    "megatron": Kind(
        "Has it what Megatron needs (`scripts/check_megatron_env.py`)? Of megatron's jobs alone.",
        "TransformerEngine, megatron-core, mcore-bridge of the right versions, and that they import",
        "Set the node up with them; scripts/check_megatron_env.py there says what is missing.",
    ),
    "files": Kind(
        "Are the job's files that nodes have themselves readable, and as large as on node 0?",
        "the same size everywhere",
        "Copy it to the same path on every node, or put it on the shared folder.",
    ),
    "rendezvous": Kind(
        "Does it reach node 0 where torchrun will listen?",
        "the first free port of 29500-29600 greets it",
        "Let the nodes reach each other on 29500-29600 and all ephemeral ports.",
    ),
    "shared-folder": Kind(
        "Does it see what node 0 writes in the shared folder, and may it write there?",
        "one folder at one path",
        "Mount the same folder at the same path on every node.",
    ),
    "ports": Kind(
        "Does it reach every other node, and they it, on a port that the kernel chose?",
        "all pairs, within 5 s",
        "NCCL needs all ports among the nodes: a security group that lets its members in; own machines: the firewall.",
    ),
    "all-reduce": Kind(
        "Do all ranks meet in torch (NCCL with GPUs, gloo without) and sum what they should? Only if all else is well.",
        "150 s; with EFA the type's floor in GB/s (`training/floors.yaml`)",
        "Not met: NCCL_DEBUG=INFO in the job's env says where. Slow: is EFA used (NET/OFI), and each GPU whole?",
    ),
}
#: Always looked at: without them nothing can be launched.
ANSWER, MASTER_PORT = "answer", "master-port"


def check(name: str, ok: bool, found: str, needed: str) -> Check:
    """A check of the table, with what it says to do."""
    return Check(name, ok, found, needed, CHECKS[name].do)


def skipped(names: Iterable[str]) -> tuple[str, ...]:
    """The names of `--skip`, or BadInput that names the nearest to one that is unknown."""
    names = tuple(names)
    for name in names:
        if name in CHECKS:
            continue
        guess = nearest(name, CHECKS)
        do = f"Did you mean {guess}?" if guess else f"There are: {', '.join(CHECKS)}."
        raise BadInput(f"--skip: no check is called {name}", do=do)
    return names
