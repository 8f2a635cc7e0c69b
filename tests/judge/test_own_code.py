"""A script of one's own under torchrun, and a plugin in ms-swift: both run, on this machine."""

from __future__ import annotations

import json
from pathlib import Path

import yaml
from project import REPO, Local

SCRIPT = """
import argparse, json, os, pathlib
parser = argparse.ArgumentParser()
parser.add_argument("--output_dir", type=pathlib.Path)
parser.add_argument("--words", nargs="+")
given = parser.parse_args()
given.output_dir.mkdir(parents=True, exist_ok=True)
said = {"world": os.environ["WORLD_SIZE"], "words": given.words, "node": os.environ["NODE_RANK"]}
(given.output_dir / f"rank-{os.environ['RANK']}.json").write_text(json.dumps(said))
"""
PLUGIN = """
from pathlib import Path

from swift.callbacks import TrainerCallback, callbacks_map


class Mark(TrainerCallback):
    def on_train_begin(self, args, state, control, **kwargs):
        (Path(args.output_dir) / "the-plugin-ran").touch()


callbacks_map["mark"] = Mark
"""


def output_of(local: Local, root: Path, job: Path) -> Path:
    """What a run of the job on this machine left, in a clone of its own with the local run's environment."""
    local.done.ok()
    project = local.project.another(root)
    done = project.fleet("run", job, "--local", "--json").ok()
    return project.root / "runs" / done.events[-1]["request"]["run_id"] / "output"


def test_torchrun_starts_a_script_of_ones_own_on_every_rank(local: Local, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(SCRIPT)
    job = tmp_path / "job.yaml"
    job.write_text(
        yaml.safe_dump(
            {
                "trainer": "torchrun",
                "command": "train.py",
                "nproc_per_node": 2,
                "args": {"words": ["two words", "$HOME"], "output_dir": "output"},
            }
        )
    )
    folder = output_of(local, tmp_path / "clone", job)
    said = [json.loads(file.read_text()) for file in sorted(folder.glob("rank-*.json"))]
    assert said == [{"world": "2", "words": ["two words", "$HOME"], "node": "0"}] * 2


def test_a_plugin_is_sent_and_loaded_by_ms_swift(local: Local, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "mark.py").write_text(PLUGIN)
    data = yaml.safe_load((REPO / "training" / "recipes" / "tiny-sft-lora.yaml").read_text())
    data["plugins"] = ["mark.py"]
    data["args"] |= {"model": str(tiny / "model"), "dataset": f"{tiny}/docstrings.jsonl#16", "callbacks": ["mark"]}
    job = tmp_path / "job.yaml"
    job.write_text(yaml.safe_dump(data))
    assert local.project.fleet("check", job, "--local").ok().out.startswith(f"{job}  ok\n")
    assert list(output_of(local, tmp_path / "clone", job).rglob("the-plugin-ran"))
