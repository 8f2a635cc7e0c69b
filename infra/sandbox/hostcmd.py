"""The machine commands that need root on EC2, acting within a sandbox host. Run by the scripts in hostbin/ with a bare
interpreter (-I -S), so: the standard library only, imports where they are used, and quick.

    hostcmd.py COMMAND ...        a key of COMMANDS below, with its arguments
"""

# pathlib would add a third to the time that a command takes to start:
# ruff: noqa: PTH100, PTH102, PTH108, PTH112, PTH114, PTH118, PTH120, PTH122, PTH123, PTH106, PTH208, PTH211

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from infra.sandbox.hostargs import (  # noqa: E402  (-I leaves only the standard library on the path)
    TransientUnit,
    Usage,
    parse_mount,
    parse_shutdown,
    parse_sudo,
    parse_systemd_run,
)

SHUTDOWN_UNIT = "systemd-shutdownd"


def ask(verb: str, body: dict[str, Any]) -> dict[str, Any]:
    """One POST to the sandbox, past any proxy. By hand: to import http.client takes twice as long as all the rest here,
    and a boot asks several times."""
    import json
    import socket

    place, _, path = os.environ.get("FLEET_SANDBOX_HOST", "").removeprefix("http://").partition("/")
    host, _, port = place.partition(":")
    if not port:
        raise Usage("this is not a sandbox host: FLEET_SANDBOX_HOST is not set")
    content = json.dumps(body).encode()
    head = f"POST /{path}/{verb} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    try:
        with (
            socket.create_connection((host, int(port)), timeout=30) as connection,
            connection.makefile("rb") as answers,
        ):
            connection.sendall(head.encode() + content)
            told, _, answer = answers.read().partition(b"\r\n\r\n")
            said = json.loads(answer)
    except (OSError, ValueError) as error:
        raise Usage(f"the sandbox does not answer: {error}") from error
    if told.split()[1:2] != [b"200"]:
        raise Usage(said["error"])
    return said  # type: ignore[no-any-return]


def sudo(args: list[str]) -> int:
    variables, command = parse_sudo(args)
    if not command:
        raise Usage("usage: sudo command ...")
    os.environ.update(variables)
    try:
        os.execvp(command[0], command)
    except FileNotFoundError:
        raise Usage(f"sudo: {command[0]}: command not found") from None


def systemd_run(args: list[str]) -> int:
    unit = parse_systemd_run(args)
    if unit.at is None and unit.after is None and unit.every is None:
        return _run_now(unit)
    words = [f"{key}={value}" for key, value in unit.variables.items()]
    command = ["env", *words, *unit.command] if words else unit.command
    timer = {"at": unit.at, "after": unit.after, "every": unit.every}
    ask("timers", {"do": "start", "unit": unit.unit, "command": command, **timer})
    print(f"Running timer as unit: {unit.unit}.timer\nWill run service as unit: {unit.unit}.service", file=sys.stderr)
    return 0


