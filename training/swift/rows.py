"""How long training rows are, in tokens: what decides activations wherever rows are not packed to one length."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

import yaml

STATISTICS = Path(__file__).with_name("rows.yaml")
#: Tokens a row of a data set that nobody measured: the middle one of the table's means, and of its deviations.
UNKNOWN_MEAN, UNKNOWN_DEVIATION = 250, 123
#: Bytes of UTF-8 to a token: English has about 4 in current vocabularies, Chinese 3 to a sign and less than one token.
BYTES_A_TOKEN = 3.5
#: What is read of a data file: its head stands for it.
SAMPLE_BYTES = 4 << 20


@dataclass(frozen=True)
class Rows:
    """mean, deviation, longest: tokens a row. media: pictures come on top. known: measured, not assumed."""

    mean: float
    deviation: float
    longest: int
    media: bool = False
    known: bool = True

    def cut(self, length: int) -> Rows:
        """With no row longer than `length`: ms-swift deletes or cuts them."""
        return replace(self, mean=min(self.mean, length), longest=min(self.longest, length))

    def with_pictures(self, tokens: int) -> Rows:
        """With one picture of at most `tokens` a row, where there are any."""
        return replace(self, mean=self.mean + tokens, longest=self.longest + tokens) if self.media else self

    def batch(self, rows: int) -> int:
        """Tokens of the largest batch of `rows` rows laid end to end: three deviations above the mean, but at least
        the longest row among rows of the mean."""
        likely = rows * self.mean + 3 * self.deviation * rows**0.5
        return round(min(rows * self.longest, max(likely, self.longest + (rows - 1) * self.mean)))


def rows_of(args: Mapping[str, Any], length: int, folder: Path | None = None, *, prompts: bool = False) -> Rows:
    """The rows of a job's `dataset`: files in `folder` by their head, sets of the hub by ms-swift's own statistics.

    Where one is neither, its longest row is taken to be as long as `length` allows, and the others as most sets' are.
    prompts: answers are generated, so only what stands before them counts (GRPO, PPO).
    """
    found = [_rows(one, folder, prompts) for one in _listed(args.get("dataset", args.get("cached_dataset")))]
    parts = [one for one in found if one]
    if not found or len(parts) < len(found):
        return Rows(min(UNKNOWN_MEAN, length), UNKNOWN_DEVIATION, length, known=False)
    return Rows(
        mean=fmean(one.mean for one in parts),
        deviation=max(one.deviation for one in parts),
        longest=max(one.longest for one in parts),
        media=any(one.media for one in parts),
    )


def _rows(dataset: str, folder: Path | None, prompts: bool) -> Rows | None:
    file = (folder / Path(dataset.split("#")[0]).expanduser()) if folder else None
    if file and file.suffix == ".jsonl" and file.is_file():
        return _measured(file, file.stat().st_mtime_ns)
    return _table(prompts).get(_hub_id(dataset))


@lru_cache(maxsize=32)
def _measured(file: Path, changed: int) -> Rows | None:
    """From the bytes of its lines: keys and quotes count too, so that it errs on the long side."""
    with file.open("rb") as read:
        lines = [line for line in read.read(SAMPLE_BYTES).splitlines() if line.strip()]
    if not lines:
        return None
    tokens = [len(line) / BYTES_A_TOKEN for line in lines]
    media = any(b"<image>" in line or b'"images"' in line or b'"videos"' in line for line in lines[:100])
    return Rows(fmean(tokens), pstdev(tokens), round(max(tokens)), media)


@cache
def _table(prompts: bool) -> dict[str, Rows]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    read = yaml.load(STATISTICS.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506  a safe one
    usable = {name: row for name, row in read.items() if prompts or "prompts" not in row}
    return {name.lower(): Rows(row[0], row[1], row[2], media="media" in row) for name, row in usable.items()}


def _listed(given: Any) -> Iterable[str]:
    return map(str, given) if isinstance(given, list | tuple) else [str(given)] if given else []


def _hub_id(dataset: str) -> str:
    """`hf::owner/name:subset#500` -> `owner/name`."""
    return dataset.split("::")[-1].split("#")[0].split(":")[0].lower()
