"""What a node does when it boots, as text: first its own end, then its set-up. A pure function.

Two MIME parts, as cloud-init runs them: the boothook on every boot and before everything else, the script once.
"""

from __future__ import annotations

import base64
import gzip
import shlex
from datetime import timedelta
from pathlib import Path

#: EC2's limit before encoding.
LIMIT_BYTES = 16384
BOUNDARY = "==swift-fleet=="

LEASE = """\
#!/bin/bash
# The lease: this machine ends itself at its deadline, or when idle, with no role, network, package or daemon of ours.
# Counted from the first boot and kept on the disk, so that a reboot neither loses nor lengthens it.
state=${{FLEET_STATE_DIR:-/var/lib/swift-fleet}}
mkdir -p "$state"
[ -s "$state/deadline" ] || echo $(( $(date +%s) + {seconds} )) > "$state/deadline"
deadline=$(cat "$state/deadline")
left=$(( deadline - $(date +%s) ))
[ "$left" -gt 0 ] || shutdown -h now
# The timer is named after its deadline: `fleet extend` arms the next before it takes this one away.
systemd-run --unit="fleet-lease-$deadline" --on-active="$left" --timer-property=AccuracySec=1s shutdown -h now
echo {idle_minutes} > "$state/idle-minutes"
"""

IDLE = """\
: > "$state/idle"
cat > "$state/idle.sh" << 'END-OF-IDLE'
{check}END-OF-IDLE
systemd-run --unit=fleet-idle --on-calendar='*:0/{every}' bash "$state/idle.sh" "$state/idle"
"""

#: Minutes between two looks at whether the node works.
IDLE_EVERY = 5

#: One look. Whatever it can't tell is "u", which neither counts as idle nor as work: no failed probe ends a node.
IDLE_CHECK = """\
look() {{
  local home used
  home=$(sudo -u {user} -H sh -c 'cd && pwd -P') || {{ echo u; return; }}
  shared={shared_path}
  shared=$(cd "${{shared/#\\~/$home}}" 2> /dev/null && pwd -P) || shared=$home/fleet
  # a run of ours, or its output on its way to somebody: a working folder or an open file there
  used=$(find /proc -mindepth 2 -maxdepth 3 \\( -name cwd -o -path '*/fd/*' \\) \\
    \\( -lname "$home/fleet/*" -o -lname "$shared/*" \\) 2> /dev/null | head -n 1)
  [ -z "$used" ] || {{ echo b; return; }}
  # set-up, a person at a terminal, or work by hand
  systemctl is-active --quiet fleet-setup.service && {{ echo b; return; }}
  [ -z "$(who)" ] || {{ echo b; return; }}
  uptime | awk -F'load average: ' '{{ split($2, load, ","); exit !(load[2] >= 0.5) }}' && {{ echo b; return; }}
  if command -v nvidia-smi > /dev/null; then
    used=$(timeout 30 nvidia-smi --query-gpu=utilization.gpu --format=csv,noheader,nounits 2> /dev/null) || used=
    case $used in ""|*[!0-9[:space:]]*) echo u; return ;; esac
    echo "$used" | awk '$1 > 5 {{ busy = 1 }} END {{ exit !busy }}' && {{ echo b; return; }}
  fi
  echo i
}}
seen=$(tail -c {before} "$1")$(look)
printf %s "$seen" > "$1.new" && mv "$1.new" "$1"
case $seen in *b*) exit ;; esac
idle=${{seen//[!i]/}}
[ ${{#seen}} -lt {samples} ] || [ ${{#idle}} -lt {enough} ] || {{ echo "idle: $seen"; shutdown -h now; }}
"""

SETUP = """\
#!/bin/bash
# Set-up as the SSH user; the same two files that `fleet` brings to a machine that is not its own, packed to fit.
# Unattended upgrades restart drivers and services under a training run. One by one: no image has all of these units.
for unit in unattended-upgrades.service apt-daily.timer apt-daily-upgrade.timer dnf-automatic{{,-install}}.timer; do
  systemctl mask --now "$unit" > /dev/null 2>&1
done
# needrestart hangs on apt; it only tells from here on.
[ ! -d "${{FLEET_ETC:-/etc}}/needrestart/conf.d" ] ||
  echo "\$nrconf{{restart}} = 'l';" > "${{FLEET_ETC:-/etc}}/needrestart/conf.d/fleet.conf"
as_user() {{ sudo -u {user} -H "$@"; }}
as_user bash -c 'mkdir -p ~/fleet/setup && base64 -d | gunzip > ~/fleet/setup/{profile}.txt' << 'END-OF-LOCK'
{lock}END-OF-LOCK
as_user bash -c 'base64 -d | gunzip > ~/fleet/setup/setup.sh' << 'END-OF-SETUP'
{setup}END-OF-SETUP
# A unit of its own: cloud-init prints the host keys, which the operator waits for, only after this script has ended.
systemd-run --unit=fleet-setup --uid={user} --setenv=FLEET_PROFILE={profile}{once} \\
  --setenv=FLEET_SHARED={shared}{iam} --setenv=FLEET_SHARED_PATH={shared_path} bash -c 'bash ~/fleet/setup/setup.sh'
"""


def user_data(
    *,
    lifetime: timedelta,
    idle_minutes: int,
    user: str,
    shared: str,
    shared_path: str,
    scripts: Path,
    profile: str = "base",
    shared_environment: bool = False,
    shared_by_role: bool = True,
) -> str:
    """idle_minutes: 0 for never; shared: "fs-...:fsap-...", "fs-...@tcp:/..." or ""; scripts: the folder with setup.sh
    and `locks/`.

    profile: whose environment is made; shared_environment: once, in the shared folder.
    shared_by_role: False where the nodes have none by which the file system would know them.

    Raises ValueError where EC2 would refuse the size.
    """
    parts = [
        ("cloud-boothook", "lease.sh", _lease(lifetime, idle_minutes, user, shared_path)),
        (
            "x-shellscript",
            "setup.sh",
            SETUP.format(
                user=shlex.quote(user),
                profile=profile,
                once=" --setenv=FLEET_SHARED_ENVIRONMENT=1" if shared_environment else "",
                lock=_packed(scripts / "locks" / f"{profile}.txt"),
                setup=_packed(scripts / "setup.sh"),
                shared=shlex.quote(shared),
                shared_path=shlex.quote(shared_path),
                iam="" if shared_by_role else " --setenv=FLEET_SHARED_IAM=",
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


def _packed(file: Path) -> str:
    """Lines of base64 of the gzipped file, the same on every day."""
    return base64.encodebytes(gzip.compress(file.read_bytes(), mtime=0)).decode("ascii")


def _lease(lifetime: timedelta, idle_minutes: int, user: str, shared_path: str) -> str:
    lease = LEASE.format(seconds=int(lifetime.total_seconds()), idle_minutes=idle_minutes)
    if not idle_minutes:
        return lease
    samples = -(-idle_minutes // IDLE_EVERY)
    check = IDLE_CHECK.format(
        user=shlex.quote(user),
        shared_path=shlex.quote(shared_path),
        before=samples - 1,
        samples=samples,
        # Of n looks none may have seen work, and a fifth may have failed.
        enough=samples - samples // 5,
    )
    return lease + IDLE.format(check=check, every=IDLE_EVERY)
