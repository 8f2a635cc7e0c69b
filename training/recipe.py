"""The job files that ship, by what they need, and a job file made from one of them.

A recipe is a job file whose head says, a line each, `# TITLE`, `# needs: 2 GPUs of 24 GiB` (or `no GPU`), `# profile:`,
`# data:` and `# ran:`; comments after these are for the reader.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from infra.errors import BadInput
from infra.written import nearest, read_yaml, validate
from training.job import Job, load_job
from training.swift.arguments import table
from training.swift.profiles import PROFILES

FOLDER = Path(__file__).parent / "recipes"
#: As a head says that scripts/test --full runs the recipe, with a tiny model and a few rows in its places.
SMALL = "small, on a CPU"
_NEEDS = re.compile(r"no GPU|(\d+) GPUs? of (\d+) GiB")
_RAN = re.compile(rf"{SMALL}|no: needs .+|on .+")
_HEAD = ("needs", "profile", "data", "ran")


@dataclass(frozen=True)
class Recipe:
    """gpus: in all, over all nodes. gib: of memory that each must have. profile: what the nodes must have installed.

    data: the rows that it takes. ran: where it was run as it stands, SMALL, or "no: needs ..." and what is lacking.
    """

    file: Path
    title: str
    gpus: int
    gib: int
    profile: str
    data: str
    ran: str
    job: Job

    @property
    def name(self) -> str:
        return self.file.stem

    @property
    def command(self) -> str:
        return f"{self.job.trainer} {self.job.command}"

    @property
    def needs(self) -> str:
        return f"{self.gpus} x {self.gib} GiB" if self.gpus else "no GPU"

    def as_json(self) -> dict[str, Any]:
        facts = {key: getattr(self, key) for key in ("name", "title", "command", "gpus", "gib", "profile", "data")}
        return {**facts, "ran": self.ran, "file": str(self.file)}

    def holds(self, word: str) -> bool:
        kind = self.job.args.get("rlhf_type", "")
        there = (self.name, self.title, self.command, self.profile, self.data, kind, str(self.job.args.get("model")))
        return word.lower() in " ".join(there).lower()


@cache
def recipes() -> tuple[Recipe, ...]:
    """All that ship, swift's before megatron's."""
    found = (read_recipe(file) for file in sorted(FOLDER.glob("*.yaml")))
    return tuple(sorted(found, key=lambda one: (one.job.trainer == "megatron", one.name)))


def named(name: str) -> Recipe:
    for one in recipes():
        if one.name == name:
            return one
    guess = nearest(name, [one.name for one in recipes()])
    raise BadInput(
        f"there is no recipe {name!r}", do=f"Did you mean {guess}?" if guess else "fleet recipes lists them."
    )


def matching(words: Sequence[str]) -> list[Recipe]:
    """Those that hold every word, in any case, in their name, title, command, profile, data or model."""
    return [one for one in recipes() if all(one.holds(word) for word in words)]


def read_recipe(file: Path) -> Recipe:
    title, *rest = (line[2:] for line in file.read_text(encoding="utf-8").splitlines() if line.startswith("# "))
    head = dict(line.split(": ", 1) for line in rest[: len(_HEAD)] if ": " in line)
    needs = _NEEDS.fullmatch(head.get("needs", ""))
    said = tuple(head) == _HEAD and head["profile"] in PROFILES and _RAN.fullmatch(head["ran"])
    if not needs or not said:
        raise BadInput(
            "not the head of a recipe", where=str(file), do=f"A title, then {', '.join(_HEAD)}, a line each."
        )
    gpus, gib = (int(number or 0) for number in needs.groups())
    job, _ = load_job(file)
    return Recipe(file, title.rstrip("."), gpus, gib, head["profile"], head["data"], head["ran"], job)


def write(recipe: Recipe, to: Path, changes: Sequence[str] = ()) -> list[Path]:
    """A job file of the recipe with `KEY=VALUE` changes, the recipe's plugins beside it. Overwrites nothing.

    Returns what it wrote. Raises BadInput, with nothing written, where a file is there or the result would be no job.
    """
    text = changed(recipe, changes)
    files = {to: text}
    files |= {to.parent / name: (FOLDER / name).read_text(encoding="utf-8") for name in recipe.job.plugins}
    for file in files:
        if file.exists():
            raise BadInput("is there already", where=str(file), do="Give another name with -o, or move it away.")
    if not to.parent.is_dir():
        raise BadInput("no such folder", where=str(to.parent), do="Make it first.")
    for file, content in files.items():
        with file.open("x", encoding="utf-8") as out:
            out.write(content)
    return list(files)


def changed(recipe: Recipe, changes: Sequence[str]) -> str:
    """The recipe's text with `args.model=a/b` and the like in place, its comments kept. A value is read as YAML."""
    _, lines = read_yaml(recipe.file)
    text = recipe.file.read_text(encoding="utf-8").splitlines()
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals or not re.fullmatch(r"\w+(\.[\w-]+)?", key):
            raise BadInput(f"--set {change} is no change", do="Write --set args.model=owner/name.")
        if "." not in key and key not in Job.model_fields and key in _arguments(recipe):
            raise BadInput(f"--set {change}: {key} is no key of a job", do=f"Did you mean args.{key}?")
        text = _with(text, key, _value(change, value))
    text = _of_another(recipe, text) if any(one.startswith("args.model=") for one in changes) else text
    try:
        data = yaml.safe_load("\n".join(text))
    except yaml.YAMLError as error:
        raise BadInput(f"--set {' '.join(changes)} makes no job", do="Quote what YAML would misread.") from error
    validate(Job, data, file=Path(recipe.name), lines=lines)
    return "\n".join(text) + "\n"


