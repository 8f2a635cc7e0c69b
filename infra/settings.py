"""`stacks/Pulumi.<stack>.yaml` -> `StackConfig`: the fleet that a stack asks for, as one typed object.

The Pulumi program and the `fleet` command read the same keys through the same model, so a wrong key is refused
alike by `pulumi preview` and by `fleet plan`, before anything is created.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel

from infra.addresses import network, overlap, sized, somebodys
from infra.buckets import Buckets
from infra.candidates import Candidates, InstanceTypeName
from infra.catalog import catalog
from infra.durations import LONGEST, Duration
from infra.lustre_sizes import Deployment, SizeGib, Throughput, check_lustre
from infra.written import validate

PROJECT = "swift-fleet"
PREFIX = f"{PROJECT}:"
#: Of the root snapshot of AWS's Deep Learning base image, which EC2 refuses to put on a smaller disk.
IMAGE_GIB = 75
#: AWS's schedule comes so long after the nodes' own leases, so that it fires only where a lease did not.
GRACE = timedelta(minutes=5)


#: What scripts/locks has a list of packages for.
Profile = Literal["base", "train", "flash", "vllm", "eval", "quant", "awq", "megatron"]


class StackConfig(BaseModel):
    """The fleet of one stack. Keys stand in the stack file in camelCase under `swift-fleet:`.

    nodes: machines; one NODE_RANK each.
    instance_type: of every node; one that `infra/catalog.yaml` knows.
    capacity: on-demand (several nodes: a targeted reservation for all of them first), spot, or what you have already
        bought: reservation, capacity-block.
    capacity_reservation_id: "cr-..." of the last two; it tells the zone.
    candidates: further types and zones that `fleet up` tries, cheapest first, when AWS has no room.
    efa: EFA interfaces and a cluster placement group; by default for several nodes of a type that has them.
    lifetime: after which each node ends itself, counted from its first boot. The lease.
    budget: USD, boot included; the fleet ends when it is spent, or at the end of `lifetime` if that comes first.
    max_usd_per_hour: a fleet that costs more an hour is refused.
    idle_minutes: after which a node that does nothing ends itself; 0 for never. See docs/guardrails.md.
    zone: availability zone of the fleet; by default the first that offers the type.
    vpc_cidr: of the stack's own network.
    vpc_id: an existing one, in which the fleet makes a subnet and a way out of its own.
    subnet_cidr: of that subnet; by default the first part of the VPC that is free and large enough.
    subnet_id: an existing one to use, with its VPC.
    security_group_id: an existing one to use; no rule is added, and SSH open to the world is refused.
    ssh_from_anywhere: allows an operatorCidr, or a rule of that group, larger than a /8, such as 0.0.0.0/0.
    operator_cidr: who may open SSH; by default this machine's own public address.
    access: ssh, to `ssh_port` from `operator_cidr`; or ssm, SSH through AWS's Session Manager: no node has a public
        address, and no port is open to anybody.
    public_addresses: whether nodes get one. Without, the operator must be in the VPC or a network joined to it.
    ssh_user, ssh_port: as the image has them.
    ami: image id; by default AWS's Deep Learning base image for Amazon Linux 2023, of the day of the first up.
    root_volume_gib: encrypted gp3.
    instance_role: a role by which the file system knows the nodes, with no rights but those of `s3` and `access`.
        Without, their network does.
    profile: the environment that nodes make when they boot; `fleet run` takes its job's.
    shared_environment: the first node makes it in the shared folder, for all; by default each node has its own, on its
        disk, which starts faster.
    shared_files: a file system that every node mounts at `shared_path`.
    storage: what that is. efs grows with what is in it; fsx, FSx for Lustre, has a size and its bandwidth.
    fsx_gib: of FSx for Lustre.
    fsx_deployment: SCRATCH_2, 200 MB/s a TiB, lost with a disk of AWS's; or PERSISTENT_2, held twice.
    fsx_throughput: of PERSISTENT_2, MB/s a TiB.
    file_system_id: an existing file system of that kind to mount, in place of one of the stack's own.
    s3: buckets and prefixes below which the nodes may list and read, or list and write, by their role.
    retain: keeps the stack's file system when the fleet ends; the stack's next `up` takes it up again.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel)

    nodes: Annotated[int, Field(ge=1, le=256)] = 1
    instance_type: InstanceTypeName
    capacity: Literal["on-demand", "spot", "reservation", "capacity-block"] = "on-demand"
    capacity_reservation_id: Annotated[str, Field(pattern=r"^cr-[0-9a-f]{8,17}$")] | None = None
    candidates: Candidates = Candidates()
    efa: bool | None = None
    lifetime: Duration = timedelta(hours=4)
    budget: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    max_usd_per_hour: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    idle_minutes: Annotated[int, Field(ge=0, le=720)] = 60
    zone: str | None = None
    vpc_cidr: str = "10.77.0.0/16"
    vpc_id: Annotated[str, Field(pattern=r"^vpc-[0-9a-f]{8,17}$")] | None = None
    subnet_cidr: str | None = None
    subnet_id: Annotated[str, Field(pattern=r"^subnet-[0-9a-f]{8,17}$")] | None = None
    security_group_id: Annotated[str, Field(pattern=r"^sg-[0-9a-f]{8,17}$")] | None = None
    ssh_from_anywhere: bool = False
    operator_cidr: str | None = None
    access: Literal["ssh", "ssm"] = "ssh"
    public_addresses: bool = True
    ssh_user: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")] = "ec2-user"
    ssh_port: Annotated[int, Field(ge=1, le=65535)] = 22
    ami: Annotated[str, Field(pattern=r"^ami-[0-9a-f]{8,17}$")] | None = None
    root_volume_gib: Annotated[int, Field(ge=30, le=16384)] = 200
    instance_role: bool = True
    profile: Profile = "base"
    shared_environment: bool = False
    shared_files: bool = True
    storage: Literal["efs", "fsx"] = "efs"
    fsx_gib: SizeGib = 1200
    fsx_deployment: Deployment = "SCRATCH_2"
    fsx_throughput: Throughput = 125
    shared_path: Annotated[str, Field(pattern=r"^~?(/[A-Za-z0-9._-]+)+$", max_length=100)] = "~/shared"
    file_system_id: Annotated[str, Field(pattern=r"^fs-[0-9a-f]{8,17}$")] | None = None
    retain: bool = False
    s3: Buckets = Buckets()

    @field_validator("lifetime")
    @classmethod
    def _ends(cls, value: timedelta) -> timedelta:
        if not timedelta(minutes=10) <= value <= LONGEST:
            raise ValueError("must be between 10m and 14d: every fleet ends")
        return value

    @field_validator("idle_minutes")
    @classmethod
    def _seen_often_enough(cls, value: int) -> int:
        if 0 < value < 15:
            raise ValueError("must be 0 for never, or at least 15: a node is looked at every 5 minutes")
        return value

    @field_validator("vpc_cidr")
    @classmethod
    def _of_a_fleet(cls, value: str) -> str:
        return sized(value, 16, 24)

    @field_validator("subnet_cidr")
    @classmethod
    def _of_a_subnet(cls, value: str | None) -> str | None:
        return value if value is None else sized(value, 16, 28)

    @field_validator("operator_cidr")
    @classmethod
    def _not_the_world(cls, value: str | None, known: ValidationInfo) -> str | None:
        if value is None:
            return value
        return network(value) if known.data.get("ssh_from_anywhere") else somebodys(value)

    @model_validator(mode="after")
    def _capacity_is_of_one_kind(self) -> StackConfig:
        bought = self.capacity in ("reservation", "capacity-block")
        if bought and not self.capacity_reservation_id:
            raise ValueError(f"capacity: {self.capacity} needs capacityReservationId, such as cr-0123456789abcdef0")
        if self.capacity_reservation_id and not bought:
            raise ValueError(
                f"capacityReservationId belongs to capacity: reservation or capacity-block, not {self.capacity}"
            )
        if bought and (self.candidates.instance_types or self.candidates.zones or self.zone):
            raise ValueError("a reservation has one type and one zone: leave out zone and candidates")
        return self

    @model_validator(mode="after")
    def _candidates_are_alike(self) -> StackConfig:
        if self.zone and self.candidates.zones:
            raise ValueError("zone fixes the zone, candidates.zones offers several: leave one out")
        known = catalog().types
        gpus = known[self.instance_type].gpus
        for name in self.candidates.instance_types:
            if known[name].gpus != gpus:
                raise ValueError(
                    f"candidates.instanceTypes: {name} has {known[name].gpus} GPUs, {self.instance_type} has {gpus}: "
                    "a job is laid out for one number of GPUs a node"
                )
        return self

    @model_validator(mode="after")
    def _efa_is_there(self) -> StackConfig:
        if self.efa:
            bare = [name for name in self.instance_types if not catalog().types[name].efa]
            if bare:
                raise ValueError(f"efa: {', '.join(bare)} has no EFA; leave efa out, or choose a type that has")
        return self

    @model_validator(mode="after")
    def _network_is_whole(self) -> StackConfig:
        if self.vpc_id and self.subnet_id:
            raise ValueError("subnetId tells its VPC: leave out vpcId, in which the fleet makes a subnet of its own")
        if self.subnet_cidr and not self.vpc_id:
            raise ValueError("subnetCidr is of a subnet made in an existing VPC: give vpcId, or vpcCidr instead")
        if self.security_group_id and not (self.subnet_id or self.vpc_id):
            raise ValueError("securityGroupId belongs to an existing VPC: give subnetId or vpcId too")
        if self.subnet_id and (self.zone or self.candidates.zones):
            raise ValueError("subnetId fixes the zone: leave out zone and candidates.zones")
        new = not (self.subnet_id or self.vpc_id)
        if new and not self.public_addresses and self.access == "ssh" and not self._operator_is_in(self.vpc_cidr):
            raise ValueError(
                "publicAddresses: false in a VPC of the fleet's own leaves no way in or out: "
                "give access: ssm, or the vpcId or subnetId of a network that you are joined to"
            )
        return self

    def _operator_is_in(self, cidr: str) -> bool:
        return self.operator_cidr is not None and overlap(self.operator_cidr, cidr)

    @model_validator(mode="after")
    def _has_one_access(self) -> StackConfig:
        if self.access == "ssm" and not self.instance_role:
            raise ValueError("access: ssm is a right of the nodes' role: leave it out, or instanceRole: false")
        if self.access == "ssm" and self.operator_cidr:
            raise ValueError("access: ssm opens SSH to no network: leave out operatorCidr")
        cards = max(catalog().types[name].network_cards for name in self.instance_types)
        if self.operator_cidr == "0.0.0.0/0" and self.public_addresses and self.wants_efa and cards > 1:
            raise ValueError("operatorCidr must be your own network where nodes have several network cards")
        return self

    @model_validator(mode="after")
    def _root_holds_the_image(self) -> StackConfig:
        if self.ami is None and self.root_volume_gib < IMAGE_GIB:
            raise ValueError(f"rootVolumeGib must be at least {IMAGE_GIB}: the Deep Learning image is that large")
        return self

    @model_validator(mode="after")
    def _files_are_shared(self) -> StackConfig:
        for key in ("file_system_id", "retain", "shared_environment", *(("storage",) if self.storage == "fsx" else ())):
            if getattr(self, key) and not self.shared_files:
                raise ValueError(f"{to_camel(key)} is about shared files: leave it out, or sharedFiles: false")
        if self.file_system_id and self.retain:
            raise ValueError("fileSystemId names a file system that stays in any case: leave out retain")
        fields = type(self).model_fields
        given = {key for key in fields if key.startswith("fsx_") and getattr(self, key) != fields[key].default}
        check_lustre(given, self.storage, self.file_system_id, self.fsx_deployment)
        if self.storage == "fsx" and self.file_system_id and not (self.subnet_id or self.vpc_id):
            raise ValueError("FSx for Lustre lives in one VPC: with fileSystemId give subnetId or vpcId, of that VPC")
        if self.storage == "fsx" and self.retain and not (self.subnet_id and self.security_group_id):
            raise ValueError(
                "FSx for Lustre lives in its subnet: retain needs subnetId and securityGroupId, which stay"
            )
        if self.s3 and not self.instance_role:
            raise ValueError("s3 is a right of the nodes' role: leave it out, or instanceRole: false")
        return self

    @property
    def instance_types(self) -> tuple[str, ...]:
        """All that the fleet may be made of, the wanted one first."""
        return tuple(dict.fromkeys((self.instance_type, *self.candidates.instance_types)))

    @property
    def makes_lustre(self) -> bool:
        return self.shared_files and self.storage == "fsx" and not self.file_system_id

    @property
    def ends_after(self) -> timedelta:
        """From a launch to the last of its ends, AWS's schedule."""
        return self.lifetime + GRACE

    @property
    def wants_efa(self) -> bool:
        """Asked for, or, unasked, of use: several nodes of types that all have it."""
        if self.efa is not None:
            return self.efa
        return self.nodes > 1 and all(catalog().types[name].efa for name in self.instance_types)


def from_pulumi(config: Mapping[str, Any], source: str) -> StackConfig:
    """From the flat configuration that the engine hands to a program; values other than text come as JSON."""
    data: dict[str, Any] = {}
    for key, value in config.items():
        if not key.startswith(PREFIX):
            continue
        try:
            data[key.removeprefix(PREFIX)] = json.loads(value) if isinstance(value, str) else value
        except json.JSONDecodeError:
            data[key.removeprefix(PREFIX)] = value
    return validate(StackConfig, data, file=Path(source), lines={}, prefix=PREFIX)
