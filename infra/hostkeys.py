"""Each node's SSH host key, read through AWS's API before the first connection: its console output.

cloud-init prints the keys at first boot (`cloudinit/config/cc_keys_to_console.py`). Whoever answers at a node's
address with another key is refused, so no first connection is taken on trust.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import tenacity

from infra.cloud import Cloud, translated
from infra.errors import CloudRefused

BLOCK = re.compile(r"-----BEGIN SSH HOST KEY KEYS-----(.*?)-----END SSH HOST KEY KEYS-----", re.DOTALL)
ED25519 = re.compile(r"ssh-ed25519 [A-Za-z0-9+/=]+")
THREADS = 32
#: Of a console that stays empty: from which look on the node's status checks are asked for too, and how many failed
#: ones in a row are a machine that never boots. One that boots says "initializing" (EC2, DescribeInstanceStatus).
LATE, FAILED = 5, 3


def parse(console: str) -> str | None:
    """The ed25519 key in a console's text, "ssh-ed25519 AAAA...", the newest boot's; None where none is yet."""
    blocks = BLOCK.findall(console)
    found = ED25519.search(blocks[-1]) if blocks else None
    return found.group(0) if found else None


def read_host_keys(
    cloud: Cloud,
    instance_ids: Sequence[str],
    *,
    cache: Path,
    patience_seconds: float = 600,
    say: Callable[[int], None] = lambda found: None,
) -> dict[str, str]:
    """Instance id -> host key. Waits for nodes that still boot; an id's key never changes, so it is kept in `cache`.

    Raises CloudRefused that names the nodes whose console shows none in time, or whose status checks fail.
    """
    known: dict[str, str] = json.loads(cache.read_text()) if cache.exists() else {}
    missing = [one for one in instance_ids if one not in known]
    if missing:
        found_so_far = len(instance_ids) - len(missing)
        until = time.monotonic() + patience_seconds

        def one_key(instance_id: str) -> tuple[str | None, bool]:
            nonlocal found_so_far
            waited = _wait_for_key(cloud, instance_id, max(0.0, until - time.monotonic()))
            found_so_far += waited[0] is not None
            say(found_so_far)
            return waited

        # AWS is asked console by console. They boot alike: while the first shows nothing the others are left in peace.
        waited = {missing[0]: one_key(missing[0])}
        with ThreadPoolExecutor(THREADS) as pool:
            waited |= zip(missing[1:], pool.map(one_key, missing[1:]), strict=True)
        if dead := [one for one, (_, fails) in waited.items() if fails]:
            raise CloudRefused(
                f"{', '.join(dead)} never booted: it fails its status checks and its console shows no host key",
                do="Try again: AWS gives another machine.",
            )
        keys = {one: key for one, (key, _) in waited.items()}
        silent = [one for one, key in keys.items() if key is None]
        if silent:
            raise CloudRefused(
                f"the console of {', '.join(silent)} shows no host key after {patience_seconds:.0f} s",
                do="The image must run cloud-init.",
            )
        known |= {one: key for one, key in keys.items() if key}
        cache.parent.mkdir(parents=True, exist_ok=True)
        cache.write_text(json.dumps(known, indent=1))
    return {one: known[one] for one in instance_ids}


def _wait_for_key(cloud: Cloud, instance_id: str, patience_seconds: float) -> tuple[str | None, bool]:
    """The key, if it came in time, and whether the node was given up for its status checks."""
    looks = failed = 0

    def ask() -> str | None:
        nonlocal looks, failed
        looks += 1
        with translated():
            ec2 = cloud.client("ec2")
            key = parse(ec2.get_console_output(InstanceId=instance_id, Latest=True).get("Output") or "")
            if key is None and looks > LATE:
                checks = ec2.describe_instance_status(InstanceIds=[instance_id])["InstanceStatuses"]
                said = {one[kind]["Status"] for one in checks for kind in ("SystemStatus", "InstanceStatus")}
                failed = failed + 1 if "impaired" in said else 0
        return key

    patient = tenacity.Retrying(
        retry=tenacity.retry_if_result(lambda key: key is None and failed < FAILED),
        wait=tenacity.wait_exponential(multiplier=0.25, max=10),
        stop=tenacity.stop_after_delay(patience_seconds),
        retry_error_callback=lambda state: None,
    )
    return patient(ask), failed >= FAILED
