"""What a node does when it boots, as text: first its own end, then its set-up. A pure function.

Two MIME parts, as cloud-init runs them: the boothook on every boot and before everything else, the script once.
"""

from __future__ import annotations

import shlex
from datetime import timedelta
from pathlib import Path

#: EC2's limit before encoding.
LIMIT_BYTES = 16384
BOUNDARY = "==swift-fleet=="

LEASE = """\
#!/bin/bash
# The lease: this machine ends itself at its deadline, with no role, network, package or daemon of ours.
# Counted from the first boot and kept on the disk, so that a reboot neither loses nor lengthens it.
state=${{FLEET_STATE_DIR:-/var/lib/swift-fleet}}
mkdir -p "$state"
[ -s "$state/deadline" ] || echo $(( $(date +%s) + {seconds} )) > "$state/deadline"
left=$(( $(cat "$state/deadline") - $(date +%s) ))
[ "$left" -gt 0 ] || shutdown -h now
systemd-run --unit=fleet-lease --on-active="$left" --timer-property=AccuracySec=1s shutdown -h now
"""

SETUP = """\
#!/bin/bash
# Set-up as the SSH user; the same two files that `fleet` brings to a machine that is not its own.
# Unattended upgrades restart drivers and services under a training run.
systemctl disable --now unattended-upgrades.service dnf-automatic.timer needrestart.service 2> /dev/null
as_user() {{ sudo -u {user} -H "$@"; }}
as_user bash -c 'mkdir -p ~/fleet/setup && cat > ~/fleet/setup/swift-lock.txt' << 'END-OF-LOCK'
{lock}END-OF-LOCK
as_user bash -c 'cat > ~/fleet/setup/setup.sh' << 'END-OF-SETUP'
{setup}END-OF-SETUP
# A unit of its own: cloud-init prints the host keys, which the operator waits for, only after this script has ended.
systemd-run --unit=fleet-setup --uid={user} --setenv=FLEET_SHARED={shared} --setenv=FLEET_SHARED_PATH={shared_path} \\
  bash -c 'bash ~/fleet/setup/setup.sh'
"""


def user_data(*, lifetime: timedelta, user: str, shared: str, shared_path: str, scripts: Path) -> str:
    """shared: "fs-...:fsap-..." or ""; scripts: the folder with setup.sh and swift-lock.txt.

    Raises ValueError where EC2 would refuse the size.
    """
    parts = [
        ("cloud-boothook", "lease.sh", LEASE.format(seconds=int(lifetime.total_seconds()))),
        (
            "x-shellscript",
            "setup.sh",
            SETUP.format(
                user=shlex.quote(user),
                lock=(scripts / "swift-lock.txt").read_text(encoding="utf-8"),
                setup=(scripts / "setup.sh").read_text(encoding="utf-8"),
                shared=shlex.quote(shared),
                shared_path=shlex.quote(shared_path),
            ),
        ),
    ]
    body = "".join(
        f"--{BOUNDARY}\nContent-Type: text/{kind}; charset=us-ascii\n"
        f'Content-Disposition: attachment; filename="{name}"\n\n{text}\n'
        for kind, name, text in parts
    )
    head = f'Content-Type: multipart/mixed; boundary="{BOUNDARY}"\nMIME-Version: 1.0\n\n'
    whole = f"{head}{body}--{BOUNDARY}--\n"
    size = len(whole.encode("ascii"))
    if size > LIMIT_BYTES:
        raise ValueError(f"user data is {size} bytes, EC2 takes {LIMIT_BYTES}")
    return whole
