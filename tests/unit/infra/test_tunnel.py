from __future__ import annotations

from pathlib import Path

import pytest

from infra.cloud import Cloud
from infra.errors import BadInput
from infra.tunnel import TOOLS, tools, tunnel


def test_a_session_is_asked_for_as_aws_writes_it_for_openssh() -> None:
    assert " ".join(tunnel(Cloud("eu-west-1", profile="team"), "/usr/bin/aws", "i-0123456789abcdef0", 2222)) == (
        "/usr/bin/aws ssm start-session --target i-0123456789abcdef0 --document-name AWS-StartSSHSession "
        "--parameters portNumber=2222 --region eu-west-1 --profile team"
    )


def test_an_endpoint_of_ones_own_is_asked() -> None:
    line = tunnel(Cloud("us-east-1", endpoints={"ssm": "https://vpce.example"}), "aws", "i-0123456789abcdef0", 22)
    assert line[-2:] == ("--endpoint-url", "https://vpce.example")


@pytest.mark.parametrize("there", [(), ("aws",), ("session-manager-plugin",)])
def test_the_tool_that_is_missing_is_named(tmp_path: Path, there: tuple[str, ...]) -> None:
    for name in there:
        (tmp_path / name).touch(0o755)
    missing = next(name for name in TOOLS if name not in there)
    with pytest.raises(BadInput, match=f"access: ssm needs {missing}, which is not on PATH. Install"):
        tools(str(tmp_path))


def test_both_tools_together_are_enough(tmp_path: Path) -> None:
    for name in TOOLS:
        (tmp_path / name).touch(0o755)
    assert tools(str(tmp_path)) == str(tmp_path / "aws")
