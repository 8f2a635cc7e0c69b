"""A run, and what happens in it: the values that launch, watch, collect and the receipt pass on.

`Run` is stored on every node as `~/fleet/runs/<id>/run.json`, so that any machine with the key can attach.
Every event is a frozen dataclass with a time; `to_json` and `from_json` carry all of them through a record.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from infra.errors import BadInput
from training.inventory import Inventory, Node
from training.job import SERVERS

State = Literal["succeeded", "failed", "stopped", "lost", "running"]


@dataclass(frozen=True)
class Run:
    """One launch of a job on an inventory.

    base: of each rank, the folder that `{base}` stood for: the shared one, or the node's own `~/fleet`.
    output_dir: on the first of its ranks, absolute; ms-swift makes its `v0-...` folder there.
    ranks: those that have a process, as the fleet counts them; a command that is not distributed runs on one alone.
    step, then: its name in its job, and the names of the steps that come after the first, each a run of its own.
    marked: whether success shows in the log (not where LOG_LEVEL hides it, nor for a server).
    shared: whether the output is on a folder that all nodes see as one.
    together: whether its ranks are several that train as one.
    leaves_up: whether the fleet stays when the run is over. before: seconds that each stage before took.
    """

    id: str
    inventory: Inventory
    base: tuple[str, ...]
    output_dir: str
    master_addr: str
    master_port: int
    started_at: datetime
    nnodes: int
    nproc_per_node: int
    world_size: int
    trainer: str
    command: str
    ranks: tuple[int, ...]
    marked: bool = True
    shared: bool = False
    usd_per_hour: float | None = None
    most_usd: float | None = None
    ends_at: datetime | None = None
    leaves_up: bool = True
    before: Mapping[str, float] = field(default_factory=dict)
    step: str = "train"
    then: tuple[str, ...] = ()
    together: bool = True

    @property
    def serves(self) -> bool:
        """Whether its ranks are endpoints: each listens, and none ends by itself."""
        return self.trainer == "swift" and self.command in SERVERS

    @property
    def master(self) -> int:
        """The rank that writes the output, and where the others meet."""
        return self.ranks[0]

    def to_json(self) -> str:
        return json.dumps(_plain(self), indent=1)

    @staticmethod
    def from_json(text: str) -> Run:
        """The run in a `run.json`, or BadInput where it isn't one."""
        try:
            data = json.loads(text)
            inventory = data.pop("inventory")
            nodes = tuple(
                Node(
                    **{
                        **n,
                        "key_file": Path(n["key_file"]) if n["key_file"] else None,
                        "proxy": tuple(n.get("proxy", ())),
                    }
                )
                for n in inventory.pop("nodes")
            )
            return Run(**_built(Run, data), inventory=Inventory(nodes=nodes, **inventory))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise BadInput(
                f"run.json is not a run of this version: {error}", do="Use the fleet that made it."
            ) from error


def new_run_id() -> str:
    return f"run-{secrets.token_hex(2)}"


def now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class SetupStep:
    """A step of scripts/setup.sh on one node: state is running, ok, failed or skipped."""

    at: datetime
    rank: int
    step: str
    state: str
    detail: str = ""


@dataclass(frozen=True)
class RankStarted:
    at: datetime
    rank: int


@dataclass(frozen=True)
class LogLines:
    """New lines of one rank's log; `first` is the number of the first as an editor counts."""

    at: datetime
    rank: int
    first: int
    lines: tuple[str, ...]


@dataclass(frozen=True)
class World:
    """How many processes there are, by their own word; together: whether they are several that train as one."""

    at: datetime
    size: int
    together: bool = True


@dataclass(frozen=True)
class Step:
    """Training's own report; `remaining_seconds` and `memory_gib` are None where ms-swift printed none."""

    at: datetime
    rank: int
    step: int
    max_steps: int
    loss: float
    grad_norm: float | None
    learning_rate: float | None
    seconds_per_step: float | None
    remaining_seconds: int | None
    memory_gib: float | None


