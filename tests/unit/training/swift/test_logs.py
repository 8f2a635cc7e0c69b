from __future__ import annotations

from pathlib import Path

import pytest

from training.swift.logs import EndLine, ErrorLine, Lines, LogState, RunDirLine, StepLine, read_line, seconds

LOGS = Path(__file__).parent / "logs"


def state(name: str, chunk: int = 1 << 20) -> LogState:
    data, lines, said = (LOGS / name).read_bytes(), Lines(), LogState()
    for begin in range(0, len(data), chunk):
        for number, text in lines.feed(data[begin : begin + chunk]):
            said.take(number, text)
    for number, text in lines.flush():
        said.take(number, text)
    return said


@pytest.mark.parametrize("chunk", [1, 7, 4096])
def test_a_finished_run_is_read_alike_however_its_bytes_arrive(chunk: int) -> None:
    said = state("ok_single.log", chunk)
    assert said == state("ok_single.log")
    assert (said.world_size, said.step, said.max_steps) == (1, 6, 6)
    assert (said.first_loss, said.last_loss) == (6.441, 6.413)
    assert said.run_dir.endswith("/out1/v0-20261123-230440")
    assert [path.rsplit("/", 1)[1] for path in said.checkpoints] == ["checkpoint-3", "checkpoint-6"]
    assert said.last_checkpoint == said.best_checkpoint == said.checkpoints[-1]
    assert said.ended_well and said.why() is None


def test_numbers_of_transformers_4_are_read_as_the_strings_of_5_are() -> None:
    said = state("ok_transformers_4_57.log")
    assert (said.first_loss, said.last_loss, said.step) == (6.43135834, 6.41432858, 3)
    assert said.last_checkpoint.endswith("/checkpoint-3") and said.best_checkpoint == ""


def test_two_nodes_say_that_they_train_together() -> None:
    assert state("ok_two_nodes.log").world_size == 2


def test_a_step_line_gives_every_number_it_has() -> None:
    line = (
        "{'loss': '1.25', 'grad_norm': 'nan', 'learning_rate': '8.5e-05', 'global_step/max_steps': '7/10', "
        "'elapsed_time': '1m 3s', 'remaining_time': '1h 2m 3s', 'memory(GiB)': '54.4', 'train_speed(s/it)': '0.4564'}"
    )
    (step,) = read_line(line)
    assert isinstance(step, StepLine)
    assert (step.step, step.max_steps, step.loss, step.learning_rate) == (7, 10, 1.25, 8.5e-05)
    assert (step.remaining_seconds, step.memory_gib, step.seconds_per_step) == (3723, 54.4, 0.4564)
    assert step.grad_norm is not None and step.grad_norm != step.grad_norm


def test_an_app_serves_where_its_page_is_and_not_where_the_model_behind_it_listens() -> None:
    model, page = "INFO:     Uvicorn running on http://127.0.0.1:8000 (Press CTRL+C to quit)", "http://127.0.0.1:7860"
    lines = ["run sh: `/e/bin/python /e/swift/cli/app.py --model m`", model, f"* Running on local URL:  {page}"]
    said, served = LogState(), []
    for number, line in enumerate(lines):
        said.take(number, line)
        served.append(said.serves)
    assert served == ["", "", page]


def test_a_step_of_ppo_is_read_with_its_policys_loss() -> None:
    (step,) = read_line(
        "{'eps': 0, 'objective/kl': '-3.81e-06', 'objective/scores': '-0.3405', 'loss/policy_avg': '-0.01373', "
        "'loss/value_avg': '0.05026', 'lr': '5e-06', 'episode': 2, 'global_step/max_steps': '2/23', "
        "'elapsed_time': '10s', 'remaining_time': '1m 45s', 'train_speed(s/it)': '5.016'}"
    )
    assert isinstance(step, StepLine) and (step.step, step.max_steps, step.loss) == (2, 23, -0.01373)
    assert (step.learning_rate, step.remaining_seconds) == (5e-06, 105)


def test_megatron_reports_iterations_and_its_own_word_for_a_saved_checkpoint() -> None:
    (step,) = read_line(
        "{'loss': 2.5, 'grad_norm': 0.1, 'learning_rate': 1e-05, 'iteration': '3/9', 'remaining_time': '4s'}"
    )
    assert isinstance(step, StepLine) and (step.step, step.max_steps, step.loss) == (3, 9, 2.5)
    said = LogState()
    said.take(1, "[INFO:swift] Successfully saved Megatron model weights in `/out/v1-20261123-230440/checkpoint-9`")
    assert said.last_checkpoint.endswith("checkpoint-9")


