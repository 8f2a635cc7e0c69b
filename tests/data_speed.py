"""What `scripts/bench data` measures: a file of conversations, and `datasets.load_dataset` on it in its own process."""

from __future__ import annotations

import json
import random
import subprocess
import tempfile
from pathlib import Path

#: As on the nodes (scripts/locks/base.txt).
DATASETS = "datasets==4.8.4"
#: The seconds of the call alone: what it imports first is no part of them.
LOAD = """
import sys, time, datasets
datasets.disable_progress_bars()
began = time.perf_counter()
datasets.load_dataset("json", data_files=sys.argv[1], split="train", cache_dir=sys.argv[2])
print(time.perf_counter() - began)
"""


def make_file(file: Path, megabytes: int) -> None:
    """One to three questions and answers a row, 1.2 KB of made-up words on average, in changing order."""
    chosen = random.Random(1)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(chosen.choices(letters, k=chosen.randint(2, 9))) for _ in range(5000)]

    def text(least: int, most: int) -> str:
        return " ".join(chosen.choices(words, k=chosen.randint(least, most)))

    rows = []
    for _ in range(4000):
        turns = [{"role": "system", "content": text(8, 16)}] if chosen.random() < 0.3 else []
        for _ in range(chosen.choice([1, 1, 1, 2, 3])):
            turns += [{"role": "user", "content": text(10, 60)}, {"role": "assistant", "content": text(20, 200)}]
        rows.append(json.dumps({"messages": turns}).encode() + b"\n")
    with file.open("wb") as write:
        while write.tell() < megabytes * 1_000_000:
            chosen.shuffle(rows)
            write.writelines(rows)


def load_seconds(file: Path) -> float:
    with tempfile.TemporaryDirectory(dir=file.parent) as cache:
        command = ["uv", "run", "--quiet", "--no-project", "--with", DATASETS, "python", "-c", LOAD, str(file), cache]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"load_dataset: {done.stderr[-500:]}")
    return float(done.stdout)
