"""Security groups and their rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.sandbox.provider import tags
from infra.sandbox.provider.resources.base import Resource
from infra.sandbox.provider.resources.rules import ipv4_network, ipv6_network, named, not_beginning
from infra.sandbox.provider.schema import Autoname, Field, ResourceType, Timeouts, flag, integer, names, text
from infra.sandbox.provider.schema import blocks as list_of
from infra.sandbox.provider.session import Aws
from infra.sandbox.provider.values import Props
from infra.sandbox.provider.waits import Deadline, or_none, retrying, tolerating, until

GONE = ("InvalidGroup.NotFound", "InvalidSecurityGroupID.NotFound")
PROTOCOLS = {"all": "-1", "6": "tcp", "17": "udp", "1": "icmp", "58": "icmpv6"}


def protocol(said: Any) -> str:
    """The name AWS gives back: all is -1, and numbers are names where they have one."""
    return PROTOCOLS.get(str(said).lower(), str(said).lower())


def same_protocol(one: Any, other: Any) -> bool:
    return protocol(one) == protocol(other)


RULE: Mapping[str, Field] = {
    "protocol": text(required=True, same=same_protocol),
    "fromPort": integer(required=True),
    "toPort": integer(required=True),
    "cidrBlocks": names(),
    "ipv6CidrBlocks": names(),
    "prefixListIds": names(),
    "securityGroups": names(),
    "self": flag(default=False),
    "description": text(),
}


class SecurityGroup(Resource):
    type = ResourceType(
        token="aws:ec2/securityGroup:SecurityGroup",
        inputs={
            **named(255, not_beginning("sg-")),
            # AWS has no call to change it, so another text is another group.
            "description": text(default="Managed by Pulumi", force_new=True, length=(0, 255)),
            "vpcId": text(computed=True, force_new=True),
            "ingress": list_of(RULE, computed=True),
            "egress": list_of(RULE, computed=True),
            "revokeRulesOnDelete": flag(default=False, read_back=False),
        },
        outputs=("arn", "ownerId"),
        autoname=Autoname("name"),
        tagged=True,
        timeouts=Timeouts(create=600, delete=900),
    )

    def create(self, aws: Aws, inputs: Props, deadline: Deadline) -> str:
        vpc = {"VpcId": inputs["vpcId"]} if inputs.get("vpcId") else {}
        made = self.client(aws, inputs).create_security_group(
            GroupName=inputs["name"],
            Description=inputs["description"],
            TagSpecifications=tags.specification("security-group", inputs["tagsAll"]),
            **vpc,
        )
        return str(made["GroupId"])

    def settle(self, aws: Aws, id: str, inputs: Props, deadline: Deadline) -> None:
        ec2 = self.client(aws, inputs)
        until(lambda: _group(ec2, id), deadline, f"security group ({id}) to be readable")
        # A new group lets everything out; a program's lets out what the program says (ec2 vpc_security_group.go).
        for source in ({"IpRanges": [{"CidrIp": "0.0.0.0/0"}]}, {"Ipv6Ranges": [{"CidrIpv6": "::/0"}]}):
            with tolerating("InvalidPermission.NotFound", "InvalidParameterValue"):
                ec2.revoke_security_group_egress(GroupId=id, IpPermissions=[{"IpProtocol": "-1", **source}])
        for direction in ("ingress", "egress"):
            self._authorize(ec2, id, direction, inputs.get(direction) or [])

    def read(self, aws: Aws, id: str, known: Props) -> Props | None:
        group = _group(self.client(aws, known), id)
        if group is None:
            return None
        return {
            "arn": aws.arn("ec2", f"security-group/{id}", known.get("region", "")),
            "name": group["GroupName"],
            "description": group["Description"],
            "vpcId": group.get("VpcId", ""),
            "ownerId": group.get("OwnerId", ""),
            "ingress": [_rule_of(each, id) for each in group.get("IpPermissions", [])],
            "egress": [_rule_of(each, id) for each in group.get("IpPermissionsEgress", [])],
            "tagsAll": tags.from_aws(group.get("Tags")),
        }

    def update(self, aws: Aws, id: str, old: Props, new: Props, changed: frozenset[str], deadline: Deadline) -> None:
        ec2 = self.client(aws, new)
        for direction in {"ingress", "egress"} & changed:
            before, after = old.get(direction) or [], new.get(direction) or []
            removed = [_permission(rule, id) for rule in before if rule not in after]
            if removed:
                getattr(ec2, f"revoke_security_group_{direction}")(GroupId=id, IpPermissions=removed)
            self._authorize(ec2, id, direction, [rule for rule in after if rule not in before])

    def delete(self, aws: Aws, id: str, state: Props, deadline: Deadline) -> None:
        ec2 = self.client(aws, state)
        if state.get("revokeRulesOnDelete"):
            self._revoke_all(ec2, id)
        with tolerating(*GONE):
            retrying(
                lambda: ec2.delete_security_group(GroupId=id), deadline, "DependencyViolation", "InvalidGroup.InUse"
            )
            until(lambda: _group(ec2, id) is None, deadline, f"security group ({id}) to be gone")

    def _authorize(self, ec2: Any, id: str, direction: str, rules: list[Props]) -> None:
        if rules:
            permissions = [_permission(rule, id) for rule in rules]
            getattr(ec2, f"authorize_security_group_{direction}")(GroupId=id, IpPermissions=permissions)

    def _revoke_all(self, ec2: Any, id: str) -> None:
        group = _group(ec2, id) or {}
        for key, direction in (("IpPermissions", "ingress"), ("IpPermissionsEgress", "egress")):
            if group.get(key):
                with tolerating("InvalidPermission.NotFound"):
                    getattr(ec2, f"revoke_security_group_{direction}")(GroupId=id, IpPermissions=group[key])


def _group(ec2: Any, id: str) -> Any:
    answer = or_none(lambda: ec2.describe_security_groups(GroupIds=[id]), *GONE)
    found = (answer or {}).get("SecurityGroups", [])
    return found[0] if found else None


def _permission(rule: Props, own: str) -> dict[str, Any]:
    named_groups = [*rule.get("securityGroups", []), *([own] if rule.get("self") else [])]
    about = {"Description": rule["description"]} if rule.get("description") else {}
    made: dict[str, Any] = {"IpProtocol": protocol(rule["protocol"])}
    if made["IpProtocol"] != "-1":
        made |= {"FromPort": rule["fromPort"], "ToPort": rule["toPort"]}
    for key, field, values in (
        ("IpRanges", "CidrIp", rule.get("cidrBlocks")),
        ("Ipv6Ranges", "CidrIpv6", rule.get("ipv6CidrBlocks")),
        ("PrefixListIds", "PrefixListId", rule.get("prefixListIds")),
        ("UserIdGroupPairs", "GroupId", named_groups),
    ):
        if values:
            made[key] = [{field: value, **about} for value in values]
    return made


def _rule_of(permission: Any, own: str) -> Props:
    groups = [pair["GroupId"] for pair in permission.get("UserIdGroupPairs", [])]
    sources = [
        *permission.get("IpRanges", []),
        *permission.get("Ipv6Ranges", []),
        *permission.get("PrefixListIds", []),
        *permission.get("UserIdGroupPairs", []),
    ]
    return {
        "protocol": permission["IpProtocol"],
        "fromPort": permission.get("FromPort", 0),
        "toPort": permission.get("ToPort", 0),
        "cidrBlocks": [each["CidrIp"] for each in permission.get("IpRanges", [])],
        "ipv6CidrBlocks": [each["CidrIpv6"] for each in permission.get("Ipv6Ranges", [])],
        "prefixListIds": [each["PrefixListId"] for each in permission.get("PrefixListIds", [])],
        "securityGroups": [each for each in groups if each != own],
        "self": own in groups,
        "description": next((each["Description"] for each in sources if each.get("Description")), ""),
    }


SOURCES = {
    "cidrIpv4": "CidrIpv4",
    "cidrIpv6": "CidrIpv6",
    "prefixListId": "PrefixListId",
    "referencedSecurityGroupId": "ReferencedGroupId",
}


class _Rule(Resource):
    """One rule as a resource of its own; the direction is the subclass's."""

    direction: str

    def create(self, aws: Aws, inputs: Props, deadline: Deadline) -> str:
        made = getattr(self.client(aws, inputs), f"authorize_security_group_{self.direction}")(
            GroupId=inputs["securityGroupId"],
            IpPermissions=[_single(inputs)],
            TagSpecifications=tags.specification("security-group-rule", inputs["tagsAll"]),
        )
        return str(made["SecurityGroupRules"][0]["SecurityGroupRuleId"])

    def read(self, aws: Aws, id: str, known: Props) -> Props | None:
        ec2 = self.client(aws, known)
        answer = or_none(lambda: ec2.describe_security_group_rules(SecurityGroupRuleIds=[id]), *_RULE_GONE)
        rules = (answer or {}).get("SecurityGroupRules", [])
        if not rules or bool(rules[0].get("IsEgress")) != (self.direction == "egress"):
            return None
        rule = rules[0]
        every = protocol(rule["IpProtocol"]) == "-1"
        return {
            "arn": aws.arn("ec2", f"security-group-rule/{id}", known.get("region", "")),
            "securityGroupRuleId": id,
            "securityGroupId": rule["GroupId"],
            "ipProtocol": rule["IpProtocol"],
            # AWS answers -1 where there are no ports; the provider keeps none (vpc_security_group_ingress_rule.go).
            "fromPort": None if every else rule.get("FromPort"),
            "toPort": None if every else rule.get("ToPort"),
            "cidrIpv4": rule.get("CidrIpv4"),
            "cidrIpv6": rule.get("CidrIpv6"),
            "prefixListId": rule.get("PrefixListId"),
            "referencedSecurityGroupId": (rule.get("ReferencedGroupInfo") or {}).get("GroupId"),
            "description": rule.get("Description") or "",
            "tagsAll": tags.from_aws(rule.get("Tags")),
        }

    def update(self, aws: Aws, id: str, old: Props, new: Props, changed: frozenset[str], deadline: Deadline) -> None:
        rule: dict[str, Any] = {"IpProtocol": protocol(new["ipProtocol"]), "Description": new.get("description", "")}
        rule |= {"FromPort": new.get("fromPort", -1), "ToPort": new.get("toPort", -1)}
        rule |= {name: new[key] for key, name in SOURCES.items() if new.get(key)}
        self.client(aws, new).modify_security_group_rules(
            GroupId=new["securityGroupId"],
            SecurityGroupRules=[{"SecurityGroupRuleId": id, "SecurityGroupRule": rule}],
        )

    def delete(self, aws: Aws, id: str, state: Props, deadline: Deadline) -> None:
        with tolerating(*_RULE_GONE):
            getattr(self.client(aws, state), f"revoke_security_group_{self.direction}")(
                GroupId=state["securityGroupId"], SecurityGroupRuleIds=[id]
            )

    def replaces(self, aws: Aws, old: Props, new: Props, changed: frozenset[str]) -> set[str]:
        before, after = ({key for key in SOURCES if props.get(key)} for props in (old, new))
        return before ^ after if before and after else set()


