"""fleet sandbox: the embedded cloud."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from training.cli import faults, options
from training.cli.embedded import place, stack_option

if TYPE_CHECKING:
    pass


@click.group()
def sandbox() -> None:
    """The embedded cloud: AWS's API on 127.0.0.1, nodes that speak SSH on loopback addresses. Linux, no root.

    Started by itself when a stack whose aws:endpoints are on 127.0.0.1 is used. One cloud and its Pulumi state live
    and end together.
    """


sandbox.add_command(faults.fault)
sandbox.add_command(faults.clock)


@sandbox.command()
@stack_option
@options.json
def start(stack: str, as_json: bool) -> None:
    """Start it, if it doesn't run. A new cloud is empty."""
    from infra.sandbox import process

    state, port, config = place(stack)
    running = process.start(state, port, config.ssh_port)
    if as_json:
        options.put_json({"pid": running.pid, "port": running.port, "url": running.url})
    else:
        click.echo(f"{running.url}, pid {running.pid}, state in {state}")


@sandbox.command()
@stack_option
@options.json
def stop(stack: str, as_json: bool) -> None:
    """End it, with every node in it and what they train."""
    from infra.sandbox import process

    state, port, _ = place(stack)
    was = process.stop(state)
    if as_json:
        options.put_json({"stopped": was})
    else:
        click.echo(f"the sandbox on port {port} " + ("is stopped, its nodes with it" if was else "was not running"))


@sandbox.command()
@stack_option
@options.json
def status(stack: str, as_json: bool) -> None:
    """Whether it runs, since when, and which instances it has."""
    from infra.sandbox import process

    state, port, _ = place(stack)
    found = process.status(state)
    if as_json:
        options.put_json(found)
        return
    if not found.get("running"):
        click.echo(f"not running (port {port})")
        return
    click.echo(f"running since {found['since']}, pid {found['pid']}, port {found['port']}")
    for one in found["instances"]:
        shown = ["; ".join(v.values()) if isinstance(v, dict) else str(v) for v in one.values()]
        click.echo("  " + "  ".join(shown))


@sandbox.command()
@stack_option
def env(stack: str) -> None:
    """Print what plain `pulumi` needs to work on it: eval "$(fleet sandbox env)"."""
    from infra import engine
    from infra.sandbox import process

    state, port, config = place(stack)
    process.start(state, port, config.ssh_port)
    values = process.environment(state)
    command = engine.ensure(lambda line: click.echo(line, err=True))
    values["PATH"] = f"{command.parent}:{values['PATH']}"
    for name, value in values.items():
        click.echo(f"export {name}={shlex.quote(value)}")
