"""Command lines of the machine commands in hostbin/, read: pure functions, standard library only."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field


class Usage(Exception):
    """Printed as the command's own error; exit status 1."""


def parse_sudo(args: list[str]) -> tuple[dict[str, str], list[str]]:
    """(variables, command) of a sudo line. There is one user on a host, so -u changes nothing."""
    variables: dict[str, str] = {}
    rest = list(args)
    while rest:
        word = rest[0]
        if word == "--":
            rest.pop(0)
            break
        if word in ("-u", "-g", "-C", "-p", "-D", "-h", "-T", "--user", "--group", "--chdir"):
            del rest[:2]
        elif word in ("-i", "--login", "-s", "--shell"):
            command = rest[1:]
            return variables, ["bash", "-l", *(["-c", " ".join(command)] if command else [])]
        elif word in ("-v", "-k", "-K", "--validate"):
            return variables, ["true"]
        elif word.startswith("-"):
            rest.pop(0)  # -H -E -n -S -A -b --preserve-env=..., --user=...
        elif re.match(r"[A-Za-z_]\w*=", word):
            name, _, value = word.partition("=")
            variables[name] = value
            rest.pop(0)
        else:
            break
    return variables, rest


@dataclass
class TransientUnit:
    """What systemd-run was asked for. `at` is epoch seconds, `after` seconds from now, `every` seconds from time to
    time; none of them: run it now."""

    unit: str = ""
    command: list[str] = field(default_factory=list)
    at: float | None = None
    after: float | None = None
    every: float | None = None
    variables: dict[str, str] = field(default_factory=dict)
    wait: bool = False
    folder: str | None = None


_VALUED = {"-u": "--unit", "-p": "--property", "-E": "--setenv", "-d": "--same-dir", "-G": "--collect", "-q": "--quiet"}
_WITH_VALUE = {
    "--unit", "--on-calendar", "--on-active", "--on-boot", "--timer-property", "--property", "--description",
    "--setenv", "--uid", "--gid", "--working-directory", "--slice", "--nice", "--service-type", "--on-startup",
}  # fmt: skip
_ALONE = {"--collect", "--no-block", "--quiet", "--wait", "--pipe", "--remain-after-exit", "--same-dir", "--pty",
          "--system", "--no-ask-password", "--scope"}  # fmt: skip


def parse_systemd_run(args: list[str]) -> TransientUnit:
    unit, rest = TransientUnit(), list(args)
    while rest and rest[0].startswith("-"):
        word = rest.pop(0)
        if word == "--":
            break
        name, has_value, value = word.partition("=")
        name = _VALUED.get(name, name)
        if name in _WITH_VALUE and not has_value:
            if not rest:
                raise Usage(f"systemd-run: option '{name}' requires an argument")
            value = rest.pop(0)
        elif name not in _WITH_VALUE | _ALONE:
            raise Usage(f"systemd-run: unrecognized option '{word}'")
        if name == "--unit":
            unit.unit = re.sub(r"\.(service|timer)$", "", value)
        elif name == "--on-calendar":
            unit.every = repetition(value)
            unit.at = None if unit.every else calendar(value)
        elif name in ("--on-active", "--on-boot", "--on-startup"):
            unit.after = span(value)
        elif name == "--setenv":
            key, _, content = value.partition("=")
            unit.variables[key] = content
        elif name == "--working-directory":
            unit.folder = value
        elif name in ("--wait", "--pipe", "--pty", "--scope"):
            unit.wait = True
    unit.command = rest
    if not rest:
        raise Usage("systemd-run: Command line to execute required.")
    unit.unit = unit.unit or f"run-r{os.urandom(16).hex()}"
    return unit


_UNITS = {"s": 1, "sec": 1, "second": 1, "seconds": 1, "m": 60, "min": 60, "minute": 60, "minutes": 60, "h": 3600,
          "hr": 3600, "hour": 3600, "hours": 3600, "d": 86400, "day": 86400, "days": 86400, "ms": 0.001}  # fmt: skip


