"""FSx for Lustre as AWS sells it: sizes, deployments, throughput. Pure.

https://docs.aws.amazon.com/fsx/latest/APIReference/API_CreateFileSystem.html (StorageCapacity, DeploymentType,
PerUnitStorageThroughput), SSD storage alone.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Literal

from pydantic import AfterValidator
from pydantic.alias_generators import to_camel

SMALLEST_GIB, STEP_GIB = 1200, 2400
THROUGHPUTS = (125, 250, 500, 1000)

Deployment = Literal["SCRATCH_2", "PERSISTENT_2"]


def _sized(gib: int) -> int:
    if gib == SMALLEST_GIB or (gib > 0 and gib % STEP_GIB == 0):
        return gib
    below = max(SMALLEST_GIB, gib // STEP_GIB * STEP_GIB)
    above = (max(gib, 0) // STEP_GIB + 1) * STEP_GIB if gib > SMALLEST_GIB else STEP_GIB
    raise ValueError(f"must be {SMALLEST_GIB} or a multiple of {STEP_GIB}, such as {below} or {above}")


def _offered(throughput: int) -> int:
    if throughput in THROUGHPUTS:
        return throughput
    raise ValueError(f"must be one of {', '.join(map(str, THROUGHPUTS))}")


SizeGib = Annotated[int, AfterValidator(_sized)]
#: MB/s for each TiB.
Throughput = Annotated[int, AfterValidator(_offered)]


def check_lustre(given: Collection[str], storage: str, existing: str | None, deployment: Deployment) -> None:
    """given: the fsx_ keys that a stack file has. Raises ValueError where one of them means nothing there."""
    first = to_camel(min(given)) if given else ""
    if given and storage != "fsx":
        raise ValueError(f"{first} is of FSx for Lustre: leave it out, or storage: fsx")
    if given and existing:
        raise ValueError(f"{first} is of a new file system: leave it out, for fileSystemId names one that has its own")
    if "fsx_throughput" in given and deployment != "PERSISTENT_2":
        raise ValueError("fsxThroughput is of fsxDeployment: PERSISTENT_2; SCRATCH_2 has 200 MB/s a TiB")
