"""fleet sandbox fault, fleet sandbox clock: what can go wrong, rehearsed."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import click

from infra.errors import BadInput
from training.cli import options
from training.cli.embedded import place, stack_option

if TYPE_CHECKING:
    from infra.sandbox.faults import Rule

count_option = click.option("--count", type=click.IntRange(1), help="So many times, then no more.")
lasting_option = click.option("--for", "lasting", metavar="TIME", help="20m, 4h, 1d12h on the sandbox's clock.")
action_argument = click.argument("action", metavar="ACTION", default="*")


@click.group()
def fault() -> None:
    """Let something go wrong in the sandbox, with AWS's own codes, to see what a fleet makes of it.

    Faults stay until --for is over, --count is used up, `clear`, or the sandbox's end.
    """


@fault.command("no-capacity")
@click.option("--zone", default="", metavar="ZONE", help="us-east-1a; by default every zone.")
@click.option("--type", "kind", default="", metavar="TYPE", help="p5.48xlarge; by default every type.")
@click.option("--spot", is_flag=True, help="Of spot only.")
@lasting_option
@stack_option
@options.json
def no_capacity(zone: str, kind: str, spot: bool, lasting: str | None, stack: str, as_json: bool) -> None:
    """AWS has no machines: InsufficientInstanceCapacity, but for what a reservation already holds."""
    from infra.sandbox import rehearsal

    _put(stack, rehearsal.no_capacity(zone, kind, spot=spot), lasting, as_json)


@fault.command()
@action_argument
@count_option
@lasting_option
@stack_option
@options.json
def throttle(action: str, count: int | None, lasting: str | None, stack: str, as_json: bool) -> None:
    """Calls come too fast: of ACTION (RunInstances), or all."""
    from infra.sandbox import rehearsal

    _put(stack, rehearsal.throttle(action, count), lasting, as_json)


@fault.command()
@action_argument
@click.option("--seconds", type=click.FloatRange(0, min_open=True), default=5.0, show_default=True, help="How late.")
@lasting_option
@stack_option
@options.json
def slow(action: str, seconds: float, lasting: str | None, stack: str, as_json: bool) -> None:
    """Answers are late: of ACTION, or all."""
    from infra.sandbox import rehearsal

    _put(stack, rehearsal.slow(action, seconds), lasting, as_json)


@fault.command()
@click.argument("action", metavar="ACTION")
@click.argument("code", metavar="CODE")
@click.option("--status", type=int, default=400, show_default=True, help="HTTP status; SDKs retry 500 and above.")
@count_option
@lasting_option
@stack_option
@options.json
def fail(
    action: str, code: str, status: int, count: int | None, lasting: str | None, stack: str, as_json: bool
) -> None:
    """ACTION answers with AWS's error CODE: `fail DescribeAlarms AccessDenied`."""
    from infra.sandbox import rehearsal

    _put(stack, rehearsal.fail(action, code, status, count), lasting, as_json)


@fault.command()
@click.argument("action", metavar="ACTION")
@count_option
@lasting_option
@stack_option
@options.json
def deny(action: str, count: int | None, lasting: str | None, stack: str, as_json: bool) -> None:
    """You have no right to ACTION, in AWS's words: `deny RunInstances`."""
    from infra.sandbox import rehearsal

    _put(stack, rehearsal.deny(action, count), lasting, as_json)


@fault.command()
@click.argument("what", type=click.Choice(["expired", "unknown", "clock"]))
@count_option
@lasting_option
@stack_option
@options.json
def credentials(what: str, count: int | None, lasting: str | None, stack: str, as_json: bool) -> None:
    """AWS takes your credentials no longer, does not know them, or your clock is off."""
    from infra.sandbox import rehearsal

    _put(stack, rehearsal.credentials(what, count), lasting, as_json)


@fault.command()
@click.argument("code", metavar="CODE")
@click.argument("value", type=click.FloatRange(0))
@stack_option
@options.json
def quota(code: str, value: float, stack: str, as_json: bool) -> None:
    """The account's quota CODE (L-417A185B: vCPUs of On-Demand P) is VALUE; beyond it AWS says VcpuLimitExceeded."""
    from infra.sandbox import rehearsal

    rehearsal.set_quota(_port(stack), code, value)
    if as_json:
        options.put_json({"quota": code, "value": value})
    else:
        click.echo(f"quota {code}  {value:g}  until cleared")