_RULE_GONE = (*GONE, "InvalidSecurityGroupRuleId.NotFound", "InvalidPermission.NotFound")


def _single(inputs: Props) -> dict[str, Any]:
    about = {"Description": inputs["description"]} if inputs.get("description") else {}
    made: dict[str, Any] = {"IpProtocol": protocol(inputs["ipProtocol"])}
    made |= {name: inputs[key] for key, name in (("fromPort", "FromPort"), ("toPort", "ToPort")) if key in inputs}
    if inputs.get("cidrIpv4"):
        made["IpRanges"] = [{"CidrIp": inputs["cidrIpv4"], **about}]
    if inputs.get("cidrIpv6"):
        made["Ipv6Ranges"] = [{"CidrIpv6": inputs["cidrIpv6"], **about}]
    if inputs.get("prefixListId"):
        made["PrefixListIds"] = [{"PrefixListId": inputs["prefixListId"], **about}]
    if inputs.get("referencedSecurityGroupId"):
        account, _, group = inputs["referencedSecurityGroupId"].rpartition("/")
        owner = {"UserId": account} if account else {}
        made["UserIdGroupPairs"] = [{"GroupId": group, **owner, **about}]
    return made


def _rule_type(token: str) -> ResourceType:
    return ResourceType(
        token=token,
        inputs={
            "securityGroupId": text(required=True, force_new=True),
            "ipProtocol": text(required=True, same=same_protocol),
            "fromPort": integer(bounds=(-1, 65535)),
            "toPort": integer(bounds=(-1, 65535)),
            "cidrIpv4": text(check=ipv4_network),
            "cidrIpv6": text(check=ipv6_network),
            "prefixListId": text(),
            "referencedSecurityGroupId": text(),
            "description": text(),
        },
        outputs=("arn", "securityGroupRuleId"),
        tagged=True,
        exactly_one_of=(tuple(SOURCES),),
    )


class IngressRule(_Rule):
    type = _rule_type("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule")
    direction = "ingress"


class EgressRule(_Rule):
    type = _rule_type("aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule")
    direction = "egress"
