"""What a person gets who wrote something wrong: a line that says what, where and what to do; and nothing happened."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from project import Done, Project

from training.record import Record


@pytest.fixture(scope="module")
def quiet(project: Project) -> Project:
    """A project whose sandbox runs, with a stack in it and no node: whatever happens after this shows in its log."""
    project.fleet("sandbox", "start").ok()
    return project


@pytest.fixture(autouse=True)
def nothing_happened(quiet: Project) -> Iterator[None]:
    """Of every test here: no request that changes anything reached the cloud, no run began, no state was written."""
    yield
    asking = ("Describe", "Get", "List")
    changed = [call["action"] for call in quiet.calls() if not call["action"].startswith(asking)]
    assert changed == []
    assert not (quiet.root / "runs").exists()
    assert Record(quiet.record).runs() == []


def refused(done: Done, *said: str, lines: int = 1) -> None:
    """Exit code 2 and one line, with each of these in it."""
    text = done.err.strip()
    for one in said:
        assert re.search(one, text), f"{one!r} is not in:\n{done.all}"
    assert done.code == 2, done.all
    assert "Traceback" not in done.all
    assert len(text.splitlines()) == lines, text


def job_with(project: Project, tiny: Path, *, top: dict[str, Any] | None = None, **args: Any) -> tuple[Path, list[str]]:
    """A job file with these keys changed, and its lines."""
    file = project.job(tiny, "bad.yaml", **args)
    if top:
        file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | top, sort_keys=False))
    return file, file.read_text().splitlines()


def line_of(lines: list[str], key: str) -> int:
    return next(number for number, line in enumerate(lines, 1) if line.strip().startswith(f"{key}:"))


# The job file --------------------------------------------------------------------------------------------------------


def test_a_misspelt_key_in_a_job_is_named_with_its_line_and_the_right_one(quiet: Project, tiny: Path) -> None:
    file, lines = job_with(quiet, tiny, top={"secretes": ["HF_TOKEN"]})
    done = quiet.fleet("run", file, "-s", "sandbox", "--yes")
    refused(done, rf"bad\.yaml:{line_of(lines, 'secretes')}  secretes  unknown key\. Did you mean secrets\?")


def test_a_misspelt_command_is_answered_with_the_nearest(quiet: Project, tiny: Path) -> None:
    file, _ = job_with(quiet, tiny, top={"command": "rlfh"})
    refused(quiet.fleet("plan", file, "-s", "sandbox"), r"bad\.yaml", r"command 'rlfh' is unknown to swift", "rlhf")


def test_a_wrong_type_in_a_job_is_named_with_its_line(quiet: Project, tiny: Path) -> None:
    file, lines = job_with(quiet, tiny, top={"nproc_per_node": "many"})
    number = line_of(lines, "nproc_per_node")
    refused(quiet.fleet("run", file, "-s", "sandbox"), rf"bad\.yaml:{number}  nproc_per_node  .*integer.*'many'")


def test_a_job_that_is_no_yaml_is_named_with_the_line(quiet: Project) -> None:
    file = quiet.root / "broken.yaml"
    file.write_text("command: sft\nargs: [1, 2\nenv: {}\n")
    refused(quiet.fleet("plan", file, "-s", "sandbox"), r"broken\.yaml:\d  not YAML")


def test_a_missing_job_file_is_named(quiet: Project) -> None:
    refused(quiet.fleet("run", "nowhere.yaml", "-s", "sandbox", "--yes"), r"nowhere\.yaml  no such file\. Check")


def test_a_missing_dataset_and_a_missing_model_are_both_named_with_their_lines(quiet: Project, tiny: Path) -> None:
    file, lines = job_with(quiet, tiny, dataset="./nothere.jsonl", model="./nomodel")
    done = quiet.fleet("run", file, "-s", "sandbox", "--yes")
    refused(
        done,
        rf"bad\.yaml:{line_of(lines, 'model')}  args\.model  \./nomodel does not exist here",
        rf"bad\.yaml:{line_of(lines, 'dataset')}  args\.dataset  \./nothere\.jsonl does not exist here",
        lines=2,
    )


def test_a_variable_that_fleet_sets_itself_is_refused_in_env(quiet: Project, tiny: Path) -> None:
    file, _ = job_with(quiet, tiny, top={"env": {"MASTER_ADDR": "127.0.0.1"}})
    refused(quiet.fleet("plan", file, "-s", "sandbox"), r"env  MASTER_ADDR is set by fleet for each rank: remove it")


# The stack file ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"swift-fleet:nodez": "2"}, r"swift-fleet:nodez  unknown key\. Did you mean nodes\?"),
        ({"swift-fleet:nodes": "0"}, r"swift-fleet:nodes  .*greater than or equal to 1.*"),
        ({"swift-fleet:nodes": "two"}, r"swift-fleet:nodes  .*integer.*'two'"),
        ({"swift-fleet:instanceType": "m7i.xlargee"}, r"swift-fleet:instanceType  .*Did you mean m7i\.xlarge\?"),
        ({"swift-fleet:lifetime": "forever"}, r"swift-fleet:lifetime  is no duration: write 90m, 4h or 1d12h"),
        ({"swift-fleet:operatorCidr": "0.0.0.0/0"}, r"swift-fleet:operatorCidr  opens SSH to the whole internet"),
    ],
    ids=["misspelt", "no-nodes", "wrong-type", "unknown-type", "no-duration", "open-to-all"],
)
def test_a_wrong_value_in_a_stack_file_is_named_with_its_line(
    quiet: Project, change: dict[str, str], said: str
) -> None:
    file = quiet.stack("wrong", change=change)
    key = next(iter(change))
    number = next(n for n, line in enumerate(file.read_text().splitlines(), 1) if f"{key}:" in line)
    for words in (["up", "--yes"], ["preview"]):
        refused(quiet.fleet(words[0], "-s", "wrong", *words[1:]), rf"Pulumi\.wrong\.yaml:{number}  {said}")


def test_a_stack_file_that_lets_the_provider_try_for_an_hour_is_refused(quiet: Project, tiny: Path) -> None:
    quiet.stack("patient", drop="aws:maxRetries")
    for words in (["up", "--yes"], ["preview"], ["plan", str(quiet.job(tiny))]):
        done = quiet.fleet(words[0], "-s", "patient", *words[1:])
        refused(done, r"Pulumi\.patient\.yaml  aws:maxRetries is missing", r'Add it: aws:maxRetries: "4"')
    quiet.fleet("status", "-s", "patient").ok()  # what is up must be seen, and ended, all the same


def test_a_stack_that_does_not_exist_is_answered_with_the_nearest(quiet: Project, tiny: Path) -> None:
    done = quiet.fleet("run", quiet.job(tiny), "-s", "sandbx", "--yes")
    refused(done, r"there is no stack sandbx\. Did you mean sandbox\?")


def test_no_stack_and_two_fleets_are_both_refused(quiet: Project, tiny: Path) -> None:
    refused(quiet.fleet("up"), r"no stack is named\. Give -s STACK\. There are: .*sandbox")
    refused(quiet.fleet("run", quiet.job(tiny), "--yes"), r"no fleet is named\. Give one of -s STACK")
    refused(quiet.fleet("plan", quiet.job(tiny), "-s", "sandbox", "--local"), r"two fleets are named")


# What stands around it -----------------------------------------------------------------------------------------------


def test_a_port_that_another_program_has_is_named(quiet: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        endpoints = [{"ec2": f"http://127.0.0.1:{port}"}]
        quiet.stack("taken", change={"aws:endpoints": endpoints})
        done = quiet.fleet("up", "-s", "taken", "--yes")
    refused(done, rf"port {port} of 127\.0\.0\.1 is taken by another program", "aws:endpoints|stop the other program")


def test_a_wrong_passphrase_is_named(quiet: Project) -> None:
    quiet.fleet("preview", "-s", "sandbox").ok()
    secret = quiet.state / "passphrase"
    secret.write_text("another")
    try:
        done = quiet.fleet("preview", "-s", "sandbox")
    finally:
        secret.write_text("sandbox")
    refused(done, r"stack sandbox  wrong passphrase\. Set PULUMI_CONFIG_PASSPHRASE")


def test_a_pulumi_that_is_too_old_is_named_with_what_is_needed(quiet: Project, tmp_path: Path) -> None:
    old = tmp_path / "pulumi"
    old.write_text("#!/bin/sh\necho v3.100.0\n")
    old.chmod(0o755)
    done = quiet.fleet("preview", "-s", "sandbox", env={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    refused(done, rf"{re.escape(str(old))}  pulumi v3\.100\.0 is too old, 3\.250\.0 is needed\. Update it")


def test_without_linux_the_sandbox_says_so(quiet: Project, tmp_path: Path) -> None:
    # The one thing that can't be had here for real: another operating system's name.
    # Python's own modules that look at it while they load are loaded before.
    late = (
        "import asyncio, socket, ssl, subprocess, sys, sysconfig, urllib.request, zoneinfo\nsys.platform = 'darwin'\n"
    )
    (tmp_path / "sitecustomize.py").write_text(late)
    for words in (["sandbox", "start"], ["preview", "-s", "sandbox"]):
        done = quiet.fleet(*words, env={"PYTHONPATH": str(tmp_path)})
        refused(done, r"the sandbox needs Linux", "Use a Linux machine")


def test_a_folder_that_is_no_project_says_where_to_go(quiet: Project, tmp_path: Path) -> None:
    done = quiet.fleet("up", "-s", "sandbox", cwd=tmp_path)
    refused(done, r"no Pulumi\.yaml here or above\. Change into the clone")


def test_a_run_that_is_not_known_is_named(quiet: Project) -> None:
    refused(quiet.fleet("attach", "run-none"), r"run-none is not recorded here\. Name its fleet")
    refused(quiet.fleet("logs"), r"no run is recorded here\. Start one: fleet run JOB")


def test_a_fleet_that_is_not_up_says_how_to_make_it(quiet: Project, tiny: Path) -> None:
    for words in (["nodes"], ["launch", str(quiet.job(tiny))], ["ssh", "0"]):
        done = quiet.fleet(words[0], "-s", "sandbox", *words[1:])
        refused(done, r"the fleet of stack sandbox is not up\. fleet up -s sandbox")


def test_a_misspelt_command_of_fleet_is_answered_with_the_nearest(quiet: Project) -> None:
    done = quiet.fleet("statsu", "-s", "sandbox")
    assert (done.code, "Did you mean status?" in done.err) == (2, True)


# What AWS does not let in --------------------------------------------------------------------------------------------


def not_admitted(done: Done, said: str) -> None:
    assert done.code == 4, done.all
    assert said in done.err.strip().splitlines()[-1] and "Traceback" not in done.all, done.all


def test_credentials_that_have_expired_are_told_in_one_line_before_anything_is_made(quiet: Project, tiny: Path) -> None:
    quiet.fleet("sandbox", "fault", "credentials", "expired").ok()
    said = "the credentials have expired"
    try:
        for words in (["up", "--yes"], ["preview"], ["status"]):
            not_admitted(quiet.fleet(words[0], "-s", "sandbox", *words[1:]), said)
        assert said in quiet.fleet("sweep", "-s", "sandbox").out
        assert (
            said in quiet.fleet("plan", quiet.job(tiny), "-s", "sandbox").ok().out
        )  # prices ship, so it can be planned
    finally:
        quiet.fleet("sandbox", "fault", "clear").ok()


def test_a_region_that_the_account_has_not_enabled_is_named(quiet: Project) -> None:
    quiet.stack("far", change={"aws:region": "me-central-1"})
    said = "AWS me-central-1  region me-central-1 is not enabled for the account. aws account enable-region"
    not_admitted(quiet.fleet("up", "-s", "far", "--yes"), said)


# How it is said ------------------------------------------------------------------------------------------------------


def test_with_json_the_same_is_an_object(quiet: Project) -> None:
    done = quiet.fleet("up", "-s", "sandbx", "--json")
    assert done.code == 2
    assert done.json == {
        "error": "BadInput",
        "what": "there is no stack sandbx",
        "where": str(quiet.root / "stacks" / "Pulumi.sandbx.yaml"),
        "do": "Did you mean sandbox?",
    }


def test_a_traceback_only_with_debug(quiet: Project) -> None:
    done = quiet.fleet("up", "-s", "sandbx", "--debug")
    assert done.code == 2
    assert "Traceback (most recent call last)" in done.err
    assert done.err.rstrip().endswith("there is no stack sandbx. Did you mean sandbox?")


def test_a_no_before_it_spends_creates_nothing(quiet: Project, tiny: Path) -> None:
    for words in (["run", str(quiet.job(tiny))], ["up"]):
        done = quiet.fleet(*words, "-s", "sandbox", say="n\n")
        assert done.code == 130
        assert "Traceback" not in done.all


def test_a_question_that_nobody_can_answer_is_bad_input_and_creates_nothing(quiet: Project, tiny: Path) -> None:
    for words in (["run", str(quiet.job(tiny))], ["up"]):
        done = quiet.fleet(*words, "-s", "sandbox", say="")
        assert done.code == 2
        assert done.err.rstrip().endswith("there is no terminal to ask. Give --yes, or each answer as a flag.")
    assert quiet.fleet("up", "-s", "sandbox", "--json", say="").json["what"] == "there is no terminal to ask"
    assert quiet.left() == []
