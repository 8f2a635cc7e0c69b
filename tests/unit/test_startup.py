"""What `fleet` costs and says before it does anything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from training.cli import COMMANDS, cli

HEAVY = ("pulumi", "pulumi_aws", "fabric", "paramiko", "cryptography", "boto3", "pydantic", "rich", "yaml", "jinja2")
#: A script and variables for a shell: text for another program, which JSON would only wrap.
NO_JSON = {"completion", "sandbox env"}


def started(*words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    script = "import sys, json\nsys.argv[0] = 'fleet'\nfrom training.cli import main\nmain()"
    return subprocess.run(
        [sys.executable, "-c", script, *words], capture_output=True, text=True, env={**os.environ, **(env or {})}
    )


def commands() -> Iterator[tuple[str, click.Command]]:
    """Each command that can be called, by its whole name: `hosts add`."""
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None, name
        yield from opened(name, command)


def opened(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield name, command
        return
    for inner, one in command.commands.items():
        yield from opened(f"{name} {inner}", one)


EVERY = dict(commands())


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["--version"], ["--nonsense"], []], ids=" ".join)
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    script = (
        "import sys, json\nfrom training.cli import cli\n"
        f"try: cli.main({words!r}, prog_name='fleet')\nexcept SystemExit: pass\n"
        f"print(); print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_help_lists_every_command_with_its_line() -> None:
    said = started("--help").stdout
    for name, (_, line) in COMMANDS.items():
        assert f"\n  {name} " in said, name
        assert " ".join(line.split()[:4]) in said, name


def test_issue_fours_commands_are_there() -> None:
    asked = (
        "run plan up nodes launch attach status logs stop collect down receipt ssh runs hosts sandbox preview outputs"
    )
    assert set(asked.split()) <= set(COMMANDS)


@pytest.mark.parametrize("name", EVERY)
def test_every_command_says_what_it_does_and_what_each_option_is_for(name: str) -> None:
    command = EVERY[name]
    assert command.help and command.help.strip()[0].isupper()
    for option in command.params:
        if isinstance(option, click.Option) and not option.show_default:
            assert option.help, f"{name} {option.opts}"


@pytest.mark.parametrize("name", EVERY)
def test_every_command_has_json_unless_its_output_is_another_programs(name: str) -> None:
    options = [word for option in EVERY[name].params for word in option.opts]
    assert ("--json" in options) == (name not in NO_JSON)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rn", "job.yaml"], "There is no command 'rn'. Did you mean run?"),
        (["statsu"], "Did you mean status?"),
        (["run"], "Missing argument 'JOB'"),
        (["plan", "job.yaml", "--stak", "dev"], "--stack"),
    ],
)
def test_a_misspelt_command_is_told_the_nearest_one(words: list[str], said: str) -> None:
    done = started(*words)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_comes_out_for_each_shell(shell: str) -> None:
    done = started("completion", shell)
    assert done.returncode == 0
    assert f"_FLEET_COMPLETE={shell}_complete" in done.stdout


def test_completion_completes_commands_and_options() -> None:
    def completed(words: str, number: int) -> list[str]:
        env = {"_FLEET_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(number)}
        return [line.split(",")[1] for line in started(env=env).stdout.splitlines()]

    assert completed("fleet st", 1) == ["stop", "status"]
    assert "--stack" in completed("fleet up --", 2)
    assert completed("fleet hosts ", 2) == ["add", "list", "remove"]
