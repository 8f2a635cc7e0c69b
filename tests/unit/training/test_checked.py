"""Job files as a person writes them, looked at whole."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rule_cases import BASE

from infra.errors import BadInput
from training.checked import check_file, checked_plan
from training.cli.check import args as args_command
from training.cli.check import check as check_command
from training.findings import Finding
from training.plan import Offer
from training.swift.plugins import read_plugins
from training.swift.profiles import folder

SFT = {"model": "Qwen/Qwen3-8B", "dataset": "swift/self-cognition#500", "max_length": 2048}
REWARD = "from swift.rewards import ORM, orms\nclass Mine(ORM): pass\norms['mine'] = Mine\n"


def written(folder: Path, job: dict[str, Any]) -> Path:
    file = folder / "job.yaml"
    file.write_text(yaml.safe_dump(job, sort_keys=False))
    return file


def said(folder: Path, job: dict[str, Any], offer: Offer | None = None) -> list[Finding]:
    return list(check_file(written(folder, job), offer).findings)


def test_keys_arguments_and_paths_are_found_wrong_together(tmp_path: Path) -> None:
    found = said(tmp_path, {"comand": "sft", "command": "sft", "args": {**SFT, "lora_rnak": 8, "lora_alpha": None}})
    assert [(one.where, one.fix) for one in found if one.severity == "error"] == [
        ("args", ""),
        ("comand", "Did you mean command?"),
        ("args.lora_rnak", "Did you mean lora_rank?"),
    ]
    found = said(tmp_path, {"command": "sft", "args": {**SFT, "dataset": "no.jsonl", "lora_rnak": 8}})
    assert [one.where for one in found] == ["args.dataset", "args.lora_rnak"]


def test_a_plan_is_refused_with_every_error_and_its_line(tmp_path: Path) -> None:
    file = written(tmp_path, {"command": "sft", "args": {**SFT, "lora_rnak": 8, "train_type": "lora"}})
    with pytest.raises(BadInput) as refused:
        checked_plan(file, Offer("g6.12xlarge", 1, 4))
    lines = str(refused.value).replace(f"{tmp_path}/", "").splitlines()
    assert lines == [
        "job.yaml:6  args.lora_rnak  swift sft has no argument lora_rnak. Did you mean lora_rank?",
        "job.yaml:7  args.train_type  swift sft has no argument train_type. It is tuner_type now.",
    ]


def test_a_plan_keeps_what_is_no_error(tmp_path: Path) -> None:
    file = written(tmp_path, {"command": "sft", "args": {**SFT, "tuner_type": "full", "lora_rank": 8}})
    plan, _ = checked_plan(file, Offer("g6.12xlarge", 1, 4))
    assert [one.severity for one in plan.findings] == ["warning"]


def test_a_fleet_makes_the_batch_arithmetic_known(tmp_path: Path) -> None:
    job = {
        "trainer": "megatron", "command": "sft",
        "args": {**SFT, "num_train_epochs": 1, "tensor_model_parallel_size": 3},
    }  # fmt: skip
    assert said(tmp_path, job) == []
    (one,) = said(tmp_path, job, Offer("p5.48xlarge", 1, 8))
    assert one.what == "8 processes are not a multiple of TP x PP x CP = 3: the rest is DP"


@pytest.mark.parametrize("command", ["deploy", "export", "rollout", "sample", "merge-lora"])
def test_a_command_of_one_process_is_not_judged_by_the_fleets_number(tmp_path: Path, command: str) -> None:
    args = {
        "deploy": {"model": "a/b", "infer_backend": "vllm", "vllm_tensor_parallel_size": 8},
        "rollout": {"model": "a/b", "vllm_tensor_parallel_size": 8},
        "export": {"adapters": "a/b", "merge_lora": True},
        "merge-lora": {"adapters": "a/b"},
        "sample": {"model": "a/b", "dataset": "c/d"},
    }[command]
    assert said(tmp_path, {"command": command, "args": args}, Offer("p5.48xlarge", 4, 8)) == []


def test_the_release_that_a_job_is_written_for_is_held_against_the_nodes(tmp_path: Path) -> None:
    assert said(tmp_path, {"command": "sft", "ms_swift": "4.6.0", "args": SFT}) == []
    found = said(tmp_path, {"command": "sft", "ms_swift": "4.7.0", "args": {**SFT, "lora_rnak": 8}})
    assert [(one.severity, one.where) for one in found] == [("warning", "ms_swift"), ("note", "ms_swift")]
    (one,) = said(tmp_path, {"command": "sft", "ms_swift": "latest", "args": SFT})
    assert (one.severity, one.where) == ("error", "ms_swift")


def test_a_profile_that_lacks_what_the_arguments_ask_for_is_told_before_the_launch(tmp_path: Path) -> None:
    """A GRPO job that named base was set up, launched, and failed at its import of math_verify."""
    grpo = {"command": "rlhf", "args": {**SFT, "rlhf_type": "grpo", "reward_funcs": "accuracy", "use_vllm": False}}
    assert not [one for one in said(tmp_path, grpo) if one.where == "profile"]
    told = {}
    for profile in ("base", "train", "vllm"):
        found = [one for one in said(tmp_path, grpo | {"profile": profile}) if one.where == "profile"]
        told[profile] = [(one.severity, one.what) for one in found]
    lacks = "reward_funcs accuracy asks for train, the job says"
    assert told == {"base": [("warning", f"{lacks} base")], "train": [], "vllm": [("note", f"{lacks} vllm")]}


#: Row -> the command that a job can be.
COMMANDS = {
    "CLI-1": "swift sft", "CLI-2": "swift pt", "CLI-3": "swift rlhf", "CLI-4": "swift infer", "CLI-5": "swift deploy",
    "CLI-6": "swift eval", "CLI-7": "swift export", "CLI-8": "swift sample", "CLI-9": "swift merge-lora",
    "CLI-10": "swift app", "CLI-11": "swift web-ui", "CLI-12": "swift rollout", "CLI-13": "megatron sft",
    "CLI-14": "megatron pt", "CLI-15": "megatron rlhf", "CLI-16": "megatron export",
}  # fmt: skip


def test_no_command_is_left_out() -> None:
    assert sorted(COMMANDS.values()) == sorted(BASE)


@pytest.mark.parametrize(("row", "command"), COMMANDS.items())
def test_every_command_can_be_a_job_run_by_its_whole_path(tmp_path: Path, row: str, command: str) -> None:
    """And CLI-18: by the environment's own path."""
    trainer, name = command.split()
    args = {key: ["a/b"] if "dataset" in key and "eval" not in key else value for key, value in BASE[command].items()}
    args |= {key: ["/shared/checkpoint-10"] for key in args if key == "adapters"}
    job = {"trainer": trainer, "command": name, "args": args}
    plan, _ = checked_plan(written(tmp_path, job), Offer("g6.12xlarge", 2, 4, shared=True))
    assert plan.command_line(0).endswith(f"{folder(plan.job.needed.profile)}/bin/{trainer} {name} args.yaml")
    assert plan.world_size == (8 if trainer == "megatron" or name in ("sft", "pt", "rlhf", "infer") else 1)


