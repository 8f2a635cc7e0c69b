"""fleet gpus: nvidia-smi's own lines (its --query-gpu) as a person and a program read them. ENV-11, RUN-3, NOTE-7."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from training.cli.gpus import gpus as command
from training.connection import Result
from training.gpus import FIELDS, Use, read

H100 = "0, NVIDIA H100 80GB HBM3, 97, 72910, 81559, 61, 655.20, 700.00\n"
T4 = "1, Tesla T4, [N/A], 0, 15360, 34, [Not Supported], 70.00\n"


def test_each_gpu_is_a_value_and_what_the_driver_does_not_tell_is_unknown() -> None:
    assert read(Result(0, H100 + T4, "")) == [
        Use(0, "NVIDIA H100 80GB HBM3", 97, 71.2, 79.6, 61, 655.2, 700.0),
        Use(1, "Tesla T4", None, 0.0, 15.0, 34, None, 70.0),
    ]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Result(127, "timeout: failed to run command 'nvidia-smi'\n", ""), "no GPU: there is no nvidia-smi"),
        (Result(9, "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n", ""),
         "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."),
        (Result(0, "", ""), "no GPU"),
    ],
)  # fmt: skip
def test_a_node_that_has_none_says_so(answer: Result, said: str) -> None:
    assert read(answer) == said


def test_the_command_asks_the_nodes_and_shows_a_line_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what the driver's tool prints on a machine that has one: here there is none."""
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f'#!/bin/sh\n[ "$1" = "--query-gpu={FIELDS}" ] && printf "{H100}" || echo "GPU 0: NVIDIA H100"\n')
    tool.chmod(0o755)
    (tmp_path / "Pulumi.yaml").write_text("name: x\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    done = CliRunner().invoke(command, ["--local", "--json"], catch_exceptions=False)
    (node,) = json.loads(done.output)["nodes"]
    assert (node["rank"], node["error"], node["gpus"][0]["busy_percent"]) == (0, "", 97)
    people = CliRunner().invoke(command, ["--local"], catch_exceptions=False).output
    assert people == "rank 0    GPU 0   97 %    71.2 of 79.6 GiB  655 of 700 W  61 °C  NVIDIA H100 80GB HBM3\n"
