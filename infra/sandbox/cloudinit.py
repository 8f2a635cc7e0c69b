"""What cloud-init does with user data, as far as the sandbox goes: which parts there are and when each runs.

Forms: a script that begins with `#!`, a `#cloud-boothook`, or MIME multi-part of both; any of them gzipped.
https://cloudinit.readthedocs.io/en/latest/explanation/format.html
"""

from __future__ import annotations

import email
import gzip
import zlib
from dataclasses import dataclass
from email.message import Message

_BOOTHOOK = b"#cloud-boothook"


@dataclass(frozen=True)
class UserData:
    """`boothooks` run first, on every boot; `scripts` once in the instance's life; `refused` says what was not run."""

    boothooks: tuple[bytes, ...] = ()
    scripts: tuple[bytes, ...] = ()
    refused: tuple[str, ...] = ()

    def __add__(self, other: UserData) -> UserData:
        return UserData(self.boothooks + other.boothooks, self.scripts + other.scripts, self.refused + other.refused)


def parse(raw: bytes) -> UserData:
    try:
        content = _plain(raw)
    except (OSError, EOFError, zlib.error) as error:
        return UserData(refused=(f"user data is not valid gzip: {error}",))
    if not content.strip():
        return UserData()
    if content[:64].lower().startswith((b"content-type:", b"mime-version:", b"from ")):
        message = email.message_from_bytes(content)
        if message.is_multipart():
            return sum((_part(part) for part in message.walk() if not part.is_multipart()), UserData())
    return _by_first_line(content)


def keys_to_console(public_key: str, fingerprint: str) -> str:
    """The two blocks that cloud-init's keys_to_console module prints, last thing of all, when the user's scripts have
    ended (`cloud_final_modules` in its cloud.cfg). EC2 shows them in GetConsoleOutput."""
    kind, data = public_key.split()[:2]
    return (
        "-----BEGIN SSH HOST KEY FINGERPRINTS-----\n"
        f"256 {fingerprint} root@sandbox (ED25519)\n"
        "-----END SSH HOST KEY FINGERPRINTS-----\n"
        "-----BEGIN SSH HOST KEY KEYS-----\n"
        f"{kind} {data} \n"
        "-----END SSH HOST KEY KEYS-----\n"
    )


def _plain(raw: bytes) -> bytes:
    return gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw


def _part(part: Message) -> UserData:
    payload = part.get_payload(decode=True)
    try:
        content = _plain(payload if isinstance(payload, bytes) else b"")
    except (OSError, EOFError, zlib.error) as error:
        return UserData(refused=(f"a part is not valid gzip: {error}",))
    match part.get_content_type():
        case "text/cloud-boothook":
            return UserData(boothooks=(_without_marker(content),))
        case "text/x-shellscript":
            return UserData(scripts=(content,))
        case "text/plain" | "text/x-not-multipart":
            return _by_first_line(content)
        case other:
            return UserData(refused=(f"a part of type {other} is not run by the sandbox",))


def _by_first_line(content: bytes) -> UserData:
    if content.startswith(b"#!"):
        return UserData(scripts=(content,))
    if content.startswith(_BOOTHOOK):
        return UserData(boothooks=(_without_marker(content),))
    first = content.splitlines()[0][:80].decode("utf-8", "replace") if content.strip() else ""
    return UserData(refused=(f"user data that begins with {first!r} is not run by the sandbox",))


def _without_marker(content: bytes) -> bytes:
    return content.removeprefix(_BOOTHOOK).lstrip()