@fault.command("never-boots")
@click.option("--rank", type=click.IntRange(0), help="Only the machine of this rank.")
@click.option("--count", type=click.IntRange(1), default=1, show_default=True, help="So many machines.")
@click.option("--terminated", is_flag=True, help="AWS gives up on it: pending, then terminated.")
@lasting_option
@stack_option
@options.json
def never_boots(rank: int | None, count: int, terminated: bool, lasting: str | None, stack: str, as_json: bool) -> None:
    """The next machine is running to AWS, and nothing answers on it."""
    from infra.sandbox import rehearsal

    _put(stack, rehearsal.never_boots(rank, count, terminated=terminated), lasting, as_json)


@fault.command("kill-node")
@click.argument("rank", type=click.IntRange(0))
@stack_option
@options.json
def kill_node(rank: int, stack: str, as_json: bool) -> None:
    """The machine of RANK dies without a word. AWS still calls it running."""
    _befall(stack, rank, "kill", "is dead; AWS calls it running, its status checks fail", as_json)


@fault.command("lose-disk")
@click.argument("rank", type=click.IntRange(0))
@stack_option
@options.json
def lose_disk(rank: int, stack: str, as_json: bool) -> None:
    """The machine of RANK loses its files; shared storage stays."""
    _befall(stack, rank, "lose-disk", "has lost its files", as_json)


@fault.command("spot-notice")
@click.argument("rank", type=click.IntRange(0))
@stack_option
@options.json
def spot_notice(rank: int, stack: str, as_json: bool) -> None:
    """AWS takes the spot machine of RANK back in two minutes."""
    _befall(stack, rank, "spot-notice", "is taken back in 2 minutes, and its metadata says so", as_json)


@fault.command("list")
@stack_option
@options.json
def list_(stack: str, as_json: bool) -> None:
    """The faults in force."""
    from infra.sandbox import rehearsal

    port = _port(stack)
    there, limits = rehearsal.rules(port), rehearsal.quotas(port)
    if as_json:
        options.put_json({"faults": [_shown(rule) for rule in there], "quotas": limits})
    else:
        lines = [_line(rule) for rule in there] + [f"quota {code}  {value:g}" for code, value in limits.items()]
        click.echo("\n".join(lines) or "no faults")


@fault.command()
@stack_option
@options.json
def clear(stack: str, as_json: bool) -> None:
    """No more faults. Dead machines stay dead."""
    from infra.sandbox import rehearsal

    gone = rehearsal.clear(_port(stack))
    if as_json:
        options.put_json({"cleared": gone})
    else:
        click.echo(f"{gone} fault{'' if gone == 1 else 's'} cleared")


@click.command()
@click.argument("by", metavar="[+TIME]", required=False)
@stack_option
@options.json
def clock(by: str | None, stack: str, as_json: bool) -> None:
    """The sandbox's time, or move it on: `fleet sandbox clock +2h`. Leases, schedules and reservations fire."""
    from infra.sandbox import rehearsal

    port = _port(stack)
    at = rehearsal.advance(port, _span(by.removeprefix("+"))) if by else rehearsal.now(port)
    if as_json:
        options.put_json({"now": at.isoformat(timespec="seconds")})
    else:
        click.echo(f"{at:%Y-%m-%d %H:%M:%S} UTC in the sandbox")


def _put(stack: str, rule: Rule, lasting: str | None, as_json: bool) -> None:
    from infra.sandbox import rehearsal

    done = rehearsal.add(_port(stack), rule, _span(lasting) if lasting else None)
    if as_json:
        options.put_json(_shown(done))
    else:
        click.echo(_line(done))


def _befall(stack: str, rank: int, what: str, words: str, as_json: bool) -> None:
    from infra.sandbox import rehearsal

    instance = rehearsal.befall(_port(stack), stack, rank, what)
    if as_json:
        options.put_json({"rank": rank, "instance": instance, "fault": what})
    else:
        click.echo(f"rank {rank} ({instance}) {words}")


def _line(rule: Rule) -> str:
    times = f"{rule.count} more time{'' if rule.count == 1 else 's'}" if rule.count else ""
    limits = [times, f"until {rule.until}" if rule.until else ""]
    kept = ", ".join(each for each in limits if each) or "until cleared"
    return f"{rule.name or rule.action}  {rule.code or 'late'}  {kept}"


def _shown(rule: Rule) -> dict[str, object]:
    from dataclasses import asdict

    return asdict(rule)


def _span(text: str) -> timedelta:
    from pydantic import TypeAdapter, ValidationError

    from infra.durations import Duration

    try:
        return TypeAdapter(Duration).validate_python(text)
    except ValidationError as error:
        raise BadInput(f"{text!r} is no duration", do="Write 20m, 4h or 1d12h.") from error


def _port(stack: str) -> int:
    from infra.sandbox import process

    state, port, _ = place(stack)
    if not process.status(state)["running"]:
        raise BadInput(f"the sandbox of stack {stack} does not run", do=f"fleet sandbox start -s {stack}")
    return port
