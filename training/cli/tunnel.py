"""fleet tunnel: an endpoint on a fleet, on a port of this machine."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import click

from training.cli import options


@click.command()
@click.argument("run_id", metavar="[RUN]", required=False)
@options.where
@click.option("--rank", type=click.IntRange(0), help="The rank whose server is meant, where there are several.")
@click.option("--port", type=click.IntRange(1, 65535), help="On this machine; by default the server's, or the next.")
@click.option("--json", "as_json", is_flag=True, help="Print the address and the ssh command as JSON; don't run it.")
def tunnel(
    run_id: str | None,
    stack: str | None,
    hosts: str | None,
    local: bool,
    key: Path | None,
    rank: int | None,
    port: int | None,
    as_json: bool,
) -> int:
    """Reach what RUN (by default the newest) serves, through SSH: a port of this machine leads to it until Ctrl-C.

    The node's host key is the pinned one; where the fleet has one way in, it goes through that. It ends with the fleet.
    """
    from infra.errors import BadInput, CloudRefused
    from training.cli.reaching import reached
    from training.endpoints import endpoints
    from training.onnode import whole_run
    from training.shell import free_port, interactive, pinned, ssh_command, tunnel_command

    with reached(run_id, stack, hosts, local, key) as (machines, run, _):
        mine = [one for one in endpoints(machines) if whole_run(one.run) == run.id]
        inventory = machines.inventory
    found = [one for one in mine if rank in (None, one.rank)]
    if not found:
        ranks = ", ".join(str(one.rank) for one in mine)
        has = f"It serves on rank {ranks}." if mine else "fleet status shows what does."
        raise BadInput(f"{run.id} serves nothing{f' on rank {rank}' if mine else ''}", do=has)
    if len(found) > 1:
        raise BadInput(f"{run.id} serves on {len(found)} ranks", do=f"--rank {found[0].rank}, say.")
    (one,) = found
    node = inventory.nodes[one.rank]
    there = urlsplit(one.listens)
    if not node.address:
        click.echo(one.url) if not as_json else options.put_json({"run": run.id, "rank": one.rank, "url": one.url})
        return 0
    assert there.port, "what a server says has its port"
    here = port or free_port(there.port)
    folder = options.project_root() / ".fleet"
    gateway = (inventory.master, pinned(inventory.master, folder)) if node.behind_master else None
    line = tunnel_command(ssh_command(node, (), pinned(node, folder), gateway), here, str(there.hostname), there.port)
    url = f"{there.scheme}://127.0.0.1:{here}"
    if as_json:
        options.put_json({"run": run.id, "rank": one.rank, "url": url, "serves": one.url, "command": line})
        return 0
    click.echo(f"{url}  is {one.url} on {node.name}, rank {one.rank}. Ctrl-C closes it.")
    try:
        code = interactive(line)
    except KeyboardInterrupt:
        return 0
    if code == 255:
        raise CloudRefused("the tunnel broke", where=node.name, do="fleet status shows what is up.")
    return code
