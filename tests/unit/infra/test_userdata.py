from __future__ import annotations

import email
import os
import subprocess
from datetime import timedelta
from email.message import Message
from pathlib import Path

import pytest

from infra.userdata import LIMIT_BYTES, user_data

HERE = Path(__file__).parent
SCRIPTS = HERE.parents[2] / "scripts"


def parts(text: str) -> list[Message]:
    payload = email.message_from_string(text).get_payload()
    assert isinstance(payload, list)
    return [part for part in payload if isinstance(part, Message)]


def shipped(**given: object) -> str:
    asked = {"lifetime": timedelta(hours=4), "user": "ec2-user", "shared": "fs-1:fsap-2", "shared_path": "~/shared"}
    return user_data(**{**asked, "scripts": SCRIPTS, **given})  # type: ignore[arg-type]


def small(folder: Path, setup: str = 'echo "set up"\n') -> Path:
    (folder / "setup.sh").write_text(setup)
    (folder / "swift-lock.txt").write_text("ms-swift==4.6.0\ntorch==2.9.1\n")
    return folder


def test_it_reads_as_it_always_did(tmp_path: Path) -> None:
    expected = (HERE / "golden/user_data.txt").read_text()
    assert shipped(lifetime=timedelta(hours=2), scripts=small(tmp_path)) == expected


def test_the_lease_is_armed_before_anything_else() -> None:
    lease, setup = parts(shipped())
    assert (lease.get_content_type(), lease.get_filename()) == ("text/cloud-boothook", "lease.sh")
    assert (setup.get_content_type(), setup.get_filename()) == ("text/x-shellscript", "setup.sh")
    assert "--on-active" in lease.get_payload() and "shutdown -h now" in lease.get_payload()


def test_it_fits_into_what_ec2_takes_with_room_to_spare() -> None:
    assert len(shipped(shared_path="/" + "x" * 200).encode("ascii")) < LIMIT_BYTES


def test_what_ec2_would_not_take_is_refused_with_its_size(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"bytes, EC2 takes {LIMIT_BYTES}"):
        shipped(scripts=small(tmp_path, "#" * LIMIT_BYTES))


@pytest.mark.parametrize("user", ["ec2-user", "o'brien", "a b"])
@pytest.mark.parametrize("path", ["~/shared", "/mnt/it's here", "$(reboot)"])
def test_each_part_is_a_shell_script(user: str, path: str) -> None:
    for part in parts(shipped(user=user, shared_path=path)):
        checked = subprocess.run(["bash", "-n"], input=part.get_payload(), capture_output=True, text=True)
        assert (checked.returncode, checked.stderr) == (0, "")


def test_both_files_of_the_set_up_go_over_unchanged() -> None:
    setup = str(parts(shipped())[1].get_payload())
    for name in ("setup.sh", "swift-lock.txt"):
        assert (SCRIPTS / name).read_text() in setup


class Boot:
    """A machine that boots: the lease runs for real, with a `shutdown` and a `systemd-run` that say what was asked."""

    def __init__(self, folder: Path) -> None:
        self.state, self.bin = folder / "state", folder / "bin"
        self.bin.mkdir()
        for name in ("shutdown", "systemd-run"):
            (self.bin / name).write_text(f'#!/bin/sh\necho {name} "$@"\n')
            (self.bin / name).chmod(0o755)

    def __call__(self, lifetime: timedelta) -> list[str]:
        env = {"PATH": f"{self.bin}:{os.environ['PATH']}", "FLEET_STATE_DIR": str(self.state)}
        lease = str(parts(shipped(lifetime=lifetime))[0].get_payload())
        done = subprocess.run(["bash"], input=lease, capture_output=True, text=True, env=env, check=True)
        return done.stdout.splitlines()

    @property
    def deadline(self) -> int:
        return int((self.state / "deadline").read_text())

    @deadline.setter
    def deadline(self, value: int) -> None:
        (self.state / "deadline").write_text(f"{value}\n")


@pytest.fixture
def boot(tmp_path: Path) -> Boot:
    return Boot(tmp_path)


def test_a_first_boot_arms_a_timer_that_ends_the_machine(boot: Boot) -> None:
    said = boot(timedelta(hours=2))
    assert len(said) == 1
    assert said[0].startswith("systemd-run --unit=fleet-lease --on-active=7")
    assert said[0].endswith("shutdown -h now")


def test_a_reboot_neither_loses_nor_lengthens_the_lease(boot: Boot) -> None:
    boot(timedelta(hours=2))
    first = boot.deadline
    boot.deadline = first - 3600
    said = boot(timedelta(hours=2))
    assert boot.deadline == first - 3600
    left = int(said[0].split("--on-active=")[1].split()[0])
    assert 3500 <= left <= 3600


def test_a_machine_that_boots_after_its_deadline_ends_at_once(boot: Boot) -> None:
    boot(timedelta(hours=2))
    boot.deadline = 1
    assert boot(timedelta(hours=2))[0] == "shutdown -h now"
