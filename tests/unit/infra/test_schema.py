"""JSON Schemas and Pulumi's own declaration of the keys say what the models decide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from infra.errors import BadInput
from infra.schema import json_schema, pulumi_config, stack_schema
from infra.settings import PREFIX, StackConfig, from_pulumi
from infra.stack_files import known_stacks, load_stack, stack_file
from training.job import Job

REPO = Path(__file__).resolve().parents[3]
RECIPES = sorted((REPO / "training" / "recipes").glob("*.yaml"))
GOOD = {"instanceType": "g6e.xlarge"}


def fits(schema: dict[str, Any], data: Any) -> bool:
    return jsonschema.Draft7Validator(schema).is_valid(data)


@pytest.mark.parametrize("name", known_stacks(REPO))
def test_a_shipped_stack_fits_and_names_the_schema(name: str) -> None:
    text = stack_file(REPO, name).read_text()
    jsonschema.validate(yaml.safe_load(text), stack_schema(), jsonschema.Draft7Validator)
    assert text.startswith("# yaml-language-server: $schema=stack.schema.json\n")


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda file: file.stem)
def test_a_recipe_fits(recipe: Path) -> None:
    jsonschema.validate(yaml.safe_load(recipe.read_text()), json_schema(Job), jsonschema.Draft7Validator)


@pytest.mark.parametrize(
    "change",
    [
        {"nodes": 4},
        {"nodes": "4"},
        {"lifetime": "1d12h"},
        {"budget": "12.50"},
        {"efa": "false"},
        {"candidates": {"zones": ["us-east-1a"]}},
        {"capacity": "spot", "sharedFiles": False},
        {"nodse": 2},
        {"nodes": 0},
        {"nodes": "two"},
        {"instanceType": "p5.48xlrge"},
        {"instanceType": None},
        {"lifetime": "4 hours"},
        {"lifetime": 4},
        {"budget": -1},
        {"efa": "perhaps"},
        {"ami": "latest"},
        {"capacity": "spott"},
        {"candidates": {"zone": "us-east-1a"}},
        {"candidates": {"instanceTypes": ["g6e.xxlarge"]}},
        {"rootVolumeGib": 8},
        {"subnetId": "vpc-0123456789abcdef0"},
    ],
    ids=str,
)
def test_an_editor_and_fleet_agree(tmp_path: Path, change: dict[str, Any]) -> None:
    ours = {f"{PREFIX}{key}": value for key, value in (GOOD | change).items() if value is not None}
    data = {"config": {"aws:region": "us-east-1", "aws:maxRetries": "4", **ours}}
    (tmp_path / "stacks").mkdir()
    stack_file(tmp_path, "dev").write_text(yaml.safe_dump(data))
    try:
        load_stack(tmp_path, "dev")
        taken = True
    except BadInput:
        taken = False
    assert fits(stack_schema(), data) is taken


def test_what_is_beside_the_keys_is_checked_too() -> None:
    whole = {"config": {"aws:region": "us-east-1", "aws:maxRetries": "4", f"{PREFIX}instanceType": "g6e.xlarge"}}
    assert fits(stack_schema(), whole | {"encryptionsalt": "v1:x", "secretsprovider": "awskms://x"})
    assert not fits(stack_schema(), whole | {"confg": {}})
    for key in whole["config"]:
        assert not fits(stack_schema(), {"config": {name: one for name, one in whole["config"].items() if name != key}})


@pytest.mark.parametrize(
    ("job", "right"),
    [
        ({"command": "sft", "args": {"lora_rank": 8}, "env": {"A": 1, "B": True}}, True),
        ({"comand": "sft"}, False),
        ({"command": "sft", "trainer": "torchrn"}, False),
        ({"command": "sft", "nproc_per_node": 0}, False),
        ({"args": {}}, False),
    ],
    ids=str,
)
def test_a_job_is_checked_by_its_schema(job: dict[str, Any], right: bool) -> None:
    assert fits(json_schema(Job), job) is right


def test_pulumi_declares_every_key_with_a_default_and_no_other() -> None:
    optional = {str(one.alias) for one in StackConfig.model_fields.values() if one.default is None}
    assert set(pulumi_config()) == {str(one.alias) for one in StackConfig.model_fields.values()} - optional
    assert [key for key, said in pulumi_config().items() if "default" not in said] == ["instanceType"]


def test_pulumis_defaults_are_the_models() -> None:
    declared = yaml.safe_load((REPO / "Pulumi.yaml").read_text())["config"]
    given = {f"{PREFIX}{key}": said["default"] for key, said in declared.items() if "default" in said}
    kind = {f"{PREFIX}instanceType": "g6e.xlarge"}
    assert from_pulumi(given | kind, "stack file") == from_pulumi(kind, "stack file")
