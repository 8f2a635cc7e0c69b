"""Physical names for what the program left unnamed: pulumi-aws provider/autonaming.go."""

from __future__ import annotations

import hashlib
import secrets

SUFFIX_DIGITS = 7


def autoname(logical: str, seed: bytes) -> str:
    """`<logical name>-<7 hex digits>`; the same for the same seed, which the engine gives with an update plan."""
    digits = hashlib.sha256(seed + logical.encode()).hexdigest() if seed else secrets.token_hex(SUFFIX_DIGITS)
    return f"{logical}-{digits[:SUFFIX_DIGITS]}"
