"""The plain `pulumi` commands as typed, and that they and `fleet` work on one and the same stack."""

from __future__ import annotations

import json
import re

import pytest
from project import Done, Project

from infra.settings import from_pulumi
from infra.stack_files import load_stack

UP = ("up", "-s", "sandbox", "--yes")


def counts(done: Done) -> dict[str, int]:
    """The last lines of a plain command: {"created": 32}, {"unchanged": 32}, {"to create": 32}."""
    block = done.ok().out.split("Resources:")[-1].split("Duration")[0]
    return {what: int(number) for number, what in re.findall(r"(\d+) ([a-z][a-z ]*)$", block, re.MULTILINE)}


def made_calls(project: Project) -> list[str]:
    asking = ("Describe", "Get", "List", "Simulate")
    return [call["action"] for call in project.calls() if not call["action"].startswith(asking)]


@pytest.fixture(scope="module")
def stack(project: Project) -> Project:
    """The stack, made by plain pulumi; the fleet of the first test's `pulumi up` is the one of all that follow."""
    file = project.root / "stacks" / "Pulumi.sandbox.yaml"
    before = file.read_text()
    project.pulumi("stack", "init", "sandbox").ok()
    assert file.read_text() == before, "the passphrase's salt is the file's own"
    return project


def test_a_wrong_key_fails_in_preview_with_its_name_and_creates_nothing(stack: Project) -> None:
    stack.stack(change={"swift-fleet:instanceTyp": "m7i.large"})
    try:
        plain, ours = stack.pulumi("preview", "-s", "sandbox"), stack.fleet("preview", "-s", "sandbox")
    finally:
        stack.stack()
    assert plain.code != 0
    assert re.search(r"swift-fleet:instanceTyp  unknown key\. Did you mean instanceType\?", plain.all)
    assert "Traceback" not in plain.all and plain.out.split("Diagnostics:")[1].count("Did you mean instanceType?") == 1
    assert ours.code == 2
    assert re.search(r"Pulumi\.sandbox\.yaml:\d+  swift-fleet:instanceTyp  unknown key", ours.err)
    assert made_calls(stack) == []


def test_pulumi_hands_over_what_fleet_reads_defaults_too(stack: Project) -> None:
    shown = json.loads(stack.pulumi("config", "-s", "sandbox", "--json").ok().out)
    values = {key: one["value"] for key, one in shown.items()}
    assert {"swift-fleet:lifetime", "swift-fleet:idleMinutes", "swift-fleet:rootVolumeGib"} <= set(values)
    assert from_pulumi(values, "pulumi config") == load_stack(stack.root, "sandbox")[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"swift-fleet:nodes": "two"}, "'nodes' must be of type 'integer'"),
        ({"swift-fleet:sharedFiles": "perhaps"}, "'sharedFiles' must be of type 'boolean'"),
        ({"swift-fleet:instanceType": None}, "missing configuration value 'instanceType'"),
    ],
)
def test_a_wrong_type_is_refused_before_the_program_runs(
    stack: Project, change: dict[str, str | None], said: str
) -> None:
    [key] = change
    file = stack.stack(change=change) if change[key] else stack.stack(drop=key)
    written = file.read_text()
    try:
        plain, ours = stack.pulumi("preview", "-s", "sandbox"), stack.fleet("preview", "-s", "sandbox")
        assert file.read_text() == written
    finally:
        stack.stack()
    assert plain.code != 0 and said in plain.all
    assert ours.code == 2 and key in ours.err


def test_both_previews_plan_the_same_resources_and_create_nothing(stack: Project) -> None:
    plain = counts(stack.pulumi("preview", "-s", "sandbox"))
    ours = stack.fleet("preview", "-s", "sandbox", "--json").ok().json
    assert plain == {"to create": ours["changes"]["create"]}
    assert len([one for one in ours["resources"] if one["kind"] != "pulumi:Stack"]) == ours["changes"]["create"]
    assert made_calls(stack) == []


def test_a_plain_up_makes_a_fleet_and_a_second_changes_nothing(stack: Project) -> None:
    """CARD-1, CARD-9."""
    created = counts(stack.pulumi(*UP))
    assert created["created"] > 20
    assert counts(stack.pulumi(*UP)) == {"unchanged": created["created"]}


def test_fleet_finds_the_plain_fleet_unchanged_and_enters_it(stack: Project) -> None:
    changes = stack.fleet("preview", "-s", "sandbox", "--json").ok().json["changes"]
    assert list(changes) == ["same"]
    before = stack.fleet("outputs", "-s", "sandbox", "--json").ok().json
    stack.fleet("up", "-s", "sandbox", "--yes").ok()
    assert stack.fleet("outputs", "-s", "sandbox", "--json").ok().json == before
    assert stack.fleet("ssh", "-s", "sandbox", "1", "printenv", "USER").ok().out == "ec2-user\n"


def test_the_outputs_are_the_same_by_both_ways(stack: Project) -> None:
    plain = json.loads(stack.pulumi("stack", "output", "-s", "sandbox", "--json").ok().out)
    ours = stack.fleet("outputs", "-s", "sandbox", "--json").ok().json
    assert [one["id"] for one in plain["nodes"]] == [one["id"] for one in ours["nodes"]]
    assert (plain["vpcId"], plain["terminatesAt"]) == (ours["vpc_id"], ours["terminates_at"])
    assert plain["ssh"] == {"user": ours["ssh_user"], "port": ours["ssh_port"], "access": "ssh"}


def test_plain_commands_find_what_fleet_has_done_unchanged(stack: Project) -> None:
    for command in (("refresh", "--yes"), ("preview",)):
        assert list(counts(stack.pulumi(*command, "-s", "sandbox"))) == ["unchanged"]


def test_the_state_holds_no_private_key_and_no_secret_in_the_clear(stack: Project) -> None:
    private = (stack.record / "keys" / "sandbox").read_text()
    assert (stack.record / "keys" / "sandbox").stat().st_mode & 0o777 == 0o600
    body = "".join(private.splitlines()[1:-1])
    held = [p for p in (stack.state / "pulumi").rglob("*") if p.is_file()]
    assert held
    for file in held:
        text = file.read_text(errors="replace").replace("\\n", "")
        assert "PRIVATE KEY" not in text, file
        assert body[60:120] not in text, file
    host_keys = [p.read_text() for p in (stack.state / "hosts").glob("*/ssh_host_ed25519_key")]
    assert len(host_keys) == 2
    assert not [key for key in host_keys for file in held if key.splitlines()[2] in file.read_text(errors="replace")]


def test_a_plain_destroy_leaves_nothing_and_fleet_agrees(stack: Project) -> None:
    assert list(counts(stack.pulumi("destroy", "-s", "sandbox", "--yes"))) == ["deleted"]
    assert stack.left() == []
    assert "0 resources removed" in stack.fleet("down", "-s", "sandbox").ok().out


def test_the_sandbox_env_is_what_the_shell_needs_and_nothing_of_the_users_own(stack: Project) -> None:
    lines = stack.fleet("sandbox", "env").ok().out.splitlines()
    names = {line.removeprefix("export ").split("=")[0]: line.split("=", 1)[1] for line in lines}
    assert {"PULUMI_BACKEND_URL", "PULUMI_HOME", "PULUMI_CONFIG_PASSPHRASE_FILE", "PATH"} <= set(names)
    assert all(str(stack.home) in names[name] for name in ("PULUMI_BACKEND_URL", "PULUMI_HOME"))
