"""`{train.best_checkpoint}`: what one step of a job takes from an earlier one, by name. Pure.

A step that trains leaves its checkpoints, one that serves its address, all others their output. A reference may stand
in any value of `args` and `env`; one that is the whole of a value may become several (a server on each of two ranks).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from training.job import Job

REFERENCE = re.compile(r"\{([a-z][a-z0-9-]*)\.([a-z_]+)\}")

#: What a step leaves, and a value of its kind for those who look at arguments before there is one.
CHECKPOINTS = {"best_checkpoint": "/checkpoint-1", "last_checkpoint": "/checkpoint-1", "output": "/output"}
ADDRESS = {"url": "http://10.0.0.4:8000", "host": "10.0.0.4", "port": 8000}
OUTPUT = {"output": "/output"}


def leaves(step: Job) -> Mapping[str, Any]:
    """The keys by which later steps may name what it leaves, each with an example."""
    if step.serves:
        return ADDRESS
    return CHECKPOINTS if step.trains else OUTPUT


def named_in(value: Any) -> Iterator[tuple[str, str]]:
    """Each (step, key) that a value refers to, at any depth."""
    if isinstance(value, str):
        yield from ((found[1], found[2]) for found in REFERENCE.finditer(value))
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from named_in(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from named_in(one)


def uses(step: Job) -> set[str]:
    """The names of the steps that it takes something from."""
    return {name for name, _ in named_in([step.args, step.env])}


def filled_in(value: Any, given: Callable[[str, str], Any]) -> Any:
    """A value with its references replaced by `given(step, key)`; None leaves one as it stands."""
    if isinstance(value, str):
        if (whole := REFERENCE.fullmatch(value)) and (one := given(whole[1], whole[2])) is not None:
            return one
        return REFERENCE.sub(lambda found: _text(given(found[1], found[2]), found[0]), value)
    if isinstance(value, Mapping):
        return {key: filled_in(one, given) for key, one in value.items()}
    if not isinstance(value, list | tuple):
        return value
    parts = [(one, filled_in(one, given)) for one in value]
    return [each for was, one in parts for each in (one if isinstance(one, list) and isinstance(was, str) else [one])]


def _text(value: Any, otherwise: str) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return otherwise if value is None else str(value)


def with_examples(steps: Sequence[Job], values: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments as they will be by their kinds, for checks that look at values."""
    known = {step.called: leaves(step) for step in steps}
    return dict(filled_in(values, lambda name, key: known.get(name, {}).get(key)))
