"""`fleet`: one file a group of commands. Nothing here imports what a command needs before it is called.

Exit codes: 0 success, 2 bad input, 3 training failed, 4 cloud (or a node) refused, 130 interrupted, 1 a bug.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, NoReturn

import click

if TYPE_CHECKING:
    from infra.errors import FleetError

#: name -> where it is, and its line in `fleet --help`.
COMMANDS = {
    "run": ("run:run", "Carry out a job whole: plan, up, train, collect, down, receipt."),
    "attach": ("run:attach", "Go on with a run where it was cut off, from here or another machine."),
    "stop": ("run:stop", "Stop a run's processes on every node; the fleet stays."),
    "recipes": ("recipes:recipes", "List and search the jobs that ship."),
    "new": ("new:new", "Write a job file from a recipe, or from answers to questions."),
    "check": ("check:check", "Say everything that is wrong with a job, before anything is made."),
    "args": ("check:args", "Show and search the arguments of ms-swift's commands."),
    "plan": ("stages:plan", "Show what a job would run and cost. Creates nothing."),
    "estimate": ("estimate:estimate", "What a training job needs of a GPU, and which instance types it fits."),
    "cost": ("money:cost", "What a stack's fleet costs by part, so far and at most."),
    "ps": ("money:ps", "What bills by the hour; with --all everything in the account."),
    "up": ("stack:up", "Create the fleet of a stack."),
    "nodes": ("nodes:nodes", "List a fleet's nodes by rank."),
    "gpus": ("gpus:gpus", "What each GPU of a fleet does: busy, memory, power."),
    "preflight": ("preflight:preflight", "Whether a fleet's nodes can train together, check by check."),
    "launch": ("stages:launch", "Start a job on a fleet that is up, and return."),
    "tunnel": ("tunnel:tunnel", "Reach what a run serves (deploy, rollout) on a port of this machine."),
    "status": ("stack:status", "What bills, until when, at most how much, and which ends are armed."),
    "extend": ("stack:extend", "Let a fleet live longer: all its ends move, or none."),
    "logs": ("runs:logs", "A run's log, of all ranks or one."),
    "data": ("data:data", "What is wrong with training data, line by line."),
    "diagnose": ("diagnose:diagnose", "What went wrong in a run's logs: line, cause, argument to change."),
    "collect": ("stages:collect", "Fetch a run's output and logs."),
    "down": ("stack:down", "End everything of a stack, and prove it."),
    "sweep": ("sweep:sweep", "Find by tag what outlived its time or has no stack file here, and end it."),
    "receipt": ("stages:receipt", "What a run was to cost and did, and where its results are."),
    "ssh": ("nodes:ssh", "Open a shell on a node, or run a command there."),
    "replace": ("nodes:replace", "Give a rank another machine: the old one is fenced first."),
    "resize": ("nodes:resize", "Give a fleet that is up another number of nodes."),
    "runs": ("runs:runs", "List the runs that this clone knows."),
    "hosts": ("hosts:hosts", "Use machines that you already have."),
    "sandbox": ("sandbox:sandbox", "The embedded cloud: no AWS account, no bill."),
    "preview": ("stack:preview", "What `up` would change."),
    "outputs": ("stack:outputs", "The outputs of a stack."),
    "completion": ("shell:completion", "Print the completion script for a shell."),
}


class Commands(click.Group):
    """A group that imports a command's file only when that command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name][0].split(":")
        command: click.Command = getattr(importlib.import_module(f"training.cli.{module}"), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from infra.written import nearest

            guess = nearest(args[0], COMMANDS)
            if guess:
                raise click.UsageError(f"There is no command {args[0]!r}. Did you mean {guess}?", ctx) from error
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="swift-fleet", prog_name="fleet")
@click.option("--debug", is_flag=True, help="Show a traceback with an error.")
@click.pass_context
def cli(ctx: click.Context, debug: bool) -> None:
    """Fine-tune with ms-swift on EC2 machines that exist only as long as the job.

    \b
    fleet run job.yaml -s STACK     one command, from plan to receipt
    fleet plan job.yaml -s STACK    what it would do and cost
    fleet status -s STACK           what bills, and when it ends
    """
    ctx.obj = {"debug": debug}


def main() -> NoReturn:
    sys.exit(_run(sys.argv[1:]))


def _run(arguments: list[str]) -> int:
    from infra.errors import FleetError

    debug = "--debug" in arguments
    try:
        # --debug may stand anywhere: it belongs to no command.
        given = cli.main([one for one in arguments if one != "--debug"], prog_name="fleet", standalone_mode=False)
        return given if isinstance(given, int) else 0
    except click.ClickException as error:
        error.show()
        return 2
    except click.Abort as error:
        if isinstance(error.__context__, EOFError):
            from infra.errors import BadInput

            return _told(BadInput("there is no terminal to ask", do="Give --yes, or each answer as a flag."), arguments)
        # click makes one of a Ctrl-C anywhere; only a question that was answered with no has no cause.
        interrupted = isinstance(error.__cause__, KeyboardInterrupt)
        click.echo("Interrupted." if interrupted else "\nNot confirmed: nothing was done.", err=True)
        return 130
    except KeyboardInterrupt:
        click.echo("Interrupted.", err=True)
        return 130
    except FleetError as error:
        if debug:
            import traceback

            traceback.print_exc()
        return _told(error, arguments)
    except BrokenPipeError:
        sys.stderr.close()
        return 0


def _told(error: FleetError, arguments: list[str]) -> int:
    if "--json" in arguments:
        import json

        click.echo(json.dumps(error.as_json()))
    else:
        click.echo(str(error), err=True)
    return error.exit_code
