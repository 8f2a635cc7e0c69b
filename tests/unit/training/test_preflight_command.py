"""`fleet preflight` on this machine, whole: its own shell, a free port, no environment of ms-swift."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from training.cli import cli


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.setenv("HOME", str(tmp_path))
    return CliRunner()


def test_a_check_that_failed_is_shown_with_what_to_do(asked: CliRunner) -> None:
    done = asked.invoke(cli, ["preflight", "--local"])
    assert done.exit_code == 2
    assert "swift          BAD  rank 0, local: no environment. Needed: ~/swift-env/bin/swift." in done.output
    assert "fleet run and fleet launch set it up" in done.output and "clock          ok" in done.output


def test_what_is_skipped_is_not_looked_at_and_said(asked: CliRunner) -> None:
    done = asked.invoke(cli, ["preflight", "--local", "--skip", "swift", "--skip", "versions", "--json"])
    said = json.loads(done.output)
    assert (done.exit_code, said["ok"], said["skipped"]) == (0, True, ["swift", "versions"])
    names = {one["name"] for one in said["nodes"]["0"]["checks"]}
    assert names >= {"clock", "disk", "gpus", "shm", "rendezvous"} and not names & {"swift", "versions"}
