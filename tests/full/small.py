"""A recipe as a CPU can run it in seconds: a tiny model, a few rows, two steps, and nothing that needs a GPU.

What makes the recipe stays: its command, task, loss, tuner, reward and the like.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from training.recipe import Recipe

ROWS = 24
Row = dict[str, Any]
TRAINING = ("sft", "pt", "rlhf")

#: Need a GPU, or a package that has no CPU build: left out, and their settings with them.
WITHOUT = ("deepspeed", "use_liger_kernel", "packing", "use_vllm", "sleep_level", "offload_model", "offload_optimizer")
STEPS = {
    "max_steps": 2,
    "save_steps": 2,
    "eval_steps": 2,
    "logging_steps": 1,
    "gradient_accumulation_steps": 1,
    "max_length": 512,
    "dataset_num_proc": 1,
    "dataloader_num_workers": 0,
    "use_cpu": True,
    "ddp_backend": "gloo",
    "bf16": False,
    "fp16": False,
    "check_model": False,
    "report_to": "none",
}
#: Of every model.
MODEL = {
    "template": "qwen2_5",
    "torch_dtype": "float32",
    "attn_impl": "sdpa",
}
#: Lengths of what is generated.
SHORT = {"max_completion_length": 16, "response_length": 16, "max_new_tokens": 16, "soft_cache_length": 8}


def small(recipe: Recipe, tiny: Path, folder: Path, more: Mapping[str, Any]) -> Row:
    """The recipe's job on a CPU; its data is written to `folder`, its paths are absolute.

    tiny: what scripts/make-tiny made. more: arguments that this recipe needs beside, over all others.
    """
    args = {name: value for name, value in recipe.job.args.items() if name not in WITHOUT}
    args = {name: value for name, value in args.items() if not name.startswith("vllm_")}
    for name in {"model", "teacher_model", "reward_model"} & set(args):
        args |= {name: str(tiny / "model"), f"{name}_type": "qwen2"}
    if "reward_model" in args:
        args["reward_model"] = str(rewarding(tiny / "model", folder / "reward"))
    args |= MODEL if "model" in args else {}
    args |= STEPS if recipe.job.command in TRAINING else {}
    args |= {name: value for name, value in SHORT.items() if name in args}
    if rows := DATA[recipe.data]:
        file = write(folder / "rows.jsonl", rows(questions(tiny)))
        args |= {name: str(file) for name in ("dataset", "val_dataset") if name in args}
    env = {**recipe.job.env, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    env.pop("PYTORCH_CUDA_ALLOC_CONF", None)
    job = {"trainer": recipe.job.trainer, "command": recipe.job.command, "args": args | dict(more), "env": env}
    return job | ({"plugins": list(recipe.job.plugins)} if recipe.job.plugins else {})


def rewarding(model: Path, to: Path) -> Path:
    """The model with one new score in place of its words."""
    shutil.copytree(model, to, dirs_exist_ok=True)
    config = json.loads((to / "config.json").read_text())
    config |= {"architectures": ["Qwen2ForSequenceClassification"], "num_labels": 1}
    (to / "config.json").write_text(json.dumps(config))
    return to


def jsonl(file: Path) -> list[Row]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def write(file: Path, rows: list[Row]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def benchmarks(folder: Path) -> dict[str, Row]:
    """`eval_dataset_args` for recipe eval: a few rows of each benchmark, as its own data set has them on the hub."""
    choice = {"question": "2 + 2?", "choices": ["3", "4", "5", "6"], "answer": 1, "subject": "abstract_algebra"}
    sets = {"mmlu": ("all", "dev", choice), "gsm8k": ("main", "train", {"question": "2 + 2?", "answer": "4.\n#### 4"})}
    for name, (subset, shots, row) in sets.items():
        files = [{"split": split, "path": f"{split}.jsonl"} for split in (shots, "test")]
        for split in (shots, "test"):
            write(folder / name / f"{split}.jsonl", [row] * 5)
        head = json.dumps({"configs": [{"config_name": subset, "data_files": files}]})
        (folder / name / "README.md").write_text(f"---\n{head}\n---\n")
    only = {"mmlu": {"subset_list": ["abstract_algebra"]}, "gsm8k": {}}
    return {name: {"local_path": str(folder / name), **only[name]} for name in sets}


def questions(tiny: Path) -> list[tuple[str, str]]:
    lines = (tiny / "docstrings.jsonl").read_text().splitlines()[:ROWS]
    return [tuple(turn["content"] for turn in json.loads(line)["messages"]) for line in lines]  # type: ignore[misc]


def asked(question: str) -> list[Row]:
    return [{"role": "user", "content": question}]


def told(question: str, answer: str) -> list[Row]:
    return [*asked(question), {"role": "assistant", "content": answer}]


def conversations(pairs: list[tuple[str, str]]) -> list[Row]:
    return [{"messages": told(*pair)} for pair in pairs]


def prompts(pairs: list[tuple[str, str]]) -> list[Row]:
    return [{"messages": asked(question)} for question, _ in pairs]


def texts(pairs: list[tuple[str, str]]) -> list[Row]:
    return [{"messages": [{"role": "assistant", "content": answer}]} for _, answer in pairs]


def preferences(pairs: list[tuple[str, str]]) -> list[Row]:
    return [{"messages": told(*pair), "rejected_response": "I do not know."} for pair in pairs]


def judged(pairs: list[tuple[str, str]]) -> list[Row]:
    return [{"messages": told(*pair), "label": number % 2 == 0} for number, pair in enumerate(pairs)]


def classes(pairs: list[tuple[str, str]]) -> list[Row]:
    return [{"messages": asked(question), "label": number % 2} for number, (question, _) in enumerate(pairs)]


def sums(pairs: list[tuple[str, str]]) -> list[Row]:
    return [{"messages": asked(f"What is {n} + {n}?"), "solution": f"$\\boxed{{{2 * n}}}$"} for n in range(len(pairs))]


def solved(pairs: list[tuple[str, str]]) -> list[Row]:
    """A wrong answer too is kept only where another is worse: the reward finds what stands in the box."""
    return [{"messages": told(f"What is {n} + {n}?", f"It is $\\boxed{{{2 * n}}}$.")} for n in range(len(pairs))]


def near_and_far(pairs: list[tuple[str, str]]) -> list[Row]:
    return [
        {
            "messages": asked(question),
            "positive_messages": [asked(answer)],
            "negative_messages": [asked(pairs[number - 1][1])],
        }
        for number, (question, answer) in enumerate(pairs)
    ]


def calls(pairs: list[tuple[str, str]]) -> list[Row]:
    tool = {
        "name": "look_up",
        "description": "The docstring of a function.",
        "parameters": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
    }
    return [
        {
            "tools": json.dumps([{"type": "function", "function": tool}]),
            "messages": [
                *asked(question),
                {"role": "tool_call", "content": json.dumps({"name": "look_up", "arguments": {"name": question[10:]}})},
                {"role": "tool_response", "content": json.dumps({"docstring": answer})},
                {"role": "assistant", "content": answer},
            ],
        }
        for question, answer in pairs
    ]


#: What a recipe's head calls its data -> the rows.
DATA: dict[str, Callable[[list[tuple[str, str]]], list[Row]] | None] = {
    "messages, query-response or alpaca rows": conversations,
    "messages with tools, tool_call and tool_response turns": calls,
    "messages with rejected_response": preferences,
    "messages with a label, true or false": judged,
    "messages with a label": classes,
    "messages with a solution column": sums,
    "messages that end in the right answer": solved,
    "messages with positive_messages, negative_messages if there are any": near_and_far,
    "messages with positive_messages and negative_messages": near_and_far,
    "prompts: messages without the answer": prompts,
    "rows of text: messages with one assistant turn": texts,
    "none": None,
    "none: benchmarks by name": None,
}
