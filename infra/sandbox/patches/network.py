"""Security group rules that moto can't modify, and what AWS refuses to delete because something still uses it."""

from __future__ import annotations

from typing import Any

from moto.ec2.exceptions import DependencyViolationError, EC2ClientError, InvalidSecurityGroupRuleIdNotFoundError
from moto.ec2.models import EC2Backend
from moto.ec2.models.security_groups import SecurityGroupRule

from infra.sandbox.patches.hook import replace

_modify_rules = EC2Backend.modify_security_group_rules
_delete_subnet = EC2Backend.delete_subnet
_delete_security_group = EC2Backend.delete_security_group
_delete_nat_gateway = EC2Backend.delete_nat_gateway


def install() -> None:
    replace(EC2Backend, "modify_security_group_rules", modify_security_group_rules)
    replace(SecurityGroupRule, "description", property(description))
    replace(EC2Backend, "delete_subnet", delete_subnet)
    replace(EC2Backend, "delete_security_group", delete_security_group)
    replace(EC2Backend, "delete_nat_gateway", delete_nat_gateway)


def delete_nat_gateway(self: EC2Backend, nat_gateway_id: str) -> Any:
    """Its interface goes with it; moto keeps that in the subnet for ever."""
    gateway = self.nat_gateways.get(nat_gateway_id)
    if gateway is None:
        raise EC2ClientError("NatGatewayNotFound", f"The Nat Gateway {nat_gateway_id} was not found")
    self.enis.pop(gateway._eni.id, None)
    return _delete_nat_gateway(self, nat_gateway_id)


def description(self: SecurityGroupRule) -> str | None:
    """moto keeps what a rule was given for a referenced group, and shows it for address ranges only."""
    return self.ip_range.get("Description") or self.source_group.get("Description")


def modify_security_group_rules(self: EC2Backend, group_id: str, rules: dict[str, dict[str, Any]]) -> None:
    """moto asks for ports whatever the protocol, and leaves a referenced group as it was."""
    group = self.get_security_group_from_id(group_id)
    known = {rule.id: rule for rule in [*group.ingress_rules, *group.egress_rules]} if group else {}
    for rule_id, new in rules.items():
        if group and rule_id not in known:
            raise InvalidSecurityGroupRuleIdNotFoundError(rule_id)
        portless = str(new.get("IpProtocol")) == "-1"
        asked = new | {"FromPort": -1, "ToPort": -1} if portless else new
        _modify_rules(self, group_id, {rule_id: asked})
        rule = known[rule_id]
        if portless:
            rule.from_port = rule.to_port = None
        if source := new.get("ReferencedGroupId"):
            rule.source_group = {"GroupId": source, "UserId": self.account_id}
            if text := new.get("Description"):
                rule.source_group["Description"] = text
            rule.ip_range.pop("CidrIp", None)
        elif new.get("CidrIpv4"):
            rule.source_group = {}


def delete_subnet(self: EC2Backend, subnet_id: str) -> Any:
    if any(eni.subnet.id == subnet_id for eni in self.enis.values()):
        message = f"The subnet '{subnet_id}' has dependencies and cannot be deleted."
        raise DependencyViolationError(message)
    return _delete_subnet(self, subnet_id)


def delete_security_group(self: EC2Backend, name: str | None = None, group_id: str | None = None) -> None:
    if group_id and self.get_security_group_from_id(group_id):
        enis = (group.id for eni in self.enis.values() for group in eni.group_set)
        rules = (
            rule.source_group.get("GroupId")
            for groups in self.groups.values()
            for group in groups.values()
            if group.id != group_id
            for rule in [*group.ingress_rules, *group.egress_rules]
        )
        if group_id in [*enis, *rules]:
            raise DependencyViolationError(f"resource {group_id} has a dependent object")
    _delete_security_group(self, name, group_id)
