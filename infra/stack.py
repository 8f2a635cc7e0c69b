"""Acting on a named stack: up, preview, outputs, destroy, through Pulumi's Automation API with the program inline.

The same stack as for plain `pulumi` commands typed in the folder: same project file, same program, same state.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import tenacity

from infra import ends, shunned, sweep
from infra.changed import losses, refused
from infra.cloud import Cloud, cloud_of
from infra.errors import BadInput, CloudRefused, Held
from infra.kinds import MACHINES, Kind
from infra.kinds_files import FILES
from infra.left import what_is_left
from infra.outputs import Outputs, parse_outputs
from infra.place import Attempt, Place, no_room, nowhere
from infra.quotas import shortage
from infra.schedules import parse_at
from infra.session import (
    Change,
    OnChange,
    Session,
    cut_off,
    events,
    half_made,
    ids,
    ignore,
    made_any,
    never_whole,
    outputs_in,
)
from infra.settings import Profile
from infra.stack_files import load_stack, stack_file
from infra.sweep import Teardown

#: What may be there before an `up`, beside shared files, which go by their id.
NODES = "nodes"
SCHEDULE = "aws:scheduler/schedule:Schedule"


class FleetStack:
    """One stack of the project in `root`. environment: what the engine needs beside this process's own.

    `budget`: USD of the run that the fleet is made for, beside the stack's own; `profile`: that run's. Who makes it
    sets them before `up`.
    """

    budget: float | None = None
    profile: Profile | None = None

    def __init__(self, root: Path, name: str, environment: Mapping[str, str] | None = None) -> None:
        self.root, self.name = root, name
        self.config, rest = load_stack(root, name)
        self.cloud: Cloud = cloud_of(rest, source=str(stack_file(root, name)))
        self._place: Place | None = None
        self._leaving: frozenset[str] = frozenset()  # ids of the nodes that `replace` is at
        self._session = Session(root, name, self._program, environment or {})
        #: The places that had no room, in the order in which the last `up` asked for them.
        self.walk: list[Attempt] = []

    def _program(self) -> None:
        from infra.program import program

        program(self.root, self._place, self.budget, self.profile, self._leaving)

    def preview(self, on_change: OnChange = ignore) -> dict[str, int]:
        """How many resources an `up` would create, update, replace, delete or leave: {"create": 24}."""
        result = self._session.run(lambda stack: stack.preview(on_event=events(on_change), color="never"))
        return {str(getattr(op, "value", op)): n for op, n in result.change_summary.items()}

    def up(self, on_change: OnChange = ignore) -> Outputs:
        """Creates or updates the fleet. What an interrupted `up` left behind is repaired first.

        A fleet that isn't there yet goes where AWS has room for all of it: each place in turn, cheapest first, the
        one before ended whole.

        Raises CloudRefused with AWS's own words, and with what is left: as `undone` says.
        """
        recorded = self._state()
        repaired = self._repair(recorded, on_change)
        up = _fleet_in(self._state() if cut_off(recorded) else recorded)
        refresh = repaired or self._renew(up, on_change) or half_made(recorded)
        self.walk, self._before = [], self._what_is_there(up)
        places = self._places(up)
        # A quota is of the type, whatever the zone: asked once.
        short = cache(lambda instance_type: shortage(self.cloud, self.config, instance_type, self.config.nodes))
        last: CloudRefused | None = None
        left = ""
        for place in places:
            self._place = place
            if len(places) > 1:
                on_change(Change("try", "infra:Place", str(place), "started"))
            if place and (why := short(place.instance_type)):
                self._missed(Attempt(place, "VcpuLimitExceeded", why), on_change)
                continue
            try:
                return self._up(on_change, refresh)
            except CloudRefused as error:
                code = no_room(error.what) if place else None
                if place is None or code is None:
                    said = error if place else refused(self.cloud, self.config, self.name, error)
                    raise self.undone(said, on_change) from error
                last = error
            self._missed(Attempt(place, code, said=last.what), on_change)
            left = self._end_made(last, on_change)
            refresh = bool(self._before)  # its files stay, and so does what the engine knows of them
        raise nowhere(self.walk, last, left, f"stack {self.name}")

    def undone(self, error: CloudRefused, on_change: OnChange = ignore) -> CloudRefused:
        """The refusal of the last `up`, with what is left of it: docs/decisions/010. Ends what that `up` made, but no
        nodes that were there before, nor shared files that a fleet has trained on."""
        left = self._end_made(error, on_change)
        return CloudRefused(error.what, where=error.where, do=f"{left} {error.do}".strip())

    def _end_made(self, error: CloudRefused, on_change: OnChange) -> str:
        """What is left, in words. Raises CloudRefused where it can't be ended."""
        try:
            recorded = self._state()
            if self._before == NODES:
                return f"What was there stays: fleet status -s {self.name}; fleet up -s {self.name} tries again."
            if not made_any(recorded):
                return "Nothing was made."
            if cut_off(recorded):
                return f"fleet up -s {self.name} goes on, fleet down -s {self.name} leaves nothing."
            if self._before:
                self._sweep(on_change, MACHINES)
                return f"No node is left, its files {self._before} stay until fleet down -s {self.name}."
            return f"Nothing is left of it{self.destroy(on_change).exception}."
        except CloudRefused as again:
            raise CloudRefused(
                f"{error.what}; and ending what was made failed too: {again.what}",
                where=error.where or again.where,
                do=f"{what_is_left(self.cloud, self.name, self.config.nodes)}: fleet down -s {self.name} ends all.",
            ) from again

    def _what_is_there(self, up: Outputs | None) -> str:
        """Before an `up`: nodes, the id of the shared files of a fleet whose nodes have ended, or "" for nothing."""
        if sweep.live(self.cloud, self.name):
            return NODES
        if not (up and up.file_system_id) or self.config.file_system_id or self.config.retain:
            return ""
        # The state may tell of a fleet that a sweep from elsewhere has ended.
        there = {thing.id for answer in sweep.look(self.cloud, self.name, FILES) for thing in answer.found}
        return up.file_system_id if up.file_system_id in there else ""

    def replace(self, ranks: Collection[int], on_change: OnChange = ignore) -> Outputs:
        """Other machines for these ranks, under their names. The old ones are fenced first: terminated, and seen to be.

        Raises BadInput, and nothing is done, where there is no such rank or the new machines would be refused;
        CloudRefused where AWS has no room for them: the others stay.
        """
        up, now = self.outputs(), datetime.now(UTC)
        there = {node.rank: node for node in up.nodes} if up else {}
        if unknown := [rank for rank in ranks if rank not in there]:
            known = f"It has ranks 0 to {len(there) - 1}." if up else f"fleet up -s {self.name}"
            raise BadInput(f"there is no rank {unknown[0]}", where=f"stack {self.name}", do=known)
        memory = self.root / ".fleet" / "bad-hosts.json"
        at = now.isoformat(timespec="seconds")
        old = [there[rank] for rank in ranks]
        names = {one.name for one in old}
        waits = Change("try", "infra:Place", ", ".join(sorted(names)), "failed", "EC2 has not given its place back yet")
        patient = tenacity.Retrying(
            # It takes several minutes (User Guide, launch instances using Capacity Blocks).
            retry=tenacity.retry_if_exception(lambda error: "ReservationCapacityExceeded" in str(error)),
            wait=tenacity.wait_fixed(15),
            stop=tenacity.stop_after_delay(600),
            before_sleep=lambda state: on_change(waits),
            reraise=True,
        )
        self._leaving = frozenset(one.id for one in old)
        try:
            changes: list[Change] = []
            self.preview(changes.append)
            losses(changes, tuple(there.values())).but(ranks).refuse(self.name)
            for one in old:
                on_change(Change("terminate", "ec2:Instance", f"{one.name} {one.id}", "started"))
                bad = shunned.Bad(one.id, one.zone, shunned.network_node(self.cloud, one.id), at)
                shunned.remember(memory, bad, now)
            sweep.fence(self.cloud, [one.id for one in old])
            made = patient(self.up, on_change)
        finally:
            self._leaving = frozenset()
        recent = shunned.recent(memory, now)
        for new in (node for node in made.nodes if node.name in names):
            if said := shunned.again(recent, new.id, shunned.network_node(self.cloud, new.id)):
                on_change(Change("repair", "ec2:Instance", new.name, "started", said))
        return made

    def shrink(self, on_change: OnChange = ignore) -> None:
        """Fences the nodes beyond the stack file's number of them, so that no reservation is cut under a node."""
        up = self.outputs()
        beyond = [node for node in up.nodes if node.number >= self.config.nodes] if up else []
        for node in beyond:
            on_change(Change("terminate", "ec2:Instance", f"{node.name} {node.id}", "started"))
        if beyond:
            sweep.fence(self.cloud, [node.id for node in beyond])

    def _missed(self, attempt: Attempt, on_change: OnChange) -> None:
        self.walk.append(attempt)
        on_change(Change("try", "infra:Place", str(attempt.place), "failed", attempt.answer))

    def _up(self, on_change: OnChange, refresh: bool) -> Outputs:
        parallel = max(16, self.config.nodes + 8)
        result = self._session.run(
            lambda stack: stack.up(
                on_event=events(on_change), color="never", parallel=parallel, refresh=refresh or None
            )
        )
        return parse_outputs({key: value.value for key, value in result.outputs.items()})

    def _places(self, up: Outputs | None) -> tuple[Place | None, ...]:
        """Where to try in turn; (None,) leaves it to the program: the fleet is up, or its room is bought already."""
        from infra.site import choices, subnet_of

        if self.config.capacity_reservation_id or self._before == NODES:
            return (None,)
        # FSx for Lustre lives in its subnet, which another zone would replace.
        if up and self._before and self.config.makes_lustre:
            return (Place(up.nodes[0].instance_type, up.nodes[0].zone),)
        return choices(self.cloud, self.config, subnet_of(self.cloud, self.config))

    def outputs(self) -> Outputs | None:
        """The fleet that is up, or None. Nothing is asked of AWS."""
        return _fleet_in(self._state())

    def destroy(self, on_change: OnChange = ignore) -> Teardown:
        """Ends everything of the stack: nodes first, then what the state knows, then what only a tag tells of.

        Raises CloudRefused where something is left or where the cloud could not be asked.
        """
        # Terminate first, clean up after: money stops before the engine takes its locks and reads its state.
        running = sweep.live(self.cloud, self.name)
        if running:
            on_change(Change("terminate", "ec2:Instance", f"{len(running)} node{'s' * (len(running) > 1)}", "started"))
            sweep.terminate(self.cloud, list(running))
        removed = 0

        def count(change: Change) -> None:
            nonlocal removed
            removed += change.op == "delete" and change.state == "done" and change.of_aws
            on_change(change)

        # What a killed engine or provider made, and nobody recorded, stands in the way of what was: a VPC with a second
        # gateway is refused for minutes, a role with a policy for ever.
        recorded, swept = self._state(), []
        if cut_off(recorded) or never_whole(recorded):
            swept = self._sweep(on_change)
        if cut_off(recorded):
            # Destroy alone would keep the half-done operations in the state, for the next up to stumble over.
            self._session.run(lambda stack: stack.refresh(clear_pending_creates=True, color="never"))
        try:
            self._delete(count)
        except Held:
            raise
        except CloudRefused:
            swept += self._sweep(on_change)
            self._delete(count)
        swept += self._sweep(on_change)
        unknown = tuple(thing for thing in swept if thing.id not in ids(recorded))
        done = Teardown(removed, unknown, tuple(sweep.look(self.cloud, self.name)))
        if done.left:
            names = ", ".join(f"{thing.kind} {thing.id}" for thing in done.left)
            raise CloudRefused(f"still there: {names}", where=f"stack {self.name}")
        return done

    def _delete(self, on_change: OnChange) -> None:
        if self._session.exists():
            self._session.run(lambda s: s.destroy(on_event=events(on_change), color="never", parallel=64))

    def _sweep(self, on_change: OnChange, kinds: Sequence[Kind] = sweep.KINDS) -> list[sweep.Thing]:
        """Ends what carries the stack's tag."""

        say = lambda one: on_change(Change("sweep", one.kind, one.id, "started", one.detail))  # noqa: E731
        return sweep.end(self.cloud, self.name, say, kinds)

    def take_up_ends(self) -> None:
        """After `fleet extend`: the engine's state learns the new times. Else an `up` that changes the schedule for
        another reason would send the old time along."""
        moved = (SCHEDULE, "aws:ec2/instance:Instance")
        urns = [one["urn"] for one in self._state().get("resources", []) if one["type"] in moved]
        if urns:
            self._session.run(lambda stack: stack.refresh(target=urns, color="never"))

    def last_end(self) -> datetime | None:
        """The time of its AWS schedule as the engine has recorded it, UTC; None where it knows of none."""
        held = (one for one in self._state().get("resources", []) if one["type"] == SCHEDULE)
        return max(filter(None, (parse_at(one["outputs"]["scheduleExpression"]) for one in held)), default=None)

    def _state(self) -> dict[str, Any]:
        """What the engine has recorded: {} where there is no stack."""
        if not self._session.exists():
            return {}
        return dict(self._session.run(lambda stack: stack.export_stack()).deployment or {})

    def _repair(self, recorded: Mapping[str, Any], on_change: OnChange) -> bool:
        """After an engine that was killed: forget its half-done operations, end what they made. True if it was.

        A fleet that never came up whole is ended instead, so that the next begins with nothing: what was made and
        not recorded (a gateway, a rule, a mount target) would be refused when it is made again.
        """
        if not cut_off(recorded):
            return False
        on_change(Change("repair", "pulumi:Stack", self.name, "started", "an earlier up was cut off"))
        if never_whole(recorded):
            self.destroy(on_change)
            return False
        self._session.run(lambda stack: stack.refresh(clear_pending_creates=True, color="never"))
        known = ids(self._state())
        strays = [t for answer in sweep.look(self.cloud, self.name) for t in answer.found if t.id not in known]
        nodes = [stray.id for stray in strays if stray.kind == "instance"]
        for one in nodes:
            on_change(Change("sweep", "instance", one, "started", "created, never recorded"))
        if nodes:
            sweep.terminate(self.cloud, nodes)
        return True

    def _renew(self, up: Outputs | None, on_change: OnChange) -> bool:
        """Where AWS ended nodes that the state still counts on (lease, schedule, spot) it must be read anew: True.

        If it ended all of them, their schedules go too: the new nodes' deadline counts from now. Not in a `replace`.
        """
        alive = sweep.live(self.cloud, self.name) if up else {}
        gone = [node.id for node in up.nodes if node.id not in alive] if up else []
        if gone and not alive and not self._leaving:
            on_change(Change("repair", "pulumi:Stack", self.name, "started", "its nodes have ended: a new deadline"))
            sweep.end_schedules(self.cloud, self.name)
        return bool(gone) or self._lost_an_end(alive, on_change)

    def _lost_an_end(self, alive: Collection[str], on_change: OnChange) -> bool:
        """Whether AWS no longer holds an end of the nodes that run: the engine must read anew to make it again. A
        schedule whose time is past never fires, and an update leaves its time alone: it is taken away."""
        held = ends.held_by_aws(self.cloud, self.name, set(alive), self.config.idle_minutes) if alive else ()
        missing = [end for end in held if end.state == "missing"]
        if any(end.is_past for end in missing):
            said = "the time of its AWS schedule is past: it gets another, a lifetime from now"
            on_change(Change("repair", "scheduler:Schedule", self.name, "started", said))
            sweep.end_schedules(self.cloud, self.name)
        return bool(missing)


def _fleet_in(recorded: Mapping[str, Any]) -> Outputs | None:
    told = outputs_in(recorded)
    return parse_outputs(told) if "nodes" in told else None
