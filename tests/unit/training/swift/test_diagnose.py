from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.errors import BadInput
from training.swift.diagnose import CHUNK, OTHER, Diagnosis, diagnose, read_log
from training.swift.troubles import rules

LOGS = Path(__file__).parent / "logs"
STEP = "{{'loss': '{loss}', 'grad_norm': '1.2', 'learning_rate': '1e-05', 'global_step/max_steps': '{step}/9'}}"
OOM = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 3.05 GiB. GPU 0 has a total capacity of 79.15 GiB"
STILL = "{'loss': '0', 'grad_norm': '0', 'reward': '1', 'reward_std': '0', 'frac_reward_zero_std': '1'}"


def traceback(frame: str, error: str) -> str:
    return f'Traceback (most recent call last):\n  File "{frame}", line 9, in forward\n    call()\n{error}'


def found(text: str) -> list[str]:
    return [one.rule for one in read_log([text.encode() + b"\n"])]


#: Each row of the list of known failures, by a line of a log that shows it.
SHOWN = [
    ("TROUBLE-1", "{'loss': 'nan', 'grad_norm': 'nan', 'learning_rate': '1e-05'}"),
    ("TROUBLE-1", "{'loss': 0.0, 'grad_norm': nan, 'learning_rate': 1e-05}"),
    ("TROUBLE-1", "ValueError: Attempting to unscale FP16 gradients."),
    ("TROUBLE-2", "Error while creating shared memory segment /dev/shm/nccl-Xy12Ab (size 9637888)"),
    ("TROUBLE-2", "RuntimeError: DataLoader worker (pid 77) is killed by signal: Bus error. It is possible ..."),
    ("TROUBLE-3", "RuntimeError: Expected to mark a variable ready only once. This error is caused by"),
    ("TROUBLE-4", "RuntimeError: Expected to have finished reduction in the prior iteration"),
    ("TROUBLE-5", "Map (num_proc=1):   3%|3         | 30000/1000000 [05:12<2:48:01, 96.2 examples/s]"),
    ("TROUBLE-6", "ValueError: The train_dataset does not implement __len__, max_steps has to be specified."),
    ("TROUBLE-7", "ValueError: DeepSpeed is not compatible with `device_map`. n_gpu: 4, local_world_size: 1."),
    ("TROUBLE-8", "RuntimeError: only Tensors of floating point dtype can require gradients"),
    ("TROUBLE-9", "model_info: ModelInfo(model_type='qwen2', torch_dtype=torch.float32, max_model_len=32768)"),
    ("TROUBLE-10", "ip-10-0-0-5:12:45 [0] NCCL INFO NET/Socket : Using [0]ens5:10.0.0.5<0>"),
    ("TROUBLE-11", "    assert LongLoRAModelType.LLAMA in args.model_type"),
    ("TROUBLE-12", STILL),
    ("TROUBLE-13", "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`"),
    ("TROUBLE-13", traceback("/x/vllm/v1/worker/gpu_worker.py", OOM)),
    ("TROUBLE-14", "AssertionError: async generate require vllm_mode == server, please deploy"),
    ("TROUBLE-16", "ValueError: The decoder prompt (length 9000) is longer than the maximum model length of 8192."),
    ("TROUBLE-17", "RuntimeError: No CUDA GPUs are available"),
    ("TROUBLE-18", traceback("/x/transformers/models/qwen2_5_vl/modeling.py:vision_tower", OOM)),
    ("TROUBLE-19", traceback("/x/transformers/models/qwen2/modeling_qwen2.py", OOM)),
    ("TROUBLE-20", "UserWarning: Merge LORA module to 4-bit linear may get different generations"),
    ("TROUBLE-21", "openai.APITimeoutError: Request timed out."),
    ("TROUBLE-22", "LookupError: Resource \x1b[93mpunkt_tab\x1b[0m not found."),
    ("TROUBLE-23", "deepspeed.ops.op_builder.builder.MissingCUDAException: CUDA_HOME does not exist"),
    ("TROUBLE-24", "The fast path is not available because one of the required library is not installed."),
    ("TROUBLE-25", "ModuleNotFoundError: No module named 'qwen_vl_utils'"),
    ("TROUBLE-26", traceback("/x/modeling_q.py", "TypeError: mm_token_type_ids: 'NoneType' is not subscriptable")),
    ("TROUBLE-27", "ImportError: cannot import name 'Qwen3_5Model' from 'transformers' (/x/__init__.py)"),
    ("TROUBLE-28", "ImportError: /x/flash_attn_2_cuda.cpython-311.so: undefined symbol: _ZN3c105ErrorC2E"),
    ("TROUBLE-29", "ModuleNotFoundError: No module named 'vllm'"),
    ("TROUBLE-30", "ValueError: No dot product attention backend is available for the provided inputs."),
    ("TROUBLE-31", "common/fused_attn.h:12:10: fatal error: cudnn.h: No such file or directory"),
    ("TROUBLE-32", "[WARNING:swift] apex is not installed, so gradient accumulation fusion is disabled."),
    ("TROUBLE-33", "run sh: `python /x/swift/cli/_megatron/sft.py`\n[rank3]:[E1124 00:00:00 ProcessGroupNCCL.cpp:632] "
     "[Rank 3] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=12, Timeout(ms)=600000) ran for 600027"),
    ("TROUBLE-34", "ssh: connect to host 198.51.100.5 port 22: Connection refused"),
    ("TROUBLE-35", "ubuntu@198.51.100.5: Permission denied (publickey)."),
    ("TROUBLE-36", "torch.distributed.elastic.multiprocessing.api.SignalException: Process 13 got signal: 1"),
    ("TROUBLE-37", "torch.distributed.DistStoreError: Timed out after 901 seconds waiting for clients. 1/2 joined."),
    ("TROUBLE-38", "bash: line 1: swift: command not found"),
    ("TROUBLE-39", "scp: /home/ubuntu/x: No space left on device"),
    ("HOST-MEMORY", "  traceback : Signal 9 (SIGKILL) received by PID 16363"),
    ("DEEPSPEED-MISSING", "PackageNotFoundError: The 'deepspeed' distribution was not found and is required"),
    ("MSGSPEC-MISSING", "[rank0]: ModuleNotFoundError: No module named 'msgspec'"),
    ("EVALSCOPE", "AttributeError: type object 'EvalType' has no attribute 'SERVICE'"),
    ("PPO-WRAPPED", "[rank0]: AttributeError: 'DistributedDataParallel' object has no attribute 'policy'"),
    ("MEGATRON-BATCH", "ValueError: global batch size (16) is not divisible by micro batch size (3) times 4"),
    ("STOPPED", "torch.distributed.elastic.multiprocessing.api.SignalException: Process 3 got signal: 15"),
    ("DATA-DROPPED", "[INFO:swift] Dataset filtered, origin length: 12, filtered dataset length: 11"),
    ("DATA-EMPTY", "ZeroDivisionError: integer division or modulo by zero"),
    ("DATA-EMPTY", traceback("/x/swift/dataset/utils.py", "TypeError: 'NoneType' object is not iterable")),
    ("DATA-FILE", "datasets.exceptions.DatasetGenerationError: An error occurred while generating the dataset"),
    ("ZERO-SHARDS", "AssertionError: The following zero checkpoints paths are missing: [1]"),
    ("DISK-FULL", "OSError: [Errno 28] No space left on device"),
    ("TEMPLATE", "ValueError: Failed to automatically match `template_type` based on `/m`."),
    ("SYMLINK", "TypeError: symlink: src should be string, bytes or os.PathLike, not NoneType"),
    (
        "RESUME-CPU",
        "[rank1]: RuntimeError: don't know how to restore data location of torch.storage.UntypedStorage "
        "(tagged with cpu:0)",
    ),
    ("HUB", "huggingface_hub.errors.GatedRepoError: 401 Client Error."),
    ("PORT-TAKEN", "torch.distributed.DistNetworkError: The server socket has failed to listen, name: EADDRINUSE"),
    ("KTO-BATCH", "ValueError: Batch size is 1 (too small). KTO will not work properly"),
    (OTHER, traceback("/x/y.py", "ValueError: something that nobody foresaw")),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "text"), SHOWN, ids=[f"{rule}-{number}" for number, (rule, _) in enumerate(SHOWN)])