# torchrun ------------------------------------------------------------------------------------------------------------


def test_a_script_of_ones_own_is_sent_and_started_by_torchrun(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("print('hello')\n")
    job = {"trainer": "torchrun", "command": "train.py", "args": {"lr": 1e-4, "tags": ["a b", "c"], "output_dir": "o"}}
    plan, _ = checked_plan(written(tmp_path, job), Offer("g6.12xlarge", 2, 4))
    (sent,) = plan.shipments
    assert (sent.arg, sent.local) == ("command", tmp_path / "train.py")
    assert plan.world_size == 8
    assert plan.command_line(1, "10.0.0.4").endswith(
        "~/swift-env/bin/torchrun --nnodes 2 --node_rank 1 --master_addr 10.0.0.4 --master_port 29500 "
        f"--nproc_per_node 4 {{base}}/{sent.there} --lr 0.0001 --tags 'a b' c --output_dir {{base}}/runs/{{run}}/o"
    )


def test_a_script_that_is_missing_or_is_none_is_refused(tmp_path: Path) -> None:
    assert "does not exist here" in said(tmp_path, {"trainer": "torchrun", "command": "train.py"})[0].what
    assert "is no Python script" in said(tmp_path, {"trainer": "torchrun", "command": "sft"})[0].what


# Plugins (PLUG-1) ----------------------------------------------------------------------------------------------------

GRPO = {**SFT, "rlhf_type": "grpo", "reward_funcs": ["mine", "format"]}


def test_a_plugin_is_sent_given_to_ms_swift_and_its_reward_known(tmp_path: Path) -> None:
    (tmp_path / "reward.py").write_text(REWARD)
    job = {"command": "rlhf", "plugins": ["reward.py"], "args": GRPO}
    plan, _ = checked_plan(written(tmp_path, job), Offer("g6.12xlarge", 1, 8))
    (sent,) = plan.shipments
    assert plan.args["external_plugins"] == [f"{{base}}/{sent.there}"]
    assert plan.findings == ()


def test_a_reward_that_nobody_registers_is_said(tmp_path: Path) -> None:
    (one,) = said(tmp_path, {"command": "rlhf", "args": GRPO})
    assert (one.severity, one.what) == ("error", "reward_funcs 'mine' is not among ms-swift's own")
    (tmp_path / "reward.py").write_text(REWARD.replace("'mine'", "'yours'"))
    (one,) = said(tmp_path, {"command": "rlhf", "plugins": ["reward.py"], "args": GRPO})
    assert (one.severity, one.what) == ("warning", "reward_funcs 'mine' is not among ms-swift's own nor the plugins'")


def test_a_plugin_that_is_no_python_or_is_missing_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "reward.py").write_text("def broken(:\n")
    found = said(tmp_path, {"command": "rlhf", "plugins": ["reward.py", "gone.py"], "args": GRPO})
    errors = [one.what for one in found if one.severity == "error"]
    assert any("gone.py does not exist here" in one for one in errors)
    assert any("reward.py:1 is no Python" in one for one in errors)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("orms['a'] = A", {"reward_funcs": {"a"}}),
        ("swift.rewards.orms['a'] = A", {"reward_funcs": {"a"}}),
        ("orms.update({'a': A, 'b': B})", {"reward_funcs": {"a", "b"}}),
        ("callbacks_map['cb'] = C\nmulti_turns['t'] = T", {"callbacks": {"cb"}, "multi_turn_scheduler": {"t"}}),
        ("orms[name] = A", {}),
    ],
)
def test_what_a_plugin_registers_is_read_from_its_text(text: str, names: dict[str, set[str]]) -> None:
    plugins, found = read_plugins({"p.py": text.encode()})
    assert plugins.names == names
    assert found == []
    assert plugins.may_hold("reward_funcs", "anything") == (text == "orms[name] = A")


