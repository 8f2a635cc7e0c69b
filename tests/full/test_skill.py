"""SKILL.md, followed to the letter: its commands, in their order, on the sandbox, with the tiny model and data."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from project import REPO, Project

pytestmark = pytest.mark.full

BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def commands(tiny: Path) -> list[list[str]]:
    """Every line of its fenced blocks, with what the person would say here for where, model and data."""
    here = {
        "dev": "sandbox",
        "sft-lora": "tiny-sft-lora",
        "Qwen/Qwen3-8B": f"{tiny}/model",
        "train.jsonl": f"{tiny}/docstrings.jsonl",
    }
    text = "".join(BLOCK.findall((REPO / "SKILL.md").read_text()))
    lines = [shlex.split(line.partition(" > ")[0]) for line in text.splitlines() if line.strip()]
    return [[here.get(word, word) for word in line] for line in lines]


def test_row_skill_1_an_agent_goes_the_whole_way_by_its_commands_alone(project: Project, tiny: Path) -> None:
    """SKILL-1: no prompt, no terminal, JSON throughout."""
    said: dict[str, list[object]] = {}
    for _, *words in commands(tiny):
        done = project.fleet(*words, within=500).ok()
        lines = [json.loads(line) for line in done.out.splitlines()]
        assert lines, words
        said.setdefault(words[0], []).extend(lines)
    check, receipt = said["check"][0], said["receipt"][0]
    assert isinstance(check, dict) and check["ok"] is True
    events = [one["event"] for one in said["run"] if isinstance(one, dict)]
    assert events[-1] == "Receipt" and {"Stage", "Step", "Checkpoint", "Outcome"} <= set(events)
    assert isinstance(receipt, dict) and receipt["outcome"]["state"] == "succeeded"
    assert project.left() == []