def test_a_known_failure_is_named_by_the_line_that_shows_it(rule: str, text: str) -> None:
    (one,) = read_log([text.encode()])
    assert one.rule == rule and one.cause and one.fix
    assert one.text in re.sub(r"\x1b\[\d+m", "", text).split("\n")[one.line - 1]


def test_every_rule_is_shown_but_trouble_15_which_no_line_tells() -> None:
    silent = {one.id for one in rules() if not one.signs}
    assert silent == {"TROUBLE-15"}
    assert {one.id for one in rules()} - silent == {rule for rule, _ in SHOWN} - {OTHER}
    assert {f"TROUBLE-{number}" for number in range(1, 40)} <= {one.id for one in rules()}


def test_every_sign_begins_with_two_plain_characters_so_that_one_expression_can_hold_all() -> None:
    for one in rules():
        for text in (*one.signs, *filter(None, (one.when, one.unless))):
            assert re.match(r"[\w /'\[-]{2}", text) and not re.match(r".[|*+?]|..[*+?{]", text), text
            assert re.compile(text).groups == len(re.compile(text).groupindex), text


@pytest.mark.parametrize("name", ["ok_single.log", "ok_two_nodes.log", "ok_transformers_4_57.log", "graceful.log"])
def test_healthy_logs_show_nothing(name: str) -> None:
    assert diagnose([LOGS / name]) == []