# The commands --------------------------------------------------------------------------------------------------------


def test_fleet_check_gives_what_programs_rely_on(tmp_path: Path) -> None:
    file = written(tmp_path, {"command": "sft", "args": {**SFT, "lora_rnak": 8}})
    done = CliRunner().invoke(check_command, [str(file), "--json"], standalone_mode=False)
    assert done.return_value == 2
    assert json.loads(done.output) == {
        "ok": False,
        "profiles": ["base"],
        "findings": [
            {
                "severity": "error",
                "where": "args.lora_rnak",
                "what": "swift sft has no argument lora_rnak",
                "fix": "Did you mean lora_rank?",
            }
        ],
    }
    file = written(tmp_path, {"command": "sft", "args": SFT})
    done = CliRunner().invoke(check_command, [str(file), "--json"], standalone_mode=False)
    assert (done.return_value, json.loads(done.output)) == (0, {"ok": True, "profiles": ["base"], "findings": []})


def test_fleet_check_imports_neither_torch_nor_ms_swift_nor_a_cloud(tmp_path: Path) -> None:
    file = written(tmp_path, {"command": "sft", "args": SFT})
    script = (
        "import sys; from training.cli import _run; code = _run(['check', sys.argv[1]]); "
        "heavy = {'torch', 'swift', 'transformers', 'boto3', 'pulumi', 'fabric', 'rich'} & set(sys.modules); "
        "sys.exit(f'{code} {heavy}' if code or heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(file)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{file}  ok\nprofile  base\n"


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["sft", "lora_rank"], "lora_rank  int"),
        (["megatron", "sft", "tensor_model"], "tensor_model_parallel_size  int"),
        (["swift", "merge_lora", "adapters"], "adapters  str, several"),
        (["rlhf", "grpo", "rloo"], "advantage_estimator  grpo | rloo"),
    ],
)
def test_fleet_args_shows_and_searches(words: list[str], shown: str) -> None:
    done = CliRunner().invoke(args_command, words, standalone_mode=False)
    assert done.output.startswith(shown)


