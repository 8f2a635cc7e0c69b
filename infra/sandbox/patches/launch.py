"""RunInstances the way AWS does it: the launch template counts in full, every instance of the request gets the profile,
interfaces keep their network card and type, a client token works once, and public addresses stay in 127/8."""

from __future__ import annotations

import json
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend, elastic_ip_addresses, elastic_network_interfaces
from moto.ec2.models.instances import InstanceBackend, Reservation
from moto.ec2.responses import EC2Response
from moto.moto_api._internal import mock_random

from infra.sandbox.patches import capacity, images, interfaces
from infra.sandbox.patches.hook import replace
from infra.sandbox.patches.instances import set_state

_run_instances_call = EC2Response.run_instances
_run_instances = InstanceBackend.run_instances


def install() -> None:
    replace(EC2Response, "run_instances", run_instances_call)
    replace(EC2Backend, "run_instances", run_instances)
    replace(elastic_network_interfaces, "random_public_ip", public_address)
    replace(elastic_ip_addresses, "random_ip", public_address)


def public_address() -> str:
    """moto hands out 54.214.x.y, which are real addresses of AWS. These are loopback, apart from 127.0/16 and from
    the low second bytes that sandbox VPCs use."""
    return f"127.{mock_random.randint(128, 254)}.{mock_random.randint(0, 255)}.{mock_random.randint(1, 254)}"


def merged(template: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    """The parameters that AWS launches with: the request wins over its launch template, key by key; tags of one
    resource type are merged."""
    result = {key: value for key, value in template.items() if value not in (None, "", [], {})}
    result |= {key: value for key, value in request.items() if value not in (None, "", [], {})}
    if "UserData" in result:
        result["UserData"] = str(result["UserData"])  # a template holds it as a Base64EncodedString
    tags: dict[str, dict[str, str]] = {}
    for source in (template, request):
        for spec in source.get("TagSpecifications") or []:
            given = {tag["Key"]: tag.get("Value", "") for tag in spec.get("Tags") or []}
            tags.setdefault(spec["ResourceType"], {}).update(given)
    # A launch template's own tags stand among the specifications in moto, under this type.
    tags.pop("launch-template", None)
    if tags:
        result["TagSpecifications"] = [
            {"ResourceType": kind, "Tags": [{"Key": k, "Value": v} for k, v in values.items()]}
            for kind, values in tags.items()
        ]
    return result


def run_instances_call(self: EC2Response) -> ActionResult:
    params: dict[str, Any] = dict(self.params)
    template = params.get("LaunchTemplate")
    version = self.ec2_backend._get_template_from_args(template) if template else None
    if version:
        params = merged(version.data, params)
    interfaces.check(params)
    images.check(self.ec2_backend, params)
    token = params.get("ClientToken")
    if (earlier := _launched(self.ec2_backend).get(token)) and not params.get("DryRun"):
        if earlier[0] != _fingerprint(params):
            message = "Arguments on this idempotent request are inconsistent with arguments used in previous request(s)"
            raise EC2ClientError("IdempotentParameterMismatch", message)
        return ActionResult(earlier[1])
    capacity.check(self, params)
    self.params = params  # type: ignore[assignment]
    result = _run_instances_call(self)
    reservation = result.result
    assert isinstance(reservation, Reservation)
    for instance in reservation.instances:
        capacity.place(instance, params)
        if version:
            made_from = {"id": version.template.id, "version": str(version.number)}
            instance.add_tags({f"aws:ec2launchtemplate:{key}": value for key, value in made_from.items()})
    if token:
        _launched(self.ec2_backend)[token] = (_fingerprint(params), reservation)
    return result


def run_instances(self: EC2Backend, *args: Any, **kwargs: Any) -> Reservation:
    reservation = _run_instances(self, *args, **kwargs)
    profile = {key: kwargs[key] for key in ("iam_instance_profile_name", "iam_instance_profile_arn") if kwargs.get(key)}
    kept = {int(n.get("DeviceIndex") or 0) for n in kwargs.get("nics") or [] if interfaces.outlives(n)}
    for index, instance in enumerate(reservation.instances):
        set_state(instance, "pending")
        if profile and index > 0:  # moto's response class sees to the first
            self.associate_iam_instance_profile(instance_id=instance.id, **profile)
        for nic in instance.nics.values():
            nic.delete_on_termination = nic.device_index not in kept
        if not instance.security_groups:
            instance.security_groups = list(instance.nics[0]._group_set)
    return reservation


def _launched(backend: EC2Backend) -> dict[str | None, tuple[str, Reservation]]:
    if not hasattr(backend, "launched_by_token"):
        backend.launched_by_token = {}  # type: ignore[attr-defined]
    return backend.launched_by_token  # type: ignore[attr-defined,no-any-return]


def _fingerprint(params: dict[str, Any]) -> str:
    return json.dumps({k: v for k, v in params.items() if k != "ClientToken"}, sort_keys=True, default=str)