def _arguments(recipe: Recipe) -> Collection[str]:
    """What its command takes, as far as it is known here."""
    if recipe.job.trainer == "torchrun":
        return recipe.job.args
    return {*recipe.job.args, *table().commands[recipe.command]}


def _of_another(recipe: Recipe, text: list[str]) -> list[str]:
    """The head for another model: title and needs are told as the recipe's own."""
    title, needs, *rest = text
    its = f"# recipe {recipe.name}: {title.removeprefix('# ')}"
    model = recipe.job.args.get("model", "")
    told = f"{needs}, with the recipe's {model}; of this model fleet estimate tells" if recipe.gpus else needs
    return [its, told, *rest]


def _value(change: str, value: str) -> str:
    """One line of YAML for what stands after the `=`."""
    try:
        read = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise BadInput(f"--set {change}: the value is no YAML", do="Quote it: --set 'args.system=\"a: b\"'.") from error
    if read is None:
        raise BadInput(f"--set {change} gives no value", do="Write --set args.model=owner/name.")
    if isinstance(read, str):
        return value
    return yaml.safe_dump(read, default_flow_style=True, width=10_000).splitlines()[0]


def _with(text: list[str], key: str, value: str) -> list[str]:
    """Lines with the key's value, and all that was indented below it, replaced; a new key ends its mapping."""
    parent, _, name = key.rpartition(".")
    begin, end = (0, len(text)) if not parent else _block(text, parent, 0, len(text))
    if parent and begin == end:
        return [*text, f"{parent}:", f"  {name}: {value}"]
    indent = "  " if parent else ""
    first, last = _block(text, indent + name, begin, end)
    if first == last:
        first = last = end
    return [*text[:first], f"{indent}{name}: {value}", *text[last:]]


def _block(text: list[str], key: str, begin: int, end: int) -> tuple[int, int]:
    """First line of a key and the line after its last; the same twice where the key is not there."""
    deep = len(key) - len(key.lstrip())
    for first in range(begin, end):
        if text[first].startswith(f"{key}:"):
            last = first + 1
            while last < end and len(text[last]) - len(text[last].lstrip()) > deep:
                last += 1
            return first, last
    return end, end
