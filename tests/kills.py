"""Commands killed at random points, and what is left when the fleet is ended afterwards: what `scripts/soak` counts.

A round makes a fleet in a sandbox, kills one command of it or two in a row, and ends it: by `down`, by a `sweep` from
a folder where its stack file is gone, or by an `up` that repairs it and a `down`. Then the cloud is asked by tag,
whatever any state file says.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from project import Done, Going, Project

from infra.sweep import look

VICTIMS = ("operator", "engine", "provider")
#: What the command line of a child of `fleet` has in it, if it is the one.
MARKS = {"engine": "bin/pulumi ", "provider": "infra.sandbox.provider "}
STACK = "sandbox"
#: Fleets that differ in what they are made of: nodes in a reservation, one without, spot.
SHAPES = ({"nodes": "2"}, {"nodes": "1"}, {"nodes": "2", "capacity": "spot"})
#: Of a run's kills: most where the fleet is made; what lies behind it must be paid for by getting there.
STAGES = {"up": 10, "bootstrap": 3, "preflight": 2, "launch": 1, "train": 3, "collect": 1, "down": 2}
ENDS = {"down": 6, "sweep": 2, "up, down": 2}
#: That a command is followed by another one that is killed too, before the fleet is ended.
AGAIN = 0.6
#: That many notes an `up` gives, about; where it gives fewer the kill is drawn again.
STEPS = 30


@dataclass(frozen=True)
class Kill:
    """verb: the command; at: "up 12" is after 12 notes of its stage up, "3.2 s" that long after its start; code: how
    the command ended, -9 where it was itself the victim."""

    verb: str
    victim: str
    at: str
    code: int


@dataclass(frozen=True)
class Round:
    """refused: what a command that ends or repairs said when it had to be said twice; left: what stayed."""

    shape: dict[str, str]
    slow_s: float
    kills: tuple[Kill, ...]
    ended_by: str
    refused: tuple[str, ...]
    left: tuple[str, ...]


def summed(rounds: Iterable[Round]) -> dict[str, Any]:
    """The figures of a soak; `twice`: ends and repairs that were not done when they were said once; `bugs`: killed
    commands that ended with the exit code of one."""
    rounds = tuple(rounds)
    kills = [kill for one in rounds for kill in one.kills]
    return {
        "kills": len(kills),
        "by": {verb: Counter(k.victim for k in kills if k.verb == verb) for verb in sorted({k.verb for k in kills})},
        "fleets": len(rounds),
        "ended_by": Counter(one.ended_by for one in rounds),
        "left": sum(len(one.left) for one in rounds),
        "twice": sum(len(one.refused) for one in rounds),
        "bugs": sum(kill.code == 1 for kill in kills),
    }


@dataclass
class Soak:
    """job: what a killed `fleet run` runs; None leaves `run` out."""

    project: Project
    random: random.Random
    job: Path | None = None

    def __post_init__(self) -> None:
        # The same cloud in it, and no fleet: where a sweep looks when the other file is gone.
        self.project.stack("beside")
        self.project.fleet("sandbox", "start", "-s", STACK).ok()
        self._cloud = self.project.cloud(STACK)

    def round(self) -> Round:
        """One fleet, whose commands are killed one after the other, at least one, and its end."""
        shape = self.random.choice(SHAPES)
        self.project.stack(STACK, change={f"swift-fleet:{key}": value for key, value in shape.items()})
        # In AWS every answer takes its time, and a call whose client has died is carried out all the same.
        slow = self.random.choice((0.0, 0.0, 0.1, 0.3))
        verb = self.random.choice(("up", "up", "up", "run") if self.job else ("up",))
        kills: list[Kill] = []
        while not kills or self.random.random() < AGAIN:
            self._rule(slow)
            kills += self._killed(verb)
            verb = self.random.choice(("up", "down", "down"))
        self._rule(0)
        ended_by = draw(self.random, ENDS)
        refused = self._end(ended_by)
        return Round(shape, slow, tuple(kills), ended_by, tuple(refused), self._left())

    def _left(self) -> tuple[str, ...]:
        return tuple(f"{thing.kind} {thing.id}" for answer in look(self._cloud, STACK) for thing in answer.found)

    def _rule(self, slow: float) -> None:
        self.project.control("faults", [{"action": "*", "slow": slow}] if slow else [])

    def _killed(self, verb: str) -> list[Kill]:
        """The command, killed; [] where it was over before its time had come."""
        stage = draw(self.random, STAGES) if verb == "run" else verb
        # Only while a fleet is made or ended there is an engine.
        victim = self.random.choice(VICTIMS) if stage in ("up", "down") else "operator"
        self.project.nodes_set_up(verb == "run" and stage != "up")
        words = [verb, *([self.job] if verb == "run" and self.job else []), "-s", STACK, "--json"]
        going = self.project.going(*words, *(["--yes"] if verb != "down" else []))
        if self.random.random() < 0.2:
            seconds = self.random.uniform(1, 10)
            at, hit = f"{seconds:.1f} s", self._after(going, seconds, victim)
        else:
            # As many as are there: a fleet that was cut off early has little to remove.
            notes = self.random.randint(0, STEPS if stage == "up" else min(STEPS, len(self._left())))
            notes = notes if stage in ("up", "down") else 0
            at, hit = f"{stage} {notes}", self._at(going, stage, notes, victim)
        code = going.ended(within=900).code
        return [Kill(verb, victim, at, code)] if hit else []

    def _after(self, going: Going, seconds: float, victim: str) -> bool:
        time.sleep(seconds)
        return strike(going, victim)

    def _at(self, going: Going, stage: str, notes: int, victim: str) -> bool:
        """After so many notes of the stage, and a little: what is asked of AWS at that moment differs."""
        seen = 0

        def come(event: dict[str, Any]) -> bool:
            nonlocal seen
            seen += event.get("stage") == stage or (stage == "bootstrap" and event.get("event") == "SetupStep")
            return seen > notes

        try:
            going.until(come, within=900)
        except AssertionError:
            return False
        time.sleep(self.random.uniform(0, 0.3 if stage in ("up", "down") else 3))
        return strike(going, victim)

    def _end(self, how: str) -> list[str]:
        """Ends the fleet, each command again where it was refused; what was said then."""
        refused = []
        if how == "up, down":
            refused += self._said(1, "up", "-s", STACK, "--yes")
        if how != "sweep":
            return refused + self._said(2, "down", "-s", STACK)
        (self.project.root / "stacks" / f"Pulumi.{STACK}.yaml").unlink()
        return refused + self._said(2, "sweep", "-s", STACK, "--yes")

    def _said(self, times: int, *words: str) -> list[str]:
        refused = []
        for _ in range(times):
            done: Done = self.project.fleet(*words, within=900)
            if not done.code:
                break
            refused.append(f"{words[0]}: {done.err.strip()[-400:]}")
        return refused


def draw(of: random.Random, weights: dict[str, int]) -> str:
    return of.choices(list(weights), list(weights.values()))[0]


def strike(going: Going, victim: str, within: float = 60) -> bool:
    """SIGKILL to the command itself, or to its engine or provider as soon as there is one; whether it came to that."""
    until = time.monotonic() + within
    with contextlib.suppress(psutil.NoSuchProcess):
        fleet = psutil.Process(going.pid)
        while time.monotonic() < until and fleet.status() != psutil.STATUS_ZOMBIE:
            if victim == "operator":
                fleet.kill()
                return True
            for child in fleet.children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    if MARKS[victim] in " ".join(child.cmdline()):
                        child.kill()
                        return True
            time.sleep(0.02)
    return False
