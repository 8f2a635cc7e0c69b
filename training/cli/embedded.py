"""Which embedded cloud a command is about: that of a stack."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from infra.errors import BadInput
from training.cli import options

if TYPE_CHECKING:
    from infra.settings import StackConfig

stack_option = click.option("-s", "--stack", default="sandbox", show_default=True, help="A stack on 127.0.0.1.")


def place(stack: str) -> tuple[Path, int, StackConfig]:
    from infra.sandbox import process
    from infra.stack_files import load_stack, stack_file

    root = options.project_root()
    config, _ = load_stack(root, stack)
    port = process.endpoint_port(stack_file(root, stack))
    if port is None:
        raise BadInput(
            f"stack {stack} is on AWS, not in the sandbox",
            where=str(stack_file(root, stack)),
            do="Its aws:endpoints would be on 127.0.0.1.",
        )
    return process.state_dir(port), port, config
