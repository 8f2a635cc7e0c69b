"""The fleet of a Pulumi stack: its configuration becomes an `Offer`, its outputs an `Inventory`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.errors import BadInput, CloudRefused, FleetError
from training import hosts as own
from training.fit import Machine
from training.inventory import Inventory, Node, Source
from training.plan import Offer
from training.stack_cloud import environment_for
from training.swift.profiles import Profile

if TYPE_CHECKING:
    from infra.cost import HourlyCost
    from infra.kinds import Node as LiveNode
    from infra.lived import Lived
    from infra.outputs import Outputs
    from infra.session import Change
    from infra.settings import StackConfig
    from infra.stack import FleetStack
    from infra.sweep import Teardown

#: What an `up` or a `down` tells while it works: a short line, such as "node-000 created" or "12 of 24 resources".
Say = Callable[[str], None]


def quiet(line: str) -> None:
    return None


def machines() -> tuple[Machine, ...]:
    """The instance types of the catalog, with their On-Demand list price."""
    from infra.catalog import catalog

    return tuple(
        Machine(one.name, one.gpu, one.gpus, one.gpu_memory_gib, one.memory_gib, one.usd_per_hour)
        for one in catalog().types.values()
    )


@dataclass
class StackFleet:
    """The fleet of a stack. key: the private key, where it isn't the one that this clone made.

    budget: USD of the run that makes it, beside the stack's own; set before anything is asked of the fleet.
    profile: the run's environment, which nodes that it makes begin with.
    """

    root: Path
    name: str
    key: Path | None = None
    source: Source = "stack"
    budget: float | None = None
    profile: Profile | None = None

    @cached_property
    def stack(self) -> FleetStack:
        """Where it can be acted on: of a sandbox stack the cloud runs from here on."""
        from infra.stack import FleetStack

        return FleetStack(self.root, self.name, self._environment)

    @cached_property
    def _environment(self) -> dict[str, str]:
        return environment_for(self.root, self.name)

    def _tools(self) -> str:
        """Where the command is that opens a session to a node. BadInput where something of it is missing."""
        from infra.tunnel import tools

        return tools(self._environment.get("PATH"))

    @property
    def config(self) -> StackConfig:
        """The stack file, read with nothing started and nobody asked."""
        from infra.budget import capped

        return capped(self._file[0], self.budget)

    @cached_property
    def _file(self) -> tuple[StackConfig, dict[str, Any]]:
        from infra.stack_files import load_stack

        return load_stack(self.root, self.name)

    @cached_property
    def hourly_cost(self) -> HourlyCost:
        """At AWS's prices of now, or those that ship. Asked once, so that what is shown is what counts."""
        from infra.cost import priced

        return priced(self.config_here, self.stack.cloud)

    @cached_property
    def config_here(self) -> StackConfig:
        """`config` at the type and zone that it has: where it runs, else the first of its choices, which AWS tells."""
        from infra.site import choices, config_at, subnet_of, where_it_runs

        config = self.config
        if len(config.instance_types) == 1 and config.capacity != "spot":
            return config
        try:
            cloud = self.stack.cloud
            place = where_it_runs(list(self.live().values()), config)
            return config_at(config, place or choices(cloud, config, subnet_of(cloud, config))[0])
        except FleetError:  # without an account, or too dear everywhere: what the file says first
            return config

    def dearest(self) -> tuple[str, HourlyCost] | None:
        """The type among the stack's candidates that costs most of those that it may take, or whose price nobody knows;
        None where there is one type alone."""
        from infra.cost import over_cap, priced

        if len(self.config.instance_types) == 1:
            return None
        asked = (self.config.model_copy(update={"instance_type": kind}) for kind in self.config.instance_types)
        costs = [(one.instance_type, priced(one, self.stack.cloud)) for one in asked]
        allowed = [one for one in costs if over_cap(self.config, one[1]) is None]
        return max(allowed, key=lambda one: float("inf") if one[1].total is None else one[1].total, default=None)

    def refuse_over_budget(self) -> None:
        """BadInput where the stack's `budget` or `maxUsdPerHour` forbids to make it, or its file is not filled in."""
        from infra.bought import refuse_placeholders
        from infra.budget import refuse
        from infra.cloud import refuse_long_tries
        from infra.stack_files import stack_file

        refuse_long_tries(self._file[1], str(stack_file(self.root, self.name)))
        refuse_placeholders(self.config, f"stack {self.name}")
        refuse(self.config_here, self.hourly_cost)

    def shape(self) -> Offer:
        return _shape(self.config)

    def offer(self) -> Offer:
        from infra.budget import bounded

        cost = self.hourly_cost
        config = bounded(self.config_here, cost)
        return replace(
            _shape(config),
            usd_per_hour=cost.total,
            price_source=cost.unknown or cost.dated,
            lifetime=config.lifetime,
            ends_after=config.ends_after,
            budget_usd=config.budget,
            max_usd_per_hour=config.max_usd_per_hour,
        )

    def live(self) -> dict[str, LiveNode]:
        """Its machines that bill, by id, as AWS says."""
        from infra import sweep

        return sweep.live(self.stack.cloud, self.name)

    def is_up(self) -> bool:
        return bool(self.live())

    def is_whole(self) -> bool:
        alive = self.live()
        outputs = self.stack.outputs() if alive else None
        known = {node.id for node in outputs.nodes} if outputs else set()
        return bool(known) and known == set(alive) and len(known) == self.config.nodes

    def up(self, say: Say = quiet, missed: Say | None = None) -> Inventory:
        if self.config.access == "ssm":
            self._tools()
        self.stack.budget, self.stack.profile = self.budget, self.profile
        counter = _Counter(say, missed)
        outputs = self.stack.up(counter.on_change)
        for before in ("config_here", "hourly_cost"):  # it may have got another place than its first choice
            self.__dict__.pop(before, None)
        _ = self.hourly_cost
        try:
            return self._inventory(outputs, say)
        except CloudRefused as error:  # a machine that never came up is no fleet
            raise self.stack.undone(error, counter.on_change) from error

    def shrink(self, say: Say = quiet) -> None:
        self.stack.shrink(_Counter(say).on_change)

    def replace(self, ranks: Collection[int], say: Say = quiet) -> Inventory:
        """Other machines for these ranks, whatever they do (`training/replacing.py` looks first)."""
        return self._inventory(self.stack.replace(ranks, _Counter(say).on_change), say)

    def inventory(self) -> Inventory:
        if not self.is_up():
            raise BadInput(f"the fleet of stack {self.name} is not up", do=f"fleet up -s {self.name}")
        return self._inventory(self._outputs(), quiet)

    def survivors(self, live: Collection[str]) -> Inventory:
        """Those of its machines that AWS still has: through them a fleet that lost a node can be asked."""
        outputs = self._outputs()
        nodes = tuple(node for node in outputs.nodes if node.id in live)
        if not nodes:
            raise BadInput(
                f"none of the nodes that stack {self.name} knows is up",
                do=f"fleet up -s {self.name} makes them anew, fleet down -s {self.name} ends what is left.",
            )
        return self._inventory(replace(outputs, nodes=nodes), quiet)

    def down(self, say: Say = quiet) -> Teardown:
        from infra.left import adding_what_is_left

        with adding_what_is_left(self.stack.cloud, self.name, self.config.nodes):
            return self.stack.destroy(_Counter(say).on_change)

    def what_is_left(self) -> str:
        from infra.left import what_is_left

        return what_is_left(self.stack.cloud, self.name, self.config.nodes)

    def lived(self, began: datetime) -> Lived | None:
        """As AWS tells; where it shows none of its machines any more, to the last of its ends at most."""
        from infra.lived import Lived, lived

        if told := lived(self.stack.cloud, self.name, began):
            return told
        last = self.stack.last_end() or began + (self.offer().ends_after or timedelta())
        return Lived(began, last, at_most=True)

    def _outputs(self) -> Outputs:
        outputs = self.stack.outputs()
        if outputs is None:
            raise BadInput(
                f"stack {self.name} has nodes but no outputs: its up was cut off",
                do=f"fleet up -s {self.name} finishes it, fleet down -s {self.name} ends it.",
            )
        return outputs

    def _inventory(self, outputs: Outputs, say: Say) -> Inventory:
        from infra.access import key_file
        from infra.catalog import catalog
        from infra.hostkeys import read_host_keys

        count = len(outputs.nodes)
        keys = read_host_keys(
            self.stack.cloud,
            [node.id for node in outputs.nodes],
            cache=self.root / ".fleet" / "host-keys" / f"{self.name}.json",
            say=lambda found: say(f"host keys {found} of {count}"),
        )
        private_key = own.usable_key(self.key or key_file(self.root, self.name))
        types = catalog().types
        wants_efa = self.config.wants_efa
        ways = self._proxies(outputs)
        nodes = tuple(
            Node(
                rank=node.rank,
                name=node.name,
                address=node.public_address or node.private_address,
                private_address=node.private_address,
                user=outputs.ssh_user,
                port=outputs.ssh_port,
                key_file=private_key,
                host_key=keys[node.id],
                gpus=types[node.instance_type].gpus if node.instance_type in types else None,
                behind_master=bool(outputs.nodes[0].public_address) and not node.public_address,
                gpu_memory_gib=types[node.instance_type].gpu_memory_gib if node.instance_type in types else None,
                efa=types[node.instance_type].efa if wants_efa and node.instance_type in types else 0,
                instance_type=node.instance_type,
                proxy=ways.get(node.id, ()),
            )
            for node in outputs.nodes
        )
        return Inventory("stack", self.name, nodes, shared_path=outputs.shared_path)

    def _proxies(self, outputs: Outputs) -> dict[str, tuple[str, ...]]:
        """By instance id, where SSH reaches no node by its address."""
        from infra.tunnel import tunnel

        if outputs.ssh_access != "ssm":
            return {}
        cloud, aws = self.stack.cloud, self._tools()
        return {node.id: tunnel(cloud, aws, node.id, outputs.ssh_port) for node in outputs.nodes}


def _shape(config: StackConfig) -> Offer:
    from infra.catalog import catalog

    kind = catalog().types[config.instance_type]
    return Offer(kind.name, config.nodes, kind.gpus, kind.gpu_memory_gib or None, shared=config.shared_files)


class _Counter:
    """The engine's steps as "12 created: node-000"; what is only Pulumi's (components, the stack) isn't counted."""

    VERBS = {"create": "created", "update": "updated", "delete": "deleted", "replace": "replaced", "read": "read"}
    VERBS |= {"keep": "kept", "import": "taken up"}

    def __init__(self, say: Say, missed: Say | None = None) -> None:
        self.say, self.missed = say, missed or say
        self.done: Counter[str] = Counter()

    def on_change(self, change: Change) -> None:
        if change.op == "try" and change.state == "failed":
            self.missed(f"{change.name}: {change.message}")
        elif change.op == "try":
            self.say(f"trying {change.name}")
        elif change.op in ("terminate", "sweep", "repair"):
            self.say(f"{change.op} {change.name} {change.message}".strip())
        elif change.op in self.VERBS and change.state == "done" and change.of_aws:
            self.done[change.op] += 1
            self.say(f"{self.done[change.op]} {self.VERBS[change.op]}: {change.name}")
