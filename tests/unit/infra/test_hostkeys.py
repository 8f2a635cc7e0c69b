from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.cloud import Cloud
from infra.hostkeys import parse, read_host_keys

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJh0i1w5i2r4"
OLD = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOlDOlDOlDOl"


def block(*keys: str) -> str:
    return "\n".join(["-----BEGIN SSH HOST KEY KEYS-----", *keys, "-----END SSH HOST KEY KEYS-----", ""])


@pytest.mark.parametrize(
    ("console", "key"),
    [
        ("", None),
        ("[    0.0] Linux version 6.12\n", None),
        (block("ecdsa-sha2-nistp256 AAAAE2Vj root@ip", f"{KEY} root@ip-10-77-0-4"), KEY),
        (block("ssh-rsa AAAAB3Nz root@ip"), None),
        (block(OLD) + "[ 0.0] rebooted\n" + block(KEY), KEY),
        ("-----BEGIN SSH HOST KEY KEYS-----\n" + KEY + "\n", None),
        (f"someone echoed {OLD}\n" + block(KEY) + f"and again {OLD}\n", KEY),
        (block(KEY).replace("\n", "\r\n"), KEY),
    ],
    ids=["empty", "booting", "two kinds", "no ed25519", "newest boot", "half printed", "only in the block", "crlf"],
)
def test_the_key_is_what_cloud_init_printed_at_the_newest_boot(console: str, key: str | None) -> None:
    assert parse(console) == key


@given(st.text(max_size=300))
def test_no_other_text_on_a_console_is_taken_for_a_key(noise: str) -> None:
    assert parse(noise) is None
    assert parse(noise + "\n" + block(KEY) + noise) == KEY


def test_a_key_that_is_known_is_not_asked_for_again(tmp_path: Path) -> None:
    cache = tmp_path / "dev.json"
    cache.write_text(json.dumps({"i-1": KEY, "i-2": OLD}))
    nobody = Cloud(region="us-east-1", endpoints={"ec2": "http://127.0.0.1:1"})
    assert read_host_keys(nobody, ["i-2"], cache=cache, patience_seconds=0) == {"i-2": OLD}
