"""EC2 instances: terraform-provider-aws ec2_instance.go, for what a fleet uses of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from infra.sandbox.provider import tags
from infra.sandbox.provider.resources import instance_launch as launch
from infra.sandbox.provider.resources import instance_template as templates
from infra.sandbox.provider.resources.base import Resource
from infra.sandbox.provider.resources.instance_read import state
from infra.sandbox.provider.resources.instance_type import TYPE
from infra.sandbox.provider.session import Aws
from infra.sandbox.provider.values import Props
from infra.sandbox.provider.waits import Deadline, or_none, retrying, tolerating, until

GONE = "InvalidInstanceID.NotFound"
# A new profile takes about 10 s to reach EC2; the published provider retries two minutes on these words.
PROFILE_WAIT = 120
# Stop and start have a fixed ten minutes each (ec2_instance.go).
STOP_START_WAIT = 600


class Instance(Resource):
    type = TYPE

    def create(self, aws: Aws, inputs: Props, deadline: Deadline) -> str:
        ec2 = self.client(aws, inputs)
        image = inputs.get("ami") or templates.content(ec2, inputs["launchTemplate"]).get("ImageId")
        root = self._root_device(ec2, image) if inputs.get("rootBlockDevice") else ""
        sent = launch.request(inputs, root, aws.settings.default_tags)
        made = retrying(
            lambda: ec2.run_instances(**sent),
            deadline.capped(PROFILE_WAIT),
            "InvalidParameterValue",
            saying="Invalid IAM Instance Profile",
        )
        return str(made["Instances"][0]["InstanceId"])

    def settle(self, aws: Aws, id: str, inputs: Props, deadline: Deadline) -> None:
        ec2 = self.client(aws, inputs)
        self._wait(ec2, id, "running", ("pending",), deadline)
        if inputs.get("sourceDestCheck") is False:
            ec2.modify_instance_attribute(InstanceId=id, SourceDestCheck={"Value": False})
        if inputs.get("monitoring"):
            ec2.monitor_instances(InstanceIds=[id])

    def read(self, aws: Aws, id: str, known: Props) -> Props | None:
        ec2 = self.client(aws, known)
        found = _described(ec2, id)
        if found is None or found["State"]["Name"] == "terminated":
            return None
        return state(aws, ec2, found, known)

    def update(self, aws: Aws, id: str, old: Props, new: Props, changed: frozenset[str], deadline: Deadline) -> None:
        ec2 = self.client(aws, new)
        for name, change in self._in_place().items():
            if name in changed:
                change(ec2, id, old, new)
        self._by_stop_and_start(ec2, id, new, changed, deadline)

    def delete(self, aws: Aws, id: str, state: Props, deadline: Deadline) -> None:
        ec2 = self.client(aws, state)
        with tolerating(GONE):
            if state.get("forceDestroy"):
                ec2.modify_instance_attribute(InstanceId=id, DisableApiTermination={"Value": False})
            if state.get("instanceLifecycle") == "spot" and state.get("spotInstanceRequestId"):
                ec2.cancel_spot_instance_requests(SpotInstanceRequestIds=[state["spotInstanceRequestId"]])
            ec2.terminate_instances(InstanceIds=[id])
            self._wait(ec2, id, "terminated", ("pending", "running", "shutting-down", "stopping", "stopped"), deadline)

    def replaces(self, aws: Aws, old: Props, new: Props, changed: frozenset[str]) -> set[str]:
        found = {"userData", "userDataBase64"} & changed if new.get("userDataReplaceOnChange") else set()
        if "instanceType" in changed and self._other_architecture(aws, old, new):
            found.add("instanceType")
        if "launchTemplate" in changed and templates.replaces(self.client(aws, new), old, new):
            found.add("launchTemplate")
        return found

    def recomputed(self, old: Props, new: Props, changed: frozenset[str]) -> tuple[str, ...]:
        restarts = changed & {"instanceType", "userData", "userDataBase64"}
        return ("publicIp", "publicDns") if restarts and old.get("publicIp") else ()

    def _other_architecture(self, aws: Aws, old: Props, new: Props) -> bool:
        ec2, both = self.client(aws, new), [old.get("instanceType"), new.get("instanceType")]
        known = or_none(lambda: ec2.describe_instance_types(InstanceTypes=both), "InvalidInstanceType")
        kinds = {
            each["InstanceType"]: set(each["ProcessorInfo"]["SupportedArchitectures"])
            for each in (known or {}).get("InstanceTypes", [])
        }
        return len(kinds) == 2 and not set.intersection(*kinds.values())

    def _in_place(self) -> dict[str, Callable[[Any, str, Props, Props], None]]:
        """By input, in the order of the published provider."""

        def attribute(name: str, key: str) -> Callable[[Any, str, Props, Props], None]:
            return lambda ec2, id, old, new: ec2.modify_instance_attribute(
                InstanceId=id, **{name: {"Value": new.get(key) or False}}
            )

        return {
            "volumeTags": _tag_volumes,
            "iamInstanceProfile": _set_profile,
            "sourceDestCheck": attribute("SourceDestCheck", "sourceDestCheck"),
            "vpcSecurityGroupIds": _set_groups,
            "disableApiTermination": attribute("DisableApiTermination", "disableApiTermination"),
            "disableApiStop": attribute("DisableApiStop", "disableApiStop"),
            "instanceInitiatedShutdownBehavior": attribute(
                "InstanceInitiatedShutdownBehavior", "instanceInitiatedShutdownBehavior"
            ),
            "monitoring": _set_monitoring,
            "metadataOptions": _set_metadata,
            "rootBlockDevice": _set_root,
        }

    def _by_stop_and_start(self, ec2: Any, id: str, new: Props, changed: frozenset[str], deadline: Deadline) -> None:
        rounds: list[Callable[[], Any]] = []
        if "instanceType" in changed:
            rounds.append(
                lambda: ec2.modify_instance_attribute(InstanceId=id, InstanceType={"Value": new["instanceType"]})
            )
        if {"userData", "userDataBase64"} & changed:
            sent = launch.user_data(new)
            rounds.append(lambda: ec2.modify_instance_attribute(InstanceId=id, UserData={"Value": sent}))
        if "capacityReservationSpecification" in changed:
            wanted = launch.reservation(new.get("capacityReservationSpecification"))
            rounds.append(
                lambda: ec2.modify_instance_capacity_reservation_attributes(
                    InstanceId=id, CapacityReservationSpecification=wanted
                )
            )
        for change in rounds:
            ec2.stop_instances(InstanceIds=[id])
            self._wait(ec2, id, "stopped", ("pending", "running", "stopping"), deadline.fixed(STOP_START_WAIT))
            change()
            ec2.start_instances(InstanceIds=[id])
            self._wait(ec2, id, "running", ("pending", "stopped"), deadline.fixed(STOP_START_WAIT))

    def _wait(self, ec2: Any, id: str, target: str, pending: tuple[str, ...], deadline: Deadline) -> None:
        def reached() -> bool:
            found = _described(ec2, id)
            state = found["State"]["Name"] if found else "terminated"
            if state == target:
                return True
            if state not in pending:
                why = (found or {}).get("StateReason", {}).get("Message", "")
                raise RuntimeError(
                    f"waiting for EC2 Instance ({id}) {target}: unexpected state '{state}', "
                    f"wanted target '{target}'. last error: {why}"
                )
            return False

        until(reached, deadline, f"EC2 Instance ({id}) to become {target}")

    def _root_device(self, ec2: Any, ami: str | None) -> str:
        if not ami:
            raise ValueError("ami must be set if rootBlockDevice is: neither the instance nor its template names one")
        images = ec2.describe_images(ImageIds=[ami])["Images"]
        if not images:
            raise ValueError(f"expected to get one image, not 0: {ami}")
        return str(images[0].get("RootDeviceName") or "/dev/sda1")


def _described(ec2: Any, id: str) -> Any:
    answer = or_none(lambda: ec2.describe_instances(InstanceIds=[id]), GONE)
    found = [each for reservation in (answer or {}).get("Reservations", []) for each in reservation["Instances"]]
    return found[0] if found else None


def _set_groups(ec2: Any, id: str, old: Props, new: Props) -> None:
    interface = old.get("primaryNetworkInterfaceId")
    if interface:
        ec2.modify_network_interface_attribute(NetworkInterfaceId=interface, Groups=new["vpcSecurityGroupIds"])
    else:
        ec2.modify_instance_attribute(InstanceId=id, Groups=new["vpcSecurityGroupIds"])


def _set_profile(ec2: Any, id: str, old: Props, new: Props) -> None:
    mine = [{"Name": "instance-id", "Values": [id]}]
    found = ec2.describe_iam_instance_profile_associations(Filters=mine)["IamInstanceProfileAssociations"]
    wanted = new.get("iamInstanceProfile")
    if not wanted:
        for each in found:
            ec2.disassociate_iam_instance_profile(AssociationId=each["AssociationId"])
    elif found:
        ec2.replace_iam_instance_profile_association(
            AssociationId=found[0]["AssociationId"], IamInstanceProfile={"Name": wanted}
        )
    else:
        ec2.associate_iam_instance_profile(InstanceId=id, IamInstanceProfile={"Name": wanted})


def _set_monitoring(ec2: Any, id: str, old: Props, new: Props) -> None:
    (ec2.monitor_instances if new.get("monitoring") else ec2.unmonitor_instances)(InstanceIds=[id])


def _set_metadata(ec2: Any, id: str, old: Props, new: Props) -> None:
    wanted = launch.metadata(new.get("metadataOptions"))
    if wanted:
        ec2.modify_instance_metadata_options(InstanceId=id, **wanted)


def _set_root(ec2: Any, id: str, old: Props, new: Props) -> None:
    before, after = old.get("rootBlockDevice") or {}, new.get("rootBlockDevice") or {}
    names = {"volumeSize": "Size", "volumeType": "VolumeType", "iops": "Iops", "throughput": "Throughput"}
    changed = {name: after[key] for key, name in names.items() if key in after and after[key] != before.get(key)}
    if changed:
        ec2.modify_volume(VolumeId=before["volumeId"], **changed)
    if "deleteOnTermination" in after and after["deleteOnTermination"] != before.get("deleteOnTermination"):
        ebs = {"DeleteOnTermination": after["deleteOnTermination"]}
        ec2.modify_instance_attribute(
            InstanceId=id, BlockDeviceMappings=[{"DeviceName": before["deviceName"], "Ebs": ebs}]
        )


def _tag_volumes(ec2: Any, id: str, old: Props, new: Props) -> None:
    mine = [{"Name": "attachment.instance-id", "Values": [id]}]
    volumes = [each["VolumeId"] for each in ec2.describe_volumes(Filters=mine)["Volumes"]]
    added, removed = tags.changes(old.get("volumeTags") or {}, new.get("volumeTags") or {})
    if volumes and removed:
        ec2.delete_tags(Resources=volumes, Tags=[{"Key": key} for key in removed])
    if volumes and added:
        ec2.create_tags(Resources=volumes, Tags=tags.to_aws(added))