def span(text: str) -> float:
    """Seconds of a systemd time span: `7200`, `30min`, `1h 30m`."""
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.strip())
    rebuilt = "".join(number + unit for number, unit in parts)
    if not parts or rebuilt != re.sub(r"\s", "", text) or any(u and u not in _UNITS for _, u in parts):
        raise Usage(f"Failed to parse timer value: {text}")
    return float(sum(float(number) * _UNITS[unit or "s"] for number, unit in parts))


def repetition(text: str) -> float | None:
    """Seconds between the moments of `*:0/5`, every fifth minute; None for one moment."""
    found = re.fullmatch(r"\*:0/(\d+)", text.strip())
    return int(found[1]) * 60.0 if found and int(found[1]) else None


def calendar(text: str) -> float:
    """Epoch seconds of one moment, `2026-12-01 10:00:00 UTC`. EC2's machines are on UTC."""
    from datetime import UTC, datetime

    plain = re.sub(r"\s*(UTC|Z)$", "", text.strip())
    for form in ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d"):
        try:
            return datetime.strptime(plain, form).replace(tzinfo=UTC).timestamp()
        except ValueError:
            continue
    raise Usage(
        f"Failed to parse calendar specification: {text} (the sandbox knows `YYYY-MM-DD HH:MM:SS UTC`, `*:0/5`)"
    )


@dataclass(frozen=True)
class Shutdown:
    """`do`: poweroff, reboot, cancel. `after` minutes; 0 is now."""

    do: str
    after: float = 0.0


def parse_shutdown(args: list[str]) -> Shutdown:
    words = [w for w in args if not w.startswith("-")]
    flags = "".join(w.lstrip("-") for w in args if w.startswith("-") and not w.startswith("--"))
    if "c" in flags:
        return Shutdown("cancel")
    do = "reboot" if "r" in flags or "--reboot" in args else "poweroff"
    when = words[0] if words else "+1"
    if when in ("now", "+0"):
        return Shutdown(do)
    if match := re.fullmatch(r"\+?(\d+)", when):
        return Shutdown(do, float(match[1]))
    raise Usage(f"Failed to parse time specification: {when} (the sandbox knows `now` and `+minutes`)")


@dataclass(frozen=True)
class Mount:
    fs: str
    path: str
    target: str
    tls: bool
    accesspoint: str
    iam: bool
    kind: str = "efs"


def parse_mount(args: list[str]) -> Mount:
    kind, options, words, rest = "", "", [], list(args)
    while rest:
        word = rest.pop(0)
        if word == "-t" and rest:
            kind = rest.pop(0)
        elif word == "-o" and rest:
            options = f"{options},{rest.pop(0)}"
        elif not word.startswith("-"):
            words.append(word)
    if kind not in ("efs", "lustre"):
        raise Usage("mount: a sandbox host can mount only EFS (-t efs) and FSx for Lustre (-t lustre).")
    if kind == "lustre":
        return _lustre(words)
    if len(words) != 2:
        raise Usage("mount.efs: usage: mount -t efs -o tls,accesspoint=fsap-... fs-...:/ DIR")
    given = dict(option.partition("=")[::2] for option in options.split(",") if option)
    fs, _, path = words[0].partition(":")
    return Mount(fs.split(".")[0], path or "/", words[1], "tls" in given, given.get("accesspoint", ""), "iam" in given)


def _lustre(words: list[str]) -> Mount:
    """`fs-....fsx.REGION.amazonaws.com@tcp:/MOUNT/FOLDER DIR`."""
    name, found, path = words[0].partition("@tcp:/") if len(words) == 2 else ("", "", "")
    if not found:
        raise Usage("mount.lustre: usage: mount -t lustre fs-...@tcp:/MOUNT DIR")
    return Mount(name.split(".")[0], path, words[1], tls=False, accesspoint="", iam=False, kind="lustre")
