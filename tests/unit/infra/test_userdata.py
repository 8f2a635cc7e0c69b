from __future__ import annotations

import base64
import email
import gzip
import os
import random
import shutil
import subprocess
import sys
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
    asked = {"lifetime": timedelta(hours=4), "idle_minutes": 0, "user": "ec2-user", "shared": "fs-1:fsap-2"}
    return user_data(**{**asked, "shared_path": "~/shared", "scripts": SCRIPTS, **given})  # type: ignore[arg-type]


def small(folder: Path, setup: str = 'echo "set up"\n') -> Path:
    (folder / "setup.sh").write_text(setup)
    (folder / "locks").mkdir()
    (folder / "locks" / "base.txt").write_text("ms-swift==4.6.0\ntorch==2.9.1\n")
    return folder


def test_it_reads_as_it_always_did(tmp_path: Path) -> None:
    expected = (HERE / "golden/user_data.txt").read_text()
    assert shipped(lifetime=timedelta(hours=2), idle_minutes=60, scripts=small(tmp_path)) == expected


def test_the_lease_is_armed_before_anything_else() -> None:
    lease, setup = parts(shipped())
    assert (lease.get_content_type(), lease.get_filename()) == ("text/cloud-boothook", "lease.sh")
    assert (setup.get_content_type(), setup.get_filename()) == ("text/x-shellscript", "setup.sh")
    assert "--on-active" in lease.get_payload() and "shutdown -h now" in lease.get_payload()


@pytest.mark.parametrize("lock", sorted((SCRIPTS / "locks").glob("*.txt")), ids=lambda file: file.stem)
def test_it_fits_into_what_ec2_takes_with_room_to_spare(lock: Path) -> None:
    assert len(shipped(idle_minutes=720, shared_path="/" + "x" * 200, profile=lock.stem).encode("ascii")) < LIMIT_BYTES


def test_what_ec2_would_not_take_is_refused_with_its_size(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"bytes, EC2 takes {LIMIT_BYTES}"):
        shipped(scripts=small(tmp_path, random.Random(0).randbytes(LIMIT_BYTES).hex()))


@pytest.mark.parametrize("user", ["ec2-user", "o'brien", "a b"])
@pytest.mark.parametrize("path", ["~/shared", "/mnt/it's here", "$(reboot)"])
def test_each_part_is_a_shell_script(user: str, path: str) -> None:
    for part in parts(shipped(user=user, idle_minutes=60, shared_path=path)):
        checked = subprocess.run(["bash", "-n"], input=part.get_payload(), capture_output=True, text=True)
        assert (checked.returncode, checked.stderr) == (0, "")


def test_both_files_of_the_set_up_go_over_unchanged() -> None:
    setup = str(parts(shipped(profile="vllm"))[1].get_payload())
    assert "--setenv=FLEET_PROFILE=vllm " in setup
    for mark, name in (("SETUP", "setup.sh"), ("LOCK", "locks/vllm.txt")):
        packed = setup.split(f"END-OF-{mark}'\n")[1].split(f"END-OF-{mark}")[0]
        assert gzip.decompress(base64.b64decode(packed)) == (SCRIPTS / name).read_bytes()


@pytest.mark.parametrize("needrestart", [True, False])
def test_what_restarts_under_a_training_run_is_off_whichever_of_it_the_image_has(
    tmp_path: Path, needrestart: bool
) -> None:
    script = str(parts(shipped())[1].get_payload()).split("as_user()")[0]
    asked, conf = tmp_path / "asked", tmp_path / "etc" / "needrestart" / "conf.d"
    # As systemctl is: it does nothing for any, where it is given one that is not there.
    has = "case $3 in apt-daily*) ;; *) exit 1 ;; esac"
    (tmp_path / "systemctl").write_text(f'#!/bin/sh\n[ $# = 3 ] || exit 1\n{has}\necho "$3" >> {asked}\n')
    (tmp_path / "systemctl").chmod(0o755)
    if needrestart:
        conf.mkdir(parents=True)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "FLEET_ETC": str(tmp_path / "etc")}
    done = subprocess.run(["bash"], input=script, capture_output=True, text=True, env=env)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert asked.read_text().split() == ["apt-daily.timer", "apt-daily-upgrade.timer"]
    assert [file.read_text() for file in conf.glob("*.conf")] == ["$nrconf{restart} = 'l';\n"] * needrestart


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
    assert said[0].startswith(f"systemd-run --unit=fleet-lease-{boot.deadline} --on-active=7")
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


#: What a node that does nothing answers, program by program.
QUIET = {
    "sudo": 'echo "$NODE"',
    "find": "true",
    "systemctl": "exit 3",
    "who": "true",
    "uptime": "echo ' 10:00:00 up 1 day,  0 users,  load average: 0.90, 0.10, 0.00'",
    "shutdown": 'echo shutdown "$@"',
}
GPUS = "printf '0\\n3\\n'"


