from __future__ import annotations

import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from infra.errors import BadInput
from training import inventory
from training.job import Job
from training.launch import SERVERS, args_yaml, command_sh, filled, start_script
from training.launch import _secrets as secrets_of
from training.plan import Offer, Plan
from training.run import Run

AWKWARD = 'it\'s "quoted" $HOME `id` \\n {x} ü\nsecond line'


def plan(**job: object) -> Plan:
    made = Job(command="sft", **job)  # type: ignore[arg-type]
    args = {**made.args, "output_dir": "{base}/runs/{run}/output"}
    return Plan(made, Path("job.yaml"), Offer("g5.xlarge", 2, 1), args, 1)


RUN = Run(
    "run-7f3a", inventory.local(), ("/b", "/b"), "/b/o", "10.0.0.4", 29501, datetime.now(UTC), 2, 1, 2,
    "swift", "sft", (0, 1),
)  # fmt: skip


def test_arguments_are_filled_in_at_every_depth_and_left_alone_elsewhere() -> None:
    args = {"dataset": ["{base}/a.jsonl#5", "~/b", "c~/d"], "lora_rank": 8, "x": {"y": "{run}"}, "z": True}
    assert filled(args, "/b", "/home/u", "run-1") == {
        "dataset": ["/b/a.jsonl#5", "/home/u/b", "c~/d"],
        "lora_rank": 8,
        "x": {"y": "run-1"},
        "z": True,
    }


def test_args_yaml_holds_exactly_the_arguments() -> None:
    args = {"system": AWKWARD, "lora_rank": 8, "target_modules": ["all-linear"], "bf16": False, "deepspeed": "zero3"}
    text = args_yaml(plan(args=args), "/b", "/home/u", "run-7f3a")
    assert yaml.safe_load(text) == {**args, "output_dir": "/b/runs/run-7f3a/output"}
    assert list(yaml.safe_load(text)) == [*args, "output_dir"]


def test_the_command_runs_swift_by_its_full_path_with_the_ranks_five_variables(tmp_path: Path) -> None:
    """DIST-3."""
    swift = tmp_path / "swift-env/bin/swift"
    swift.parent.mkdir(parents=True)
    swift.write_text('#!/bin/sh\npwd; echo "$0" "$@"; env | grep -E "^(N|MASTER|ODD)"\n')
    swift.chmod(0o755)
    rank = tmp_path / "rank 1"
    rank.mkdir()
    (rank / "command.sh").write_text(command_sh(plan(env={"ODD": "a b'$c"}), RUN, 1, str(tmp_path)))
    env = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(["bash", str(rank / "command.sh")], env=env, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[:2] == [str(rank), f"{swift} sft args.yaml"]
    assert set(lines[2:]) == {
        "NNODES=2",
        "NODE_RANK=1",
        "MASTER_ADDR=10.0.0.4",
        "MASTER_PORT=29501",
        "NPROC_PER_NODE=1",
        "ODD=a b'$c",
    }


@pytest.mark.parametrize(
    ("env", "job", "toolkit", "found"),
    [
        ({}, {}, True, "{toolkit}"),
        ({}, {}, False, ""),
        ({"CUDA_HOME": "/node"}, {}, True, "/node"),
        ({"CUDA_HOME": "/node"}, {"CUDA_HOME": "/jobs"}, True, "/jobs"),
    ],
)
def test_deepspeed_finds_nvcc_where_images_have_it_unless_node_or_job_say_otherwise(
    tmp_path: Path, env: dict[str, str], job: dict[str, str], toolkit: bool, found: str
) -> None:
    """NOTE-5, with a folder of its own in the place of /usr/local/cuda."""
    nvcc = tmp_path / "cuda/bin/nvcc"
    swift = tmp_path / "swift-env/bin/swift"
    for file in [nvcc] * toolkit + [swift]:
        file.parent.mkdir(parents=True)
        file.write_text('#!/bin/sh\necho "$CUDA_HOME"\n')
        file.chmod(0o755)
    text = command_sh(plan(env=job), RUN, 1, str(tmp_path)).replace("/usr/local/cuda", str(tmp_path / "cuda"))
    (tmp_path / "command.sh").write_text(text)
    done = subprocess.run(["bash", str(tmp_path / "command.sh")], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == found.format(toolkit=tmp_path / "cuda")


def test_a_secret_is_in_the_script_that_goes_in_on_stdin_and_in_no_file() -> None:
    made = plan(secrets=("WANDB_API_KEY",))
    given = secrets_of(made, {"WANDB_API_KEY": AWKWARD})
    script = start_script(RUN, 0, args_yaml(made, "/b", "/h", RUN.id), command_sh(made, RUN, 0, "/h"), given)
    assert script.count("second line") == 1
    assert "second line" not in command_sh(made, RUN, 0, "/h") and "WANDB" not in RUN.to_json()


def test_a_secret_that_is_not_set_is_named_before_anything_starts() -> None:
    with pytest.raises(BadInput, match="WANDB_API_KEY is not set here"):
        secrets_of(plan(secrets=("WANDB_API_KEY",)), {})


def test_servers_are_not_expected_to_say_that_they_ended() -> None:
    assert "deploy" in SERVERS and "sft" not in SERVERS
    assert replace(RUN, marked=False).marked is False