@pytest.mark.parametrize(
    "text",
    [
        # what it prints of itself on a CPU, on one node, and of answers that were alike in one step
        "ModelInfo(torch_dtype=torch.float32)\n[INFO:swift] model_kwargs: {'device_map': 'cpu'}",
        "rank: 0, local_rank: 0, world_size: 8, local_world_size: 8\nx [0] NCCL INFO NET/Socket : Using [0]ens5",
        STILL + "\n" + STEP.format(loss=0.4, step=2),
        # got over: training went on, or ended well
        traceback("/x/urllib3.py", "ConnectionError: HTTPSConnectionPool") + "\n" + STEP.format(loss=1, step=1),
        traceback("/x/y.py", "ValueError: boom") + "\n[INFO:swift] End time of running main: 2026-11-23 23:05:11",
        "Map:  50%|5 | 500/1000 [00:12<00:12, 41 examples/s]",
        "[rank1]:[W1123 23:09:30.49 reducer.cpp:1545] Warning: find_unused_parameters=True was specified in DDP",
        "[INFO:swift] Dataset filtered, origin length: 12, filtered dataset length: 12",
        "",
    ],
)  # fmt: skip
def test_what_a_healthy_run_may_say_shows_nothing(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("data_all_bad.log", ["DATA-EMPTY", "DATA-DROPPED"]),
        ("data_one_bad_row.log", ["DATA-DROPPED"]),
        ("rank_killed_one_node.log", ["HOST-MEMORY"]),
        ("rank_killed_other_node.log", ["TROUBLE-37"]),
        ("rendezvous_timeout.log", ["TROUBLE-37"]),
        ("sigterm.log", ["TROUBLE-37", "STOPPED"]),
    ],
)
def test_logs_of_real_failures_show_their_cause_first(name: str, expected: list[str]) -> None:
    assert [one.rule for one in diagnose([LOGS / name])] == expected


def test_a_rank_that_died_of_anothers_end_is_no_cause(tmp_path: Path) -> None:
    echo, cause = tmp_path / "rank-0.log", tmp_path / "rank-1.log"
    echo.write_bytes((LOGS / "rank_killed_other_node.log").read_bytes())
    cause.write_text(f"{STEP.format(loss=1, step=1)}\n{OOM}\n")
    assert [(one.rule, one.rank, one.line) for one in diagnose([echo, cause])] == [("TROUBLE-19", 1, 2)]
    assert [one.rule for one in diagnose([echo])] == ["TROUBLE-37"]


def test_of_several_causes_the_first_by_the_logs_own_times_leads(tmp_path: Path) -> None:
    report = "E1124 10:00:0{}.123 77 torch/distributed/elastic/multiprocessing/api.py:1002] failed (exitcode: 1)"
    for rank, second in ((0, 7), (1, 3), (2, 5)):
        (tmp_path / f"rank-{rank}.log").write_text(f"{OOM}\n{report.format(second)}\n")
    assert [one.rank for one in diagnose(sorted(tmp_path.glob("*.log")))] == [1, 2, 0]


def test_one_log_gives_five_keys_and_several_give_two_more(tmp_path: Path) -> None:
    one = Diagnosis("TROUBLE-19", 3, "text", "cause", "fix", file="rank-1.log", rank=1)
    assert list(one.as_json()) == ["rule", "line", "text", "cause", "fix"]
    assert one.as_json(several=True)["rank"] == 1


def test_the_command_says_line_cause_and_fix_to_a_person_and_a_list_to_a_program(tmp_path: Path) -> None:
    log = tmp_path / "rank-0.log"
    log.write_text(f"fine\n{OOM}\n")

    def said(*words: object) -> str:
        command = [sys.executable, "-c", "from training.cli import main; main()", "diagnose", *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    (only,) = json.loads(said(log, "--json"))
    assert (only["rule"], only["line"], set(only)) == ("TROUBLE-19", 2, {"rule", "line", "text", "cause", "fix"})
    (tmp_path / "logs").mkdir()
    run = log.rename(tmp_path / "logs/rank-0.log")
    (tmp_path / "logs/rank-1.log").write_text("all is well\n")
    assert f"{run}:2" in said(tmp_path) and f"{run.with_stem('rank-1')}: nothing found" in said(tmp_path)
    log = run
    assert "per_device_train_batch_size 1" in said(log)


def test_a_log_that_is_not_there_is_one_line() -> None:
    with pytest.raises(BadInput, match="can't be read: No such file"):
        diagnose([Path("/nowhere/rank-0.log")])


def test_lines_are_counted_alike_however_the_bytes_arrive() -> None:
    data = b"Train:   1%|  | 1/6 [00:01<00:03, 1.6it/s]\r" * 9 + b"\n\n" + OOM.encode() + b"\nend"
    whole = read_log([data])
    assert [one.line for one in whole] == [3]
    assert all(read_log([data[:cut], data[cut:]]) == whole for cut in range(1, len(data), 7))


def test_memory_stays_constant_on_a_line_without_an_end() -> None:
    assert [one.rule for one in read_log([b"x" * CHUNK, b"y" * CHUNK, b"\n" + OOM.encode()])] == ["TROUBLE-19"]


@given(st.binary(max_size=400), st.integers(0, 400))
def test_no_bytes_are_too_odd(data: bytes, cut: int) -> None:
    read_log([data[:cut], data[cut:], OOM.encode()])