@dataclass(frozen=True)
class Checkpoint:
    at: datetime
    path: str


@dataclass(frozen=True)
class RankEnded:
    at: datetime
    rank: int
    exit_code: int


@dataclass(frozen=True)
class RankLost:
    """A node that answered no probe since `since`."""

    at: datetime
    rank: int
    since: datetime
    why: str


@dataclass(frozen=True)
class Endpoint:
    """What a rank serves. url: as the fleet's other nodes reach it; listens: as its own node does; health: the path
    that answered."""

    at: datetime
    run: str
    rank: int
    url: str
    listens: str
    health: str = ""


@dataclass(frozen=True)
class Note:
    at: datetime
    text: str
    rank: int | None = None


@dataclass(frozen=True)
class Cause:
    """The first line that says why, in a rank's log.

    rule, reason, fix: of `training.swift.diagnose`, where it knows the line; else "".
    """

    rank: int
    line: int
    text: str
    rule: str = ""
    reason: str = ""
    fix: str = ""

    def advice(self) -> list[str]:
        """What is known of it, for people: why, and what to change."""
        return [f"cause: {self.reason} ({self.rule})", f"do: {self.fix}"] if self.rule else []


@dataclass(frozen=True)
class Outcome:
    """How a run ended, the last event of a watch; or, from a watcher that looked once, how it stands.

    first_failed_rank: by time, clocks corrected, and never a rank that only felt another's end.
    exit_codes: rank -> code, None where none was left behind.
    run_dir: the `v0-...` folder on rank 0, or output_dir where none was made; "" where nothing was said.
    together: whether its processes train as one.
    serves: of each rank that is a server, where it says that it listens (`http://0.0.0.0:8001`).
    """

    at: datetime
    state: State
    started_at: datetime
    ended_at: datetime
    exit_codes: Mapping[int, int | None]
    first_failed_rank: int | None = None
    cause: Cause | None = None
    why: str = ""
    world_size: int | None = None
    step: int = 0
    max_steps: int = 0
    first_loss: float | None = None
    last_loss: float | None = None
    checkpoints: tuple[str, ...] = ()
    last_checkpoint: str = ""
    best_checkpoint: str = ""
    run_dir: str = ""
    serves: Mapping[int, str] = field(default_factory=dict)
    together: bool = True


Event = (
    SetupStep | RankStarted | LogLines | World | Step | Checkpoint | RankEnded | RankLost | Endpoint | Note | Outcome
)
_EVENTS: dict[str, type] = {kind.__name__: kind for kind in get_args(Event)}


def to_json(event: Event) -> dict[str, Any]:
    """The event as plain JSON values, its type under "event"."""
    return {"event": type(event).__name__, **_plain(event)}


def from_json(data: Mapping[str, Any]) -> Event:
    kind = _EVENTS.get(str(data.get("event")))
    if kind is None:
        raise BadInput(f"no event is called {data.get('event')!r}", do="Use the fleet that recorded it.")
    built: Event = kind(**_built(kind, {k: v for k, v in data.items() if k != "event"}))
    return built


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {key: _plain(one) for key, one in asdict(value).items()}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value


def _built(kind: type, data: Mapping[str, Any]) -> dict[str, Any]:
    """JSON values as the field types of `kind`; keys it does not know are left out (a newer version's)."""
    built: dict[str, Any] = {}
    for one in fields(kind):
        if one.name not in data:
            continue
        value, declared = data[one.name], str(one.type)
        if value is not None and "datetime" in declared:
            value = datetime.fromisoformat(value)
        elif declared.startswith("tuple"):
            value = tuple(value)
        elif declared.startswith("Mapping[int"):
            value = {int(key): code for key, code in value.items()}
        elif value is not None and declared.startswith("Cause"):
            value = Cause(**value)
        built[one.name] = value
    return built