class Idle:
    """The check that a node's timer runs, run for real among programs that answer as they are told."""

    def __init__(self, folder: Path, minutes: int) -> None:
        lease = str(parts(shipped(idle_minutes=minutes))[0].get_payload())
        self.script = lease.split("END-OF-IDLE'\n")[1].split("END-OF-IDLE")[0]
        self.bin, self.seen = folder / "bin", folder / "idle"
        self.bin.mkdir()
        self.seen.touch()

    def __call__(self, **programs: str) -> bool:
        """One look; whether it ended the machine."""
        for name, text in (QUIET | programs).items():
            (self.bin / name.replace("_", "-")).write_text(f"#!/bin/sh\n{text}\n")
            (self.bin / name.replace("_", "-")).chmod(0o755)
        env = {"PATH": f"{self.bin}:{os.environ['PATH']}", "NODE": str(self.bin)}
        done = subprocess.run(
            ["bash", "-s", str(self.seen)], input=self.script, capture_output=True, text=True, env=env, check=True
        )
        return "shutdown -h now" in done.stdout


@pytest.mark.parametrize(
    ("programs", "seen"),
    [
        ({}, "i"),
        ({"nvidia_smi": GPUS}, "i"),
        ({"nvidia_smi": "printf '0\\n87\\n'"}, "b"),
        ({"find": "echo /proc/7/cwd"}, "b"),
        ({"systemctl": "exit 0"}, "b"),
        ({"who": "echo ec2-user pts/0"}, "b"),
        ({"uptime": "echo ' up 1 day,  load average: 0.00, 0.50, 0.00'"}, "b"),
        ({"nvidia_smi": "echo 'Unable to determine the device handle'; exit 255"}, "u"),
        ({"nvidia_smi": "echo '[N/A]'"}, "u"),
        ({"nvidia_smi": "true"}, "u"),
        ({"sudo": "exit 1"}, "u"),
    ],
)
def test_a_look_tells_work_from_idleness_and_says_when_it_can_not(
    tmp_path: Path, programs: dict[str, str], seen: str
) -> None:
    idle = Idle(tmp_path, 60)
    assert not idle(**programs)
    assert idle.seen.read_text() == seen


@pytest.mark.parametrize(
    ("before", "ends"),
    [
        ("", False),
        ("i" * 10, False),
        ("i" * 11, True),
        ("b" + "i" * 11, True),
        ("b" + "i" * 10, False),
        ("iiiiibiiiii", False),
        ("uuiiiiiiiii", True),
        ("iiiiuiiiiui", True),
        ("uuuiiiiiiii", False),
        ("u" * 11, False),
    ],
)
def test_a_node_ends_when_an_hour_of_looks_saw_no_work_and_nearly_all_saw_idleness(
    tmp_path: Path, before: str, ends: bool
) -> None:
    idle = Idle(tmp_path, 60)
    idle.seen.write_text(before)
    assert idle() is ends
    assert idle.seen.read_text() == (before + "i")[-12:]


def test_a_node_that_is_never_idle_has_no_such_timer() -> None:
    off = str(parts(shipped(idle_minutes=0))[0].get_payload())
    assert "fleet-idle" not in off and 'echo 0 > "$state/idle-minutes"' in off


def test_a_file_on_its_way_out_of_a_run_is_work(tmp_path: Path) -> None:
    """An hour of downloading what was trained must not end the node that holds it."""
    idle = Idle(tmp_path, 60)
    home = idle.bin
    (home / "fleet" / "runs").mkdir(parents=True)
    (home / "shared").mkdir()
    outputs = [home / "fleet" / "runs" / "weights", home / "shared" / "weights"]
    with outputs[0].open("w"):
        idle(find=f'exec {shutil.which("find")} "$@"')
    with outputs[1].open("w"):
        idle(find=f'exec {shutil.which("find")} "$@"')
    idle(find=f'exec {shutil.which("find")} "$@"')
    assert idle.seen.read_text() == "bbi"


UV = """
case $1 in
  venv) [ ! -e "$HOME/../dies" ] || exit 1; mkdir -p "${!#}/bin"; ln -sf /bin/true "${!#}/bin/python" ;;
  pip) echo "$HOME $UV_LINK_MODE $UV_PYTHON_INSTALL_DIR" >> "$HOME/../made"; sleep 0.5 ;;
esac
"""


