"""Guides and skill file hold what one comes for; scripts/docs keeps their tables and commands true."""

from __future__ import annotations

import re
import subprocess

import pytest
from project import REPO

from training.recipe import recipes

#: Row -> the guide, and what must be found there.
GUIDES = {
    "GUIDE-1": ("training.md", ("sft-lora", "qlora", "sft-full", "sft-zero3", "sft-fsdp2", "multimodal", "embedding")),
    "GUIDE-2": ("grpo.md", ("grpo-colocate", "grpo-server", "dapo", "sapo", "reward.py", "vllm_mode")),
    "GUIDE-3": ("rlhf.md", ("dpo", "kto", "ppo", "gkd", "cpo", "simpo", "rm")),
    "GUIDE-4": ("serving.md", ("infer", "deploy", "awq", "gptq", "eval", "sample", "merge")),
    "GUIDE-5": ("data.md", ("dpo", "kto", "grpo", "embedding", "seq_cls", "reranker", "tool_call", "images")),
    "GUIDE-6": ("megatron.md", ("check_megatron_env.py", "TP", "PP", "EP", "SP", "CP", "megatron-moe", "mcore_model")),
    "GUIDE-7": ("troubleshooting.md", ("TROUBLE-1", "TROUBLE-19", "TROUBLE-39")),
}


@pytest.mark.parametrize("row", GUIDES)
def test_a_guide_has_its_subjects(row: str) -> None:
    file, subjects = GUIDES[row]
    text = (REPO / "docs" / file).read_text()
    assert [one for one in subjects if not re.search(rf"(?<![\w-]){re.escape(one)}(?![\w-])", text)] == []


def test_every_recipe_is_in_one_guide() -> None:
    found = [
        name
        for file in ("training", "grpo", "rlhf", "serving", "megatron")
        for name in re.findall(
            r"^\| \[([\w-]+)\]\(\.\./training/recipes/", (REPO / f"docs/{file}.md").read_text(), re.M
        )
    ]
    assert sorted(found) == sorted(one.name for one in recipes())


def test_a_command_or_a_job_that_is_none_is_found() -> None:
    """What keeps the guides true does find what is untrue."""
    script = (
        "import runpy, sys; sys.argv = ['docs']; docs = runpy.run_path('scripts/docs')\n"
        "text = '```sh\\nfleet chek job.yaml\\n```\\n`fleet down --al`\\n'\n"
        "text += '```yaml\\ncommand: sft\\nargs:\\n  lora_rnak: 8\\n```\\n'\n"
        "print([line for line, _ in docs['no_commands'](text)], [line for line, _ in docs['no_jobs'](text)])"
    )
    python = REPO / ".venv" / "bin" / "python"
    said = subprocess.run([python, "-c", script], cwd=REPO, capture_output=True, text=True, check=True).stdout
    assert said.strip().startswith("[2, 4] [6")
