from __future__ import annotations

from datetime import UTC, datetime

import pytest

from infra.sandbox.hostargs import (
    Mount,
    Shutdown,
    Usage,
    calendar,
    parse_mount,
    parse_shutdown,
    parse_sudo,
    parse_systemd_run,
    span,
)


@pytest.mark.parametrize(
    ("line", "variables", "command"),
    [
        ("ls -l", {}, ["ls", "-l"]),
        ("-n -E -H ls", {}, ["ls"]),
        ("-u ubuntu -- env -i x", {}, ["env", "-i", "x"]),
        ("--user=root A=1 B= bash -c x", {"A": "1", "B": ""}, ["bash", "-c", "x"]),
        ("-v", {}, ["true"]),
        ("-i whoami", {}, ["bash", "-l", "-c", "whoami"]),
    ],
)
def test_sudo_runs_the_rest_of_its_line(line: str, variables: dict[str, str], command: list[str]) -> None:
    assert parse_sudo(line.split()) == (variables, command)


def test_systemd_run_reads_a_lease() -> None:
    args = [
        "--unit=fleet-lease.timer", "--on-calendar", "2026-12-01 10:00:00 UTC", "--timer-property=AccuracySec=1s",
        "--property=Type=oneshot", "--collect", "-q", "systemctl", "poweroff",
    ]  # fmt: skip
    unit = parse_systemd_run(args)
    assert (unit.unit, unit.command) == ("fleet-lease", ["systemctl", "poweroff"])
    assert unit.at == datetime(2026, 12, 1, 10, tzinfo=UTC).timestamp()
    assert unit.after is None


def test_systemd_run_reads_a_span_and_variables() -> None:
    unit = parse_systemd_run(["-u", "x", "--on-active", "30min", "-E", "A=b=c", "--", "-odd"])
    assert (unit.after, unit.variables, unit.command) == (1800.0, {"A": "b=c"}, ["-odd"])


def test_systemd_run_reads_what_comes_round() -> None:
    unit = parse_systemd_run(["--unit=idle", "--on-calendar=*:0/5", "true"])
    assert (unit.every, unit.at, unit.after) == (300.0, None, None)


@pytest.mark.parametrize("args", [["--unit", "x"], ["--on-moon=1", "true"], ["--on-active"], []])
def test_systemd_run_refuses_what_it_does_not_know(args: list[str]) -> None:
    with pytest.raises(Usage):
        parse_systemd_run(args)


def test_a_unit_without_a_name_gets_one_of_its_own() -> None:
    assert parse_systemd_run(["true"]).unit != parse_systemd_run(["true"]).unit


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7200", 7200), ("30min", 1800), ("1h 30m", 5400), ("1h30min", 5400), ("90s", 90), ("2d", 172800)],
)
def test_spans(text: str, seconds: float) -> None:
    assert span(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "5 parsecs", "1h, 2m"])
def test_no_spans(text: str) -> None:
    with pytest.raises(Usage):
        span(text)


def test_a_calendar_moment_is_utc() -> None:
    expected = datetime(2026, 12, 1, 10, 30, tzinfo=UTC).timestamp()
    assert (
        calendar("2026-12-01 10:30:00 UTC")
        == calendar("2026-12-01 10:30:00")
        == calendar("2026-12-01 10:30")
        == expected
    )
    with pytest.raises(Usage):
        calendar("Mon *-*-* 10:00")


@pytest.mark.parametrize(
    ("line", "plan"),
    [
        ("-h now", Shutdown("poweroff")),
        ("-P +0", Shutdown("poweroff")),
        ("-h +60", Shutdown("poweroff", 60)),
        ("-r now", Shutdown("reboot")),
        ("-c", Shutdown("cancel")),
        ("", Shutdown("poweroff", 1)),
    ],
)
def test_shutdown(line: str, plan: Shutdown) -> None:
    assert parse_shutdown(line.split()) == plan


def test_mount_reads_efs() -> None:
    assert parse_mount(["-t", "efs", "-o", "tls,iam,accesspoint=fsap-1", "fs-1:/", "shared"]) == Mount(
        "fs-1", "/", "shared", True, "fsap-1", True
    )
    assert parse_mount(["-t", "efs", "fs-1.efs.us-east-1.amazonaws.com:/a", "d"]) == Mount(
        "fs-1", "/a", "d", False, "", False
    )


def test_mount_reads_lustre() -> None:
    line = ["-t", "lustre", "-o", "relatime,flock", "fs-1.fsx.us-east-1.amazonaws.com@tcp:/abc/fleet", "shared"]
    assert parse_mount(line) == Mount("fs-1", "abc/fleet", "shared", False, "", False, "lustre")


@pytest.mark.parametrize("line", ["/dev/nvme1n1 /data", "-t xfs a b", "-t efs fs-1:/", "-t lustre fs-1:/abc d"])
def test_mount_refuses_the_rest(line: str) -> None:
    with pytest.raises(Usage):
        parse_mount(line.split())
