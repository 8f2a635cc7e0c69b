"""SSH to a node that has no door of its own: through AWS's Session Manager, by its command-line tools.

https://docs.aws.amazon.com/systems-manager/latest/userguide/session-manager-getting-started-enable-ssh-connections.html
"""

from __future__ import annotations

import shutil

from infra.cloud import Cloud
from infra.errors import BadInput

#: Both must be there: the first asks for a session, the second carries its bytes.
TOOLS = ("aws", "session-manager-plugin")


def tools(path: str | None) -> str:
    """Where `aws` is. path: as the variable PATH. BadInput where it or the plugin is not."""
    found = {name: shutil.which(name, path=path) for name in TOOLS}
    for name, at in found.items():
        if at is None:
            raise BadInput(
                f"access: ssm needs {name}, which is not on PATH",
                do="Install AWS's CLI and its Session Manager plugin, or let nodes have an address (access: ssh).",
            )
    return str(found["aws"])


def tunnel(cloud: Cloud, aws: str, instance_id: str, port: int) -> tuple[str, ...]:
    """The command whose stdin and stdout are a connection to the node's SSH server: OpenSSH's ProxyCommand.

    Credentials are the profile's or the environment's, as any `aws` has them.
    """
    endpoint = cloud.endpoints.get("ssm")
    return (
        aws,
        "ssm",
        "start-session",
        *("--target", instance_id),
        *("--document-name", "AWS-StartSSHSession"),
        *("--parameters", f"portNumber={port}"),
        *("--region", cloud.region),
        *(("--profile", cloud.profile) if cloud.profile else ()),
        *(("--endpoint-url", endpoint) if endpoint else ()),
    )
