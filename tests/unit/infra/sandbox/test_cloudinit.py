from __future__ import annotations

import gzip
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText

from infra.sandbox.cloudinit import UserData, keys_to_console, parse

SCRIPT = b"#!/bin/bash\necho hello\n"


def multipart(*parts: tuple[str, str]) -> bytes:
    message = MIMEMultipart()
    for kind, text in parts:
        message.attach(MIMEText(text, kind, "utf-8"))
    return message.as_bytes()


def test_a_plain_script_runs_once() -> None:
    assert parse(SCRIPT) == UserData(scripts=(SCRIPT,))


def test_no_user_data_is_nothing_to_do() -> None:
    assert parse(b"") == parse(b" \n") == UserData()


def test_gzip_is_unpacked() -> None:
    assert parse(gzip.compress(SCRIPT)).scripts == (SCRIPT,)


def test_broken_gzip_is_said_and_not_run() -> None:
    assert "gzip" in parse(b"\x1f\x8bnonsense").refused[0]


def test_multipart_tells_boothooks_from_scripts_and_keeps_their_order() -> None:
    raw = multipart(
        ("x-shellscript", "#!/bin/sh\necho 1\n"),
        ("cloud-boothook", "#cloud-boothook\n#!/bin/sh\necho hook\n"),
        ("x-shellscript", "#!/bin/sh\necho 2\n"),
    )
    for content in (raw, gzip.compress(raw)):
        data = parse(content)
        assert data.boothooks == (b"#!/bin/sh\necho hook\n",)
        assert data.scripts == (b"#!/bin/sh\necho 1\n", b"#!/bin/sh\necho 2\n")
        assert data.refused == ()


def test_a_boothook_alone_loses_its_marker() -> None:
    assert parse(b"#cloud-boothook\n#!/bin/sh\ntrue\n").boothooks == (b"#!/bin/sh\ntrue\n",)


def test_forms_that_the_sandbox_does_not_run_are_named() -> None:
    assert "#cloud-config" in parse(b"#cloud-config\nruncmd: []\n").refused[0]
    assert "text/cloud-config" in parse(multipart(("cloud-config", "a: 1"))).refused[0]


def test_the_console_block_is_what_cloud_init_prints() -> None:
    text = keys_to_console("ssh-ed25519 AAAA comment", "SHA256:xyz")
    assert "-----BEGIN SSH HOST KEY KEYS-----\nssh-ed25519 AAAA \n-----END SSH HOST KEY KEYS-----\n" in text
    assert "256 SHA256:xyz" in text
