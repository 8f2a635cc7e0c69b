"""Where a job runs, as `fleet new` was told: `.fleet/chosen.yaml`, so that no later command need be told again."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from infra.written import load
from training.inventory import Source


class Chosen(BaseModel):
    """source and name of a fleet, as a `Request` has them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Source
    name: str


class ChosenFile(BaseModel):
    """A job file's absolute path -> its fleet."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    jobs: dict[str, Chosen] = {}


def chosen_for(root: Path, job: Path) -> Chosen | None:
    return _read(root).jobs.get(str(job.resolve()))


def choose(root: Path, job: Path, source: Source, name: str) -> None:
    import yaml

    made = ChosenFile(jobs={**_read(root).jobs, str(job.resolve()): Chosen(source=source, name=name)})
    file = _file(root)
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_suffix(".new")
    new.write_text(yaml.safe_dump(made.model_dump(mode="json"), sort_keys=False))
    new.replace(file)


def _file(root: Path) -> Path:
    return root / ".fleet" / "chosen.yaml"


def _read(root: Path) -> ChosenFile:
    file = _file(root)
    return load(file, ChosenFile) if file.exists() else ChosenFile()
