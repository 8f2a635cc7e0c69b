"""The real engine with the embedded provider and language host, by plain `pulumi` commands."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from clouds import Cloud

from infra import engine

BIN = Path(__file__).parents[2] / "infra" / "sandbox" / "bin"
PROJECT = {"name": "small", "runtime": "python", "main": "program"}
PROGRAM = """
import pulumi_aws as aws

network = aws.ec2.Vpc("network", cidr_block="10.20.0.0/16", enable_dns_hostnames=True)
subnet = aws.ec2.Subnet("subnet", vpc_id=network.id, cidr_block="10.20.0.0/20")
group = aws.ec2.SecurityGroup("nodes", vpc_id=network.id)
aws.vpc.SecurityGroupIngressRule(
    "members", security_group_id=group.id, ip_protocol="-1", referenced_security_group_id=group.id
)
files = aws.efs.FileSystem("files", encrypted=True)
"""


@dataclass
class Pulumi:
    command: Path
    folder: Path
    environ: dict[str, str]

    def __call__(self, *arguments: str) -> str:
        done = subprocess.run(
            [self.command, *arguments, "--non-interactive", "--color", "never"],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=180,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def pulumi(cloud: Cloud, tmp_path: Path) -> Pulumi:
    command = engine.ensure()
    (tmp_path / "Pulumi.yaml").write_text(yaml.safe_dump(PROJECT))
    (tmp_path / "program").mkdir()
    (tmp_path / "program" / "__main__.py").write_text(PROGRAM)
    url = cloud.running.url
    config = {
        "aws:region": "us-east-1",
        "aws:skipCredentialsValidation": True,
        "aws:maxRetries": 1,
        "aws:defaultTags": {"tags": {"fleet": "small"}},
        "aws:endpoints": [{"ec2": url, "efs": url, "sts": url}],
    }
    (tmp_path / "Pulumi.dev.yaml").write_text(yaml.safe_dump({"config": config}))
    environ = {
        **os.environ,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "FLEET_PYTHON": sys.executable,
        "PULUMI_HOME": str(tmp_path / "home"),
        "PULUMI_BACKEND_URL": f"file://{tmp_path}",
        "PULUMI_CONFIG_PASSPHRASE": "test",
        "PULUMI_SKIP_UPDATE_CHECK": "1",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "1",
    }
    return Pulumi(command, tmp_path, environ)


def test_preview_up_refresh_and_destroy_mean_what_they_mean_on_aws(pulumi: Pulumi, cloud: Cloud) -> None:
    pulumi("stack", "init", "dev")
    assert "6 to create" in pulumi("preview")
    assert "6 created" in pulumi("up", "--yes", "--skip-preview")
    assert "6 unchanged" in pulumi("up", "--yes", "--skip-preview")
    ec2 = cloud.client("ec2")
    mine = [{"Name": "tag:fleet", "Values": ["small"]}]
    (network,) = ec2.describe_vpcs(Filters=mine)["Vpcs"]
    ec2.create_tags(Resources=[network["VpcId"]], Tags=[{"Key": "rogue", "Value": "1"}])
    assert "1 updated" in pulumi("refresh", "--yes")
    assert "1 to update" in pulumi("preview")
    assert "1 updated" in pulumi("up", "--yes", "--skip-preview")
    assert "6 deleted" in pulumi("destroy", "--yes", "--skip-preview")
    assert ec2.describe_vpcs(Filters=mine)["Vpcs"] == []
