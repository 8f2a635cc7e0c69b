"""fleet new without a recipe: which answers make which job."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from terminal import talk

from infra.errors import BadInput
from training.checked import check_file
from training.choice import Answers, chosen, proposed
from training.cli.new import new
from training.job import load_job
from training.plan import Offer
from training.recipe import write

REPO = Path(__file__).resolve().parents[3]
DENSE, EXPERTS = "Qwen/Qwen3-8B", "Qwen/Qwen3-30B-A3B"


@pytest.mark.parametrize(
    ("task", "model", "gpus", "backend"),
    [  # MEG-1, TASK-6
        ("sft-lora", EXPERTS, 2, "megatron"),
        ("sft-lora", EXPERTS, 0, "swift"),
        ("sft-full", DENSE, 8, "megatron"),
        ("sft-full", DENSE, 4, "swift"),
        ("sft-lora", DENSE, 1, "swift"),
        ("sft-lora", DENSE, 2, "swift"),
        ("qlora", EXPERTS, 8, "swift"),
        ("sft-lora", "nobody/knows-it", 8, "swift"),
    ],
)
def test_megatron_is_proposed_for_experts_and_for_large_full_jobs(
    task: str, model: str, gpus: int, backend: str
) -> None:
    assert proposed(task, model, Offer("any", 1, gpus))[0] == backend


@pytest.mark.parametrize(("task", "nodes", "gpus"), [("sft-lora", 1, 2), ("sft-lora", 1, 8), ("sft-full", 1, 8)])
def test_experts_are_parted_by_the_gpus_that_there_are(task: str, nodes: int, gpus: int, tmp_path: Path) -> None:
    offer = Offer("any", nodes, gpus)
    recipe, changes = chosen(Answers(task, EXPERTS, (), False, "megatron"), offer, tmp_path)
    (job,) = write(recipe, tmp_path / "job.yaml", changes)
    assert [one for one in check_file(job, offer).findings if one.severity == "error"] == []
    assert load_job(job)[0].args["model"] == EXPERTS


def test_data_is_named_from_the_jobs_folder_and_the_hub_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "jobs").mkdir()
    (tmp_path / "mine.jsonl").touch()
    answers = Answers("infer", DENSE, ("mine.jsonl#5", "a/b"), True, "swift")
    _, changes = chosen(answers, Offer("any", 1, 1), tmp_path / "jobs")
    assert changes == [f"args.model={DENSE}", "args.val_dataset=['../mine.jsonl#5', 'a/b']", "args.use_hf=true"]
    with pytest.raises(BadInput, match="megatron has no recipe for qlora"):
        chosen(Answers("qlora", "", (), False, "megatron"), Offer("any", 1, 1), tmp_path)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--task", "sft-lora"], "nothing says where it runs"),
        (["--local"], "--task is missing"),
        (["--task", "sft-lora", "--machine", "203.0.113.7"], "an address and the key that opens it"),
        (["sft-lora", "--local"], "it asks nothing"),
        (["merge", "--data", "a/b"], "takes no rows"),
        (["sft-zero3", "--set", "model=a/b"], "Did you mean args.model?"),
    ],
)
def test_with_no_terminal_the_missing_flag_is_named(given: list[str], said: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(new, [*given, "-o", str(tmp_path / "job.yaml")])
    assert isinstance(done.exception, BadInput)
    assert said in str(done.exception)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copy(REPO / "Pulumi.yaml", tmp_path)
    return tmp_path


def test_a_terminal_is_asked_in_order_and_gets_a_job_and_its_plan(project: Path) -> None:
    (project / "mine.jsonl").write_text('{"query": "a", "response": "b"}\n' * 200)
    said = talk(project, ["new"], ["local", "sft-lora", "Qwen/Qwen3-0.6B", "mine.jsonl", "huggingface", ""])
    order = ["Where", "Task", "Model", "Data", "Hardware", "Hub", "Backend", "job.yaml written", "rank 0"]
    assert sorted(order, key=said.index) == order
    args = load_job(project / "job.yaml")[0].args
    assert (args["model"], args["dataset"], args["use_hf"]) == ("Qwen/Qwen3-0.6B", "mine.jsonl", True)


def test_ids_of_another_hub_are_asked_for_again(project: Path) -> None:
    """TASK-5."""
    ours, theirs = "AI-ModelScope/alpaca-gpt4-data-en", "vicgalle/alpaca-gpt4"
    answers = ["local", "sft-lora", DENSE, ours, "huggingface", "n", theirs, ""]
    said = talk(project, ["new"], answers)
    assert f"{ours} is its name on ModelScope, and the job asks Hugging Face: {theirs}" in said
    assert load_job(project / "job.yaml")[0].args["dataset"] == theirs


def test_a_machine_that_does_not_answer_is_asked_for_again(project: Path) -> None:
    said = talk(project, ["new"], ["hosts", "127.0.0.1", "127.0.0.1 no.pem"])
    assert "Both, with a space between" in said
    assert "no such key file" in said
    assert "Verify the IP, the PEM file, and that the security group lets port 22 in." in said
    assert not (project / ".fleet").exists()
