"""Who may enter a node, and what a node may ask of AWS.

One ed25519 key a stack; its private half exists only on the operator's machine. The nodes' role may do nothing of
its own: it is a name that the shared file system's policy trusts, and carries what the stack file names in S3 and what
SSM's agent needs where SSH comes through Session Manager.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pulumi
import pulumi_aws as aws

from infra.errors import BadInput

#: What SSM's agent needs for Session Manager and no more: AWS's managed policy AWSCloud9SSMInstanceProfile. The wider
#: AmazonSSMManagedInstanceCore also reads every parameter of the account. None of these takes a resource but "*".
SESSION_RIGHTS = (
    "ssm:UpdateInstanceInformation",
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
)


@dataclass
class AccessArgs:
    """role: whether the nodes get one; s3: what it may do there, as a policy's text, "" for nothing.

    session: whether SSH comes through Session Manager.
    """

    public_key: str
    role: bool
    s3: str
    session: bool
    tags: Mapping[str, str]


class Access(pulumi.ComponentResource):
    """`key_name`; `role_arn`, `role_name` and `instance_profile` (a name), None where the nodes have no role."""

    key_name: pulumi.Output[str]
    role_arn: pulumi.Output[str] | None = None
    role_name: pulumi.Output[str] | None = None
    instance_profile: pulumi.Output[str] | None = None

    def __init__(self, name: str, args: AccessArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("swift-fleet:infra:Access", name, {}, opts)
        mine = pulumi.ResourceOptions(parent=self)
        tags = {"Name": name, **args.tags}
        key = aws.ec2.KeyPair(
            "key",
            public_key=args.public_key,
            tags=tags,
            # Another clone has another key; its `up` must not replace the key, and with it every node, of a
            # fleet that runs. Whoever needs in takes the private key along.
            opts=pulumi.ResourceOptions(parent=self, ignore_changes=["publicKey"]),
        )
        self.key_name = key.key_name
        if args.role:
            role = aws.iam.Role(
                f"{name}-node-role",
                description="swift-fleet nodes: no rights of its own, trusted by the stack's file system",
                assume_role_policy=trust("ec2.amazonaws.com"),
                tags=tags,
                opts=mine,
            )
            profile = aws.iam.InstanceProfile(f"{name}-node-profile", role=role.name, tags=tags, opts=mine)
            if args.s3:
                aws.iam.RolePolicy("s3-right", role=role.name, policy=args.s3, opts=mine)
            if args.session:
                aws.iam.RolePolicy("session-right", role=role.name, policy=allowing(*SESSION_RIGHTS), opts=mine)
            self.role_arn, self.role_name, self.instance_profile = role.arn, role.name, profile.name
        self.register_outputs({"key_name": key.key_name, "role_arn": self.role_arn})


def allowing(*actions: str) -> str:
    """The policy that allows these actions on whatever there is."""
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def trust(service: str) -> str:
    """The policy by which an AWS service may take a role."""
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def key_file(root: Path, stack: str) -> Path:
    """Where the private key of a stack is kept: in the clone, out of git, for the owner alone."""
    return root / ".fleet" / "keys" / stack


def public_key(root: Path, stack: str) -> str:
    """The stack's public key, made with its private half on first use (0600, never in the state)."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    file = key_file(root, stack)
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        made = Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return public_key(root, stack)
        with os.fdopen(descriptor, "wb") as out:
            out.write(made)
    if stat.S_IMODE(file.stat().st_mode) & 0o077:
        raise BadInput("can be read by others", where=str(file), do=f"chmod 600 {file}")
    try:
        private = serialization.load_ssh_private_key(file.read_bytes(), password=None)
    except ValueError as error:
        raise BadInput(
            f"is no private key: {error}", where=str(file), do="Restore it, or remove it if no fleet uses it."
        ) from error
    text = private.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return f"{text.decode()} swift-fleet-{stack}"