def test_evaluation_lines_and_bars_are_no_steps() -> None:
    assert read_line("{'eval_loss': '6.401', 'global_step/max_steps': '3/6', 'remaining_time': '1s'}") == []
    assert read_line("Train:  17%|█▋        | 1/6 [00:00<00:03,  1.63it/s]") == []


def test_a_bar_and_a_saying_share_a_line_and_carriage_returns_cut_it() -> None:
    lines, said = Lines(), LogState()
    data = b"Train: 1/2\rTrain: 2/2[INFO:swift] Saving model checkpoint to /o/checkpoint-2\r\n[INFO:swift] bye\n"
    pieces = list(lines.feed(data))
    assert [number for number, _ in pieces] == [1, 1, 2]
    for number, text in pieces:
        said.take(number, text)
    assert said.checkpoints == ["/o/checkpoint-2"]


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("rank_killed_one_node.log", "Signal 9 (SIGKILL) received by PID 16026"),
        ("data_all_bad.log", "ZeroDivisionError: integer division or modulo by zero"),
        (
            "rendezvous_timeout.log",
            "torch.distributed.DistStoreError: Timed out after 901 seconds waiting for clients. 1/2 clients joined.",
        ),
    ],
)
def test_the_cause_is_the_first_line_that_is_no_echo(name: str, cause: str) -> None:
    said = state(name)
    assert said.cause is not None and said.cause[1] == cause
    assert (LOGS / name).read_text().split("\n")[said.cause[0] - 1].endswith(cause)


@pytest.mark.parametrize("name", ["rank_killed_other_node.log", "sigterm.log"])
def test_a_rank_that_felt_anothers_end_has_only_an_echo(name: str) -> None:
    said = state(name)
    assert said.cause is None and said.echo is not None and not said.ended_well


def test_a_dropped_data_row_is_no_cause() -> None:
    said = state("data_one_bad_row.log")
    assert said.why() is None and said.ended_well


def test_a_graceful_stop_ends_well_before_the_last_step() -> None:
    said = state("graceful.log")
    assert said.ended_well and (said.step, said.max_steps) == (401, 4000)


def test_a_process_that_aborts_after_the_end_of_main_has_done_its_work() -> None:
    abort = "  traceback : Signal 6 (SIGABRT) received by PID 17817"
    end = "[INFO:swift] End time of running main: 2026-11-24 16:53:19"
    for lines, expected in (((end, abort), True), ((abort, end), False), ((abort,), False), ((end, "OSError"), False)):
        said = LogState()
        for number, line in enumerate(lines, 1):
            said.take(number, line)
        assert said.aborted is expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("[rank1]: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", False),
        ("sft.py: error: argument --tuner_type: invalid choice: 'lorra'", False),
        ("KeyboardInterrupt", False),
        ("torch.distributed.elastic.multiprocessing.errors.ChildFailedError: ", True),
        ("[rank0]: RuntimeError: [gloo/transport/tcp/pair.cc:545] Connection closed by peer [10.0.0.4]:59581", True),
        ("  traceback : Signal 15 (SIGTERM) received by PID 16025", True),
    ],
)
def test_error_lines_are_told_from_echoes(line: str, expected: bool) -> None:
    (said,) = read_line(line)
    assert isinstance(said, ErrorLine) and said.secondary is expected


@pytest.mark.parametrize("line", ["an Error occurred somewhere", "    raise ChildFailedError(", "Errors: 3", ""])
def test_prose_about_errors_is_no_error(line: str) -> None:
    assert read_line(line) == []


def test_the_version_folder_wins_over_the_output_dir_printed_before() -> None:
    said = LogState()
    for text in ("/o", "/o/v3-20261123-230440", "/o/else"):
        assert said.take(1, f"[INFO:swift] output_dir: {text}") == [RunDirLine(text)]
    assert said.run_dir == "/o/v3-20261123-230440"
    assert said.take(2, "[INFO:swift] End time of running main: 2026-11-23 23:05:11") == [EndLine()]


@pytest.mark.parametrize(("text", "value"), [("3m 21s", 201), ("1d 2h", 93600), ("0s", 0), ("soon", None)])
def test_durations(text: str, value: int | None) -> None:
    assert seconds(text) == value
