"""Where a stack lives: on AWS, or in a sandbox on this machine, which is started when the stack is acted on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infra.cloud import Cloud

#: Of a stack without a cloud at rest.
AT_REST = "its sandbox does not run, so nothing of it exists"


def cloud_at_rest(root: Path, name: str) -> Cloud | None:
    """Where the stack lives, with nothing started; None where that is a sandbox that does not run, so that nothing of
    the stack exists."""
    from infra.cloud import cloud_of
    from infra.sandbox import process
    from infra.stack_files import load_stack, stack_file

    file = stack_file(root, name)
    cloud = cloud_of(load_stack(root, name)[1], source=str(file))
    port = process.endpoint_port(file)
    runs = port is None or process.status(process.state_dir(port))["running"]
    return cloud if runs else None


def environment_for(root: Path, stack: str) -> dict[str, str]:
    """What the engine needs in its environment for this stack; a sandbox stack's cloud is started on the way."""
    from infra.sandbox import process
    from infra.stack_files import load_stack, stack_file

    settings, _ = load_stack(root, stack)
    port = process.endpoint_port(stack_file(root, stack))
    if port is None:
        return {}
    state = process.state_dir(port)
    process.start(state, port, settings.ssh_port)
    return process.environment(state)