def test_one_node_makes_the_environment_that_all_share_and_the_next_goes_on_where_it_died(tmp_path: Path) -> None:
    setup, shared = tmp_path / "setup", tmp_path / "shared"
    for folder in (setup, shared, tmp_path / "bin"):
        folder.mkdir()
    text = (SCRIPTS / "setup.sh").read_text().removesuffix("main\n")
    (setup / "setup.sh").write_text(text + "checks() { :; }\nverify() { :; }\nmain\n")
    (setup / "eval.txt").write_text("# python: 3.12\nms-swift==4.6.0\n")
    (tmp_path / "bin/uv").write_text("#!/bin/bash" + UV)
    (tmp_path / "bin/uv").chmod(0o755)

    def booted(node: str) -> subprocess.Popen[bytes]:
        """With no disk and no packages to look at: what is shared is the environment alone."""
        (tmp_path / node).mkdir(exist_ok=True)
        env = {
            "HOME": str(tmp_path / node),
            "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
            "FLEET_PROFILE": "eval",
        }
        env |= {"FLEET_SHARED_PATH": str(shared), "FLEET_SHARED_ENVIRONMENT": "1"}
        return subprocess.Popen(["bash", str(setup / "setup.sh")], env=env)

    (tmp_path / "dies").touch()
    assert booted("first").wait(timeout=30) == 1
    (tmp_path / "dies").unlink()
    nodes = [booted(node) for node in ("first", "second", "third")]
    assert [node.wait(timeout=30) for node in nodes] == [0, 0, 0]
    [made] = (tmp_path / "made").read_text().splitlines()
    assert made.endswith(f" copy {shared}/fleet-environments/python")
    links = {(tmp_path / node / "swift-env-eval").resolve() for node in ("first", "second", "third")}
    assert [link.parent for link in links] == [shared / "fleet-environments"]
    steps = (tmp_path / "third/fleet/bootstrap/steps.tsv").read_text()
    assert steps.index("shared\trunning") < steps.index("environment\trunning")
    # A profile that is added later goes to the same shelf, without being told.
    (setup / "awq.txt").write_text("# python: 3.12\n")
    env = {"HOME": str(tmp_path / "third"), "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "FLEET_PROFILE": "awq"}
    subprocess.run(["bash", f"{setup}/setup.sh"], env=env | {"FLEET_SHARED_PATH": str(shared)}, timeout=30)
    assert (tmp_path / "third/swift-env-awq").resolve().parent == shared / "fleet-environments"


GPU = "echo 'GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-1)'"


@pytest.mark.parametrize(
    ("programs", "code", "said"),
    [
        ({}, 10, "no GPU here: flash-attn==2.8.3 is not built"),
        ({"nvidia-smi": "exit 9"}, 10, "no GPU here: flash-attn==2.8.3 is not built"),
        ({"nvidia-smi": GPU}, 1, "can't be built: no compiler at"),
        ({"nvidia-smi": GPU, "bin/nvcc": "true"}, 0, "--no-build-isolation --no-deps flash-attn==2.8.3"),
        ({"nvidia-smi": GPU, "bin/nvcc": "true", "there": ""}, 10, "flash-attn is there"),
        ({"nvidia-smi": GPU, "bin/nvcc": "true", "broken": ""}, 2, "nvcc fatal"),
    ],
)
def test_what_is_compiled_on_a_node_says_why_it_was_not(
    tmp_path: Path, programs: dict[str, str], code: int, said: str
) -> None:
    uv = f"case $* in *show*) [ -e {tmp_path}/there ]; exit ;; esac; [ ! -e {tmp_path}/broken ] || "
    uv += "{ echo nvcc fatal; exit 2; }; echo $*"
    (tmp_path / "bin").mkdir()
    for name, text in {"uv": uv, "nvidia-smi": "exit 127", **programs}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "swift-env-flash/bin").mkdir(parents=True)
    (tmp_path / "swift-env-flash/bin/python").symlink_to(sys.executable)
    script = f"source <(sed '/^main$/d' {SCRIPTS / 'setup.sh'}); UV={tmp_path}/uv; build flash-attn==2.8.3"
    env = {"HOME": str(tmp_path), "PATH": f"{tmp_path}:{os.environ['PATH']}", "CUDA_HOME": str(tmp_path)}
    done = subprocess.run(
        ["bash", "-c", script], env=env | {"FLEET_PROFILE": "flash"}, capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, said in done.stdout.splitlines()[-1]) == (code, True), done


@pytest.mark.skipif(not os.path.ismount("/dev/shm"), reason="a real mount is wanted")
def test_set_up_puts_the_hub_caches_on_the_local_disk_and_leaves_those_that_are_there(tmp_path: Path) -> None:
    script = f"source <(sed '/^main$/d' {SCRIPTS / 'setup.sh'}); use_scratch"
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    (tmp_path / ".cache" / "modelscope").mkdir(parents=True)

    def ran(disk: str) -> int:
        return subprocess.run(["bash", "-c", script], env=env | {"FLEET_SCRATCH": disk}, timeout=30).returncode

    assert ran(str(tmp_path)) == 10, "no mount: skipped"
    assert not (tmp_path / "scratch").exists()
    try:
        assert ran("/dev/shm") == ran("/dev/shm") == 0
        mine = (tmp_path / "scratch").resolve()
        assert mine.parent == Path("/dev/shm").resolve()
        assert (tmp_path / ".cache" / "huggingface").resolve() == mine / "huggingface"
        assert not (tmp_path / ".cache" / "modelscope").is_symlink()
    finally:
        shutil.rmtree((tmp_path / "scratch").resolve())
