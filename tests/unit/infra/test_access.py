from __future__ import annotations

import json
import stat
from pathlib import Path

import paramiko
import pytest

from infra.access import key_file, public_key, trust
from infra.errors import BadInput


def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    first = public_key(tmp_path, "dev")
    file = key_file(tmp_path, "dev")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert public_key(tmp_path, "dev") == first
    assert first.startswith("ssh-ed25519 ") and first.endswith(" swift-fleet-dev")


def test_each_stack_has_a_key_of_its_own(tmp_path: Path) -> None:
    assert public_key(tmp_path, "dev").split()[1] != public_key(tmp_path, "prod").split()[1]


def test_its_private_half_opens_what_its_public_half_locks(tmp_path: Path) -> None:
    public = public_key(tmp_path, "dev")
    private = paramiko.Ed25519Key.from_private_key_file(str(key_file(tmp_path, "dev")))
    assert private.get_base64() == public.split()[1]


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    public_key(tmp_path, "dev")
    key_file(tmp_path, "dev").chmod(0o640)
    with pytest.raises(BadInput, match=r"can be read by others\. chmod 600 "):
        public_key(tmp_path, "dev")


def test_what_is_no_key_is_left_as_it_is_and_refused(tmp_path: Path) -> None:
    file = key_file(tmp_path, "dev")
    file.parent.mkdir(parents=True)
    file.touch(0o600)
    file.write_text("not a key")
    with pytest.raises(BadInput, match="is no private key"):
        public_key(tmp_path, "dev")
    assert file.read_text() == "not a key"


def test_a_service_is_trusted_by_name() -> None:
    (statement,) = json.loads(trust("ec2.amazonaws.com"))["Statement"]
    assert statement["Principal"] == {"Service": "ec2.amazonaws.com"}
    assert statement["Action"] == "sts:AssumeRole"
