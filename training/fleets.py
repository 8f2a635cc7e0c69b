"""Where a fleet comes from: a Pulumi stack, machines that the user has, this machine. One interface, written once each.

Beside `lifecycle` and the commands the only place of `training` that knows `infra`: a stack's configuration becomes
an `Offer`, its outputs an `Inventory`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from infra.errors import BadInput
from training import hosts as own
from training.inventory import Inventory, Source, local
from training.plan import Offer
from training.stack_fleet import Say, StackFleet, quiet

if TYPE_CHECKING:
    from infra.lived import Lived
    from infra.sweep import Teardown


class Fleet(Protocol):
    """source and name as a `Request` has them."""

    source: Source
    name: str

    def offer(self) -> Offer: ...

    def shape(self) -> Offer:
        """The offer without its price: nothing is started, and nobody is asked."""

    def is_up(self) -> bool:
        """Whether anything of it runs, and so bills."""

    def is_whole(self) -> bool:
        """Whether each of its nodes runs and is known."""

    def up(self, say: Say = quiet, missed: Say | None = None) -> Inventory:
        """missed: told each place that had no room, and AWS's answer; by default `say` is."""

    def inventory(self) -> Inventory:
        """The machines of a fleet that is up; BadInput where it isn't."""

    def down(self, say: Say = quiet) -> Teardown | None:
        """Ends the fleet and proves it; None where there is nothing of ours to end."""

    def lived(self, began: datetime) -> Lived | None:
        """How long it has billed since `began`; None where it is not ours to pay."""


@dataclass
class HostsFleet:
    """Own machines: never made, never ended, no price."""

    root: Path
    name: str
    source: Source = "hosts"

    def shape(self) -> Offer:
        return self.offer()

    def offer(self) -> Offer:
        nodes = self.inventory().nodes
        counts = {node.gpus or 0 for node in nodes}
        if len(counts) > 1:
            raise BadInput(
                f"{self.name} has nodes with {' and '.join(map(str, sorted(counts)))} GPUs: ranks must be alike",
                do="torchrun hangs at rendezvous with unequal counts. Keep one kind, or set nproc_per_node.",
            )
        return Offer("own machines", len(nodes), counts.pop())

    def is_up(self) -> bool:
        return True

    def is_whole(self) -> bool:
        return True

    def up(self, say: Say = quiet, missed: Say | None = None) -> Inventory:
        return self.inventory()

    def inventory(self) -> Inventory:
        return own.inventory_of(own.read_hosts(self.root), self.name)

    def down(self, say: Say = quiet) -> None:
        return None

    def lived(self, began: datetime) -> None:
        return None


@dataclass
class LocalFleet:
    """This machine, with no SSH."""

    name: str = "local"
    source: Source = "local"

    def shape(self) -> Offer:
        return self.offer()

    def offer(self) -> Offer:
        return Offer("this machine", 1, self._gpus())

    def is_up(self) -> bool:
        return True

    def is_whole(self) -> bool:
        return True

    def up(self, say: Say = quiet, missed: Say | None = None) -> Inventory:
        return self.inventory()

    def inventory(self) -> Inventory:
        return replace(local(), nodes=(replace(local().master, gpus=self._gpus()),))

    def down(self, say: Say = quiet) -> None:
        return None

    def lived(self, began: datetime) -> None:
        return None

    def _gpus(self) -> int:
        import shutil
        import subprocess

        if not shutil.which("nvidia-smi"):
            return 0
        asked = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60)
        return sum(line.startswith("GPU ") for line in asked.stdout.splitlines())


def fleet_of(root: Path, source: Source, name: str, key: Path | None = None) -> Fleet:
    if source == "stack":
        return StackFleet(root, name, key)
    return HostsFleet(root, name) if source == "hosts" else LocalFleet()