def _run_now(unit: TransientUnit) -> int:
    import subprocess

    environment = os.environ | unit.variables
    if unit.wait:
        return subprocess.run(unit.command, env=environment, cwd=unit.folder, check=False).returncode
    if _alive(unit.unit):
        raise Usage(f"Failed to start transient service unit: Unit {unit.unit}.service was already loaded.")
    with open(_run_file(f"{unit.unit}.log"), "ab") as log:
        child = subprocess.Popen(
            unit.command, env=environment, cwd=unit.folder or os.environ["HOME"], start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    with open(_run_file(f"{unit.unit}.pid"), "w") as file:
        file.write(str(child.pid))
    print(f"Running as unit: {unit.unit}.service", file=sys.stderr)
    return 0


def _run_file(name: str) -> str:
    return os.path.join(os.path.dirname(os.environ["HOME"]), "run", name)


def _alive(unit: str) -> int:
    """The process of a unit that systemd-run started, 0 if it has ended."""
    try:
        with open(_run_file(f"{unit}.pid")) as file:
            pid = int(file.read())
        with open(f"/proc/{pid}/environ", "rb") as file:
            own = f"HOME={os.environ['HOME']}".encode() in file.read().split(b"\0")
    except (OSError, ValueError):
        return 0
    return pid if own else 0


def systemctl(args: list[str]) -> int:
    import signal
    import time

    words = [a for a in args if not a.startswith("-")]
    verb, names = (words[0] if words else "list-units"), words[1:]
    if verb in ("poweroff", "halt", "reboot"):
        ask("power", {"do": verb})
        return 0
    if verb not in ("list-timers", "is-active", "show", "stop", "status", "reset-failed"):
        return 0  # enable, disable, mask, daemon-reload ... of what a sandbox host does not have
    answer = ask("timers", {"do": "list"})
    timers = {timer["unit"]: timer for timer in answer["timers"]}
    if verb == "list-timers":
        for timer in timers.values():
            shown = time.strftime("%a %Y-%m-%d %H:%M:%S UTC", time.gmtime(timer["shown"]))
            print(f"{shown}  {timer['due'] - answer['now']:.0f}s left  {timer['unit']}.timer  {timer['unit']}.service")
        print(f"{len(timers)} timers listed.")
        return 0
    code = 0
    for name in names:
        base, kind = os.path.splitext(name) if name.endswith((".timer", ".service")) else (name, ".service")
        active = base in timers if kind == ".timer" else bool(_alive(base))
        if verb == "is-active":
            if "-q" not in args and "--quiet" not in args:
                print("active" if active else "inactive")
            code = code or (0 if active else 3)
        elif verb == "stop" and kind == ".timer":
            ask("timers", {"do": "stop", "unit": base})
        elif verb == "stop" and active:
            os.killpg(_alive(base), signal.SIGTERM)
        elif verb == "show":
            _show(base, kind, active, timers.get(base), args)
    return code


def _show(base: str, kind: str, active: bool, timer: dict[str, Any] | None, args: list[str]) -> None:
    import time

    shown = ""
    if timer and kind == ".timer":
        shown = time.strftime("%a %Y-%m-%d %H:%M:%S UTC", time.gmtime(timer["shown"]))
    properties = {
        "Id": f"{base}{kind}",
        "LoadState": "loaded" if active else "not-found",
        "ActiveState": "active" if active else "inactive",
        "NextElapseUSecRealtime": shown,
    }
    asked = [a.partition("=")[2] for a in args if a.startswith(("--property=", "-p="))]
    asked += [b for a, b in zip(args, args[1:], strict=False) if a in ("-p", "--property")]
    asked += [a[2:] for a in args if a.startswith("-p") and len(a) > 2 and a[2] != "="]
    wanted = [name for group in asked for name in group.split(",")] or list(properties)
    for name in wanted:
        value = properties.get(name, "")
        print(value if "--value" in args else f"{name}={value}")


def shutdown(args: list[str]) -> int:
    plan = parse_shutdown(args)
    if plan.do == "cancel":
        ask("timers", {"do": "stop", "unit": SHUTDOWN_UNIT})
    elif plan.after:
        command = ["systemctl", plan.do]
        timer = {"unit": SHUTDOWN_UNIT, "command": command, "after": plan.after * 60, "replace": True}
        ask("timers", {"do": "start", **timer})
        print(f"Shutdown scheduled in {plan.after:.0f} minutes, use 'shutdown -c' to cancel.", file=sys.stderr)
    else:
        ask("power", {"do": plan.do})
    return 0


def mount(args: list[str]) -> int:
    plan = parse_mount(args)
    host = os.path.dirname(os.environ["HOME"])
    target = os.path.abspath(plan.target)
    if os.path.commonpath([os.path.realpath(os.path.dirname(target)), host]) != host:
        raise Usage(f"mount: {target}: on a sandbox host a mount point must lie below its home, {os.environ['HOME']}.")
    how = {"tls": plan.tls, "iam": plan.iam, "kind": plan.kind}
    answer = ask("mount", {"fs": plan.fs, "accesspoint": plan.accesspoint, "path": plan.path, **how})
    if os.path.islink(target):
        raise Usage(f"mount: {target} is already mounted.")
    if not os.path.isdir(target):
        raise Usage(f"mount: {target}: mount point does not exist.")
    try:
        os.rmdir(target)
    except OSError:
        raise Usage(f"mount: {target}: on a sandbox host a mount point must be empty.") from None
    os.symlink(answer["folder"], target)
    return 0


def umount(args: list[str]) -> int:
    for target in (a.rstrip("/") for a in args if not a.startswith("-")):
        if not os.path.islink(target):
            raise Usage(f"umount: {target}: not mounted.")
        os.unlink(target)
        os.mkdir(target)
    return 0


def mountpoint(args: list[str]) -> int:
    target = next((a.rstrip("/") for a in args if not a.startswith("-")), "")
    is_one = os.path.islink(target) and os.path.isdir(target)
    if "-q" not in args and "--quiet" not in args:
        print(f"{target} is {'' if is_one else 'not '}a mountpoint")
    return 0 if is_one else 1


def who(args: list[str]) -> int:
    """One line for each terminal that a process of this host has; the machine below has logins of its own."""
    terminals = sorted({int(stat[4]) for _, stat in _processes() if int(stat[4])})
    for number in terminals:
        print(f"{os.environ.get('USER', 'ec2-user')} pts/{number & 0xFF}")
    return 0


def uptime(args: list[str]) -> int:
    """The load as the number of this host's processes that run just now, this one and its parent left out."""
    own = (os.getpid(), os.getppid())
    load = float(sum(stat[0] == "R" for pid, stat in _processes() if pid not in own))
    print(f" up 1:00,  0 users,  load average: {load:.2f}, {load:.2f}, {load:.2f}")
    return 0


def _processes() -> Iterator[tuple[int, list[str]]]:
    """(pid, the fields of /proc/PID/stat from the state on) of the processes with this host's HOME."""
    home = f"HOME={os.environ['HOME']}".encode()
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                if home not in file.read().split(b"\0"):
                    continue
            with open(f"/proc/{name}/stat") as file:
                yield int(name), file.read().rpartition(")")[2].split()
        except OSError:
            continue


def packages(args: list[str]) -> int:
    words = [a for a in args if not a.startswith("-")]
    if words[:1] == ["install"] and words[1:] in (["amazon-efs-utils"], ["lustre-client"]):
        print(f"Package {words[1]} is already installed (the sandbox's own mount).")
        return 0
    raise Usage(f"a sandbox host has no package manager; asked for: {' '.join(args)}")


def refuse(args: list[str]) -> int:
    raise Usage("not on a sandbox host: it would act on the operator's own machine")


COMMANDS = {
    "sudo": sudo, "systemd-run": systemd_run, "systemctl": systemctl, "shutdown": shutdown,
    "poweroff": lambda args: shutdown(["now"]), "halt": lambda args: shutdown(["now"]),
    "reboot": lambda args: shutdown(["-r", "now"]), "mount": mount, "umount": umount, "mountpoint": mountpoint,
    "who": who, "uptime": uptime,
    "dnf": packages, "yum": packages, "apt-get": packages, "apt": packages,
    "mkfs": refuse, "mkfs.ext4": refuse, "mkfs.xfs": refuse, "mdadm": refuse, "modprobe": refuse, "sysctl": refuse,
}  # fmt: skip


def main(argv: list[str]) -> int:
    try:
        return COMMANDS[argv[0]](argv[1:])
    except Usage as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
