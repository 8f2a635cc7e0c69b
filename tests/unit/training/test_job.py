from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from infra.errors import BadInput
from training.job import DISTRIBUTED, MEGATRON_COMMANDS, RANK_VARIABLES, SWIFT_COMMANDS, Job, load_job


def refusal(folder: Path, text: str) -> str:
    file = folder / "job.yaml"
    file.write_text(text)
    with pytest.raises(BadInput) as caught:
        load_job(file)
    return str(caught.value).replace(f"{folder}/", "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("comand: sft\ncommand: sft\n", "job.yaml:1  comand  unknown key. Did you mean command?"),
        ("command: stf\n", "job.yaml:1  command  command 'stf' is unknown to swift: did you mean sft? (given: 'stf')"),
        ("trainer: megatron\ncommand: infer\n", "job.yaml:2  command  command 'infer' is unknown to megatron: known: "),
        ("args: {}\n", "job.yaml  command  is missing. Add it."),
        (
            "trainer: torch\ncommand: sft\n",
            "job.yaml:1  trainer  Input should be 'swift', 'megatron' or 'torchrun' (given: 'torch').",
        ),
        ("command: sft\nargs: [1]\n", "job.yaml:2  args  Input should be a valid dictionary."),
        (
            "command: sft\nargs:\n  lora_rank:\n",
            "job.yaml:2  args  args.lora_rank has no value: give one, or leave the line out.",
        ),
        (
            "command: sft\nenv:\n  NODE_RANK: 1\n  MASTER_ADDR: x\n",
            "job.yaml:2  env  MASTER_ADDR, NODE_RANK is set by fleet for each rank: remove it.",
        ),
        (
            "command: sft\nnproc_per_node: 0\n",
            "job.yaml:2  nproc_per_node  Input should be greater than or equal to 1 (given: 0).",
        ),
    ],
)
def test_a_wrong_job_is_refused_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    assert refusal(tmp_path, text).startswith(said)


@pytest.mark.parametrize("name", RANK_VARIABLES)
def test_what_makes_a_rank_is_never_the_jobs(name: str) -> None:
    with pytest.raises(ValidationError, match=name):
        Job(command="sft", env={name: "1"})


def test_values_of_the_environment_are_text_as_a_shell_would_have_it() -> None:
    job = Job(command="sft", env={"A": 1, "B": True, "C": 0.5, "D": "x y"})  # type: ignore[dict-item]
    assert job.env == {"A": "1", "B": "true", "C": "0.5", "D": "x y"}


def test_arguments_are_ms_swifts_own_and_stay_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text("command: sft\nargs:\n  learning_rate: 1.0e-4\n  dataset: [a/b, c/d#500]\n  anything_new: {x: 1}\n")
    job, lines = load_job(file)
    assert job.args == {"learning_rate": 1e-4, "dataset": ["a/b", "c/d#500"], "anything_new": {"x": 1}}
    assert lines["args.dataset"] == 4


@pytest.mark.parametrize("command", SWIFT_COMMANDS)
def test_every_command_of_swift_is_taken(command: str) -> None:
    assert Job(command=command).distributed is (command in DISTRIBUTED["swift"])


@pytest.mark.parametrize("command", MEGATRON_COMMANDS)
def test_every_command_of_megatron_is_distributed(command: str) -> None:
    assert Job(trainer="megatron", command=command).distributed
