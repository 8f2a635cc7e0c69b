"""The whole fleet as a component of another program: the real engine starts the plugin from its source.

The engine here has no YAML host, so the resource of `examples/fleet-in-yaml` is registered by a Python program, as its
YAML has it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from project import REPO, Project

from infra import sweep
from infra.settings import StackConfig

EXAMPLE = yaml.safe_load((REPO / "examples" / "fleet-in-yaml" / "Pulumi.yaml").read_text())
PROGRAM = """\
import json
import pulumi

class Fleet(pulumi.ComponentResource):
    def __init__(self, name, properties):
        outputs = dict.fromkeys(("inventory", "terminatesAt"))
        super().__init__("swift-fleet:index:Fleet", name, {**properties, **outputs}, None, remote=True)

made = Fleet("trainers", json.load(open("properties.json")))
pulumi.export("nodes", made.inventory)
pulumi.export("ends", made.terminatesAt)
"""


@pytest.fixture(scope="module")
def other(project: Project) -> Path:
    """Another program's folder, with a stack `dev` on the project's sandbox."""
    sandbox = yaml.safe_load(project.stack().read_text())
    folder = project.root / "other"
    folder.mkdir()
    plugins = {"providers": [{"name": "swift-fleet", "path": str(REPO / "components")}]}
    about = {"name": "other", "runtime": {"name": "python"}, "plugins": plugins}
    (folder / "Pulumi.yaml").write_text(yaml.safe_dump(about))
    (folder / "__main__.py").write_text(PROGRAM)
    aws = {key: value for key, value in sandbox["config"].items() if key.startswith("aws:")}
    text = yaml.safe_dump({"config": aws, "encryptionsalt": sandbox["encryptionsalt"]})
    (folder / "Pulumi.dev.yaml").write_text(text)
    project.fleet("sandbox", "start").ok()
    project.pulumi("stack", "init", "dev", "-C", str(folder)).ok()
    return folder


def asks(project: Project, folder: Path, **change: Any) -> None:
    """The example's properties, with the sandbox's places and what is small."""
    here = {
        "publicKey": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJK2yP6oSPsKCfcJ7Cj7MPvQV4m9N4H1zqkzXH9h2ZQb test",
        "instanceType": "m7i.xlarge",
        "vpcCidr": project.network,
        "sshPort": project.ssh_port,
        "operatorCidr": "127.0.0.0/8",
        "publicAddresses": False,
        "sharedFiles": False,
    }
    properties = EXAMPLE["resources"]["trainers"]["properties"] | here | change
    (folder / "properties.json").write_text(json.dumps(properties))


def test_the_engine_reads_its_schema_from_the_source(project: Project) -> None:
    schema = json.loads(project.pulumi("package", "get-schema", str(REPO / "components")).ok().out)
    fleet = schema["resources"]["swift-fleet:index:Fleet"]
    assert fleet["isComponent"] and set(fleet["requiredInputs"]) == {"publicKey", "instanceType"}
    keys = {str(field.alias) for field in StackConfig.model_fields.values()}
    assert set(fleet["inputProperties"]) == {"publicKey", *keys}
    assert set(EXAMPLE["resources"]["trainers"]["properties"]) <= set(fleet["inputProperties"])
    read = {words.split(".")[1].rstrip("}") for words in EXAMPLE["outputs"].values()}
    assert read <= set(fleet["properties"])


def test_another_program_makes_and_ends_a_fleet(project: Project, other: Path) -> None:
    asks(project, other)
    project.pulumi("up", "--yes", "-C", str(other), within=500).ok()
    said = json.loads(project.pulumi("stack", "output", "--json", "-C", str(other)).ok().out)
    assert [node["rank"] for node in said["nodes"]] == [0, 1] and said["ends"].startswith("at(2")
    assert len(sweep.live(project.cloud(), "trainers")) == 2
    assert "unchanged" in project.pulumi("up", "--yes", "--expect-no-changes", "-C", str(other)).ok().out
    project.pulumi("destroy", "--yes", "-C", str(other)).ok()
    assert [thing for answer in sweep.look(project.cloud(), "trainers") for thing in answer.found] == []


def test_a_wrong_property_is_refused_in_one_line(project: Project, other: Path) -> None:
    asks(project, other, instanceType="p5.48xlrge")
    done = project.pulumi("preview", "-C", str(other))
    assert done.code != 0 and "is no instance type of the catalog. Did you mean p5.48xlarge?" in done.all