def test_fleet_args_answers_a_program_and_a_slip() -> None:
    done = CliRunner().invoke(args_command, ["sft", "lora_rank", "--json"], standalone_mode=False)
    (one,) = json.loads(done.output)
    assert (one["name"], one["type"], one["default"]) == ("lora_rank", "int", 8)
    for words, do in (["sfft"], "Did you mean sft?"), (["sft", "lora_rnak"], "lora_rank"), (["sft", "rlhf_typ"], ""):
        error = CliRunner().invoke(args_command, words, standalone_mode=False).exception
        assert isinstance(error, BadInput) and do in error.do


# Anything at all -----------------------------------------------------------------------------------------------------

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.dates()
MAPS = st.dictionaries(st.text(), SCALARS, max_size=3)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3)) | MAPS
NAMES = st.sampled_from(
    ["model", "dataset", "packing", "lora_rank", "tuner_type", "deepspeed", "rlhf_type", "num_generations", "ENV",
     "external_plugins", "adapters", "model_type", "streaming", "loss_type", "target_modules", "warmup_ratio",
     "vllm_server_host", "custom_register_path",
     "tensor_model_parallel_size", "global_batch_size", "micro_batch_size", "system", "columns"],
) | st.text(max_size=12)  # fmt: skip
JOBS = st.fixed_dictionaries(
    {},
    optional={
        "trainer": st.sampled_from(["swift", "megatron", "torchrun"]) | VALUES,
        "command": st.sampled_from(["sft", "rlhf", "export", "infer", "deploy", "train.py"]) | VALUES,
        "args": st.dictionaries(NAMES, VALUES, max_size=8) | VALUES,
        "env": st.dictionaries(st.text(), SCALARS, max_size=2) | VALUES,
        "plugins": st.lists(st.text(max_size=8), max_size=2) | VALUES,
        "ms_swift": VALUES,
        "nproc_per_node": VALUES,
    },
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(job=JOBS | VALUES, gpus=st.sampled_from([None, 0, 1, 8]))
def test_no_job_file_brings_a_traceback(tmp_path: Path, job: Any, gpus: int | None) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(yaml.safe_dump(job), encoding="utf-8")
    checked = check_file(file, None if gpus is None else Offer("x", 2, gpus))
    assert checked.job or any(one.severity == "error" for one in checked.findings)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(content=st.binary(max_size=60))
def test_no_bytes_bring_a_traceback(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "job.yaml"
    file.write_bytes(content)
    assert check_file(file).findings


@pytest.mark.parametrize("content", [b"\x00\x01", b"\xff\xfe a", b"a: [", b"- 1", b"", b"command: sft\n" * 2])
def test_what_is_no_job_is_one_clear_line(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "job.yaml"
    file.write_bytes(content)
    (one,) = check_file(file).findings
    assert one.severity == "error"
    assert "\n" not in one.what
