from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from infra.errors import BadInput
from infra.sandbox import process
from infra.sandbox.environ import HOSTBIN, host_environment, operator_path
from infra.sandbox.state import hold, is_alive, state_dir


def stack(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "Pulumi.x.yaml"
    path.write_text(text)
    return path


def test_a_stack_on_loopback_is_a_sandbox_stack(tmp_path: Path) -> None:
    text = "config:\n  aws:endpoints:\n    - ec2: http://127.0.0.1:4577\n      efs: http://127.0.0.1:4577\n"
    assert process.endpoint_port(stack(tmp_path, text)) == 4577


def test_the_shipped_sandbox_stack_is_one() -> None:
    assert process.endpoint_port(Path(__file__).parents[4] / "stacks" / "Pulumi.sandbox.yaml")


@pytest.mark.parametrize(
    "text", ["", "config: {}", "config:\n  aws:endpoints:\n    - ec2: https://ec2.example.com\n", "encryptionsalt: x\n"]
)
def test_any_other_stack_is_none(tmp_path: Path, text: str) -> None:
    assert process.endpoint_port(stack(tmp_path, text)) is None


def test_endpoints_of_two_clouds_are_refused(tmp_path: Path) -> None:
    text = "config:\n  aws:endpoints:\n    - ec2: http://127.0.0.1:1\n      efs: http://127.0.0.1:2\n"
    with pytest.raises(BadInput, match="more than one"):
        process.endpoint_port(stack(tmp_path, text))


def test_a_taken_port_is_named_with_what_to_do(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(BadInput) as error:
            process.start(tmp_path, port)
    assert str(port) in str(error.value)
    assert "aws:endpoints" in str(error.value)


def test_pulumi_gets_a_backend_and_a_passphrase_of_its_own(tmp_path: Path) -> None:
    env = process.environment(tmp_path)
    passphrase = Path(env["PULUMI_CONFIG_PASSPHRASE_FILE"])
    assert stat.S_IMODE(passphrase.stat().st_mode) == 0o600
    assert env["PULUMI_BACKEND_URL"] == f"file://{tmp_path}/pulumi?metadata=skip"
    assert env["PATH"].endswith(os.environ["PATH"])
    assert process.environment(tmp_path) == env


def test_where_the_state_goes(tmp_path: Path) -> None:
    assert state_dir(1, {"FLEET_SANDBOX_HOME": "/a"}) == Path("/a/1")
    assert state_dir(1, {"XDG_STATE_HOME": "/b", "HOME": "/c"}) == Path("/b/swift-fleet/sandbox/1")
    assert state_dir(1, {"HOME": "/c"}) == Path("/c/.local/state/swift-fleet/sandbox/1")


def test_a_folder_is_alive_while_its_lock_is_held(tmp_path: Path) -> None:
    assert not is_alive(tmp_path)
    with hold(tmp_path / "alive.lock", wait=False):
        assert is_alive(tmp_path)
    assert not is_alive(tmp_path)


def test_nothing_runs_in_an_unused_folder(tmp_path: Path) -> None:
    assert process.status(tmp_path) == {"running": False}
    assert process.stop(tmp_path) is False


def test_a_host_inherits_nothing_but_the_way_to_its_packages(tmp_path: Path) -> None:
    operator = {
        "HOME": "/home/me", "PATH": "/usr/bin", "SECRET": "x", "AWS_ACCESS_KEY_ID": "x", "VIRTUAL_ENV": "/v",
        "PYTHONDONTWRITEBYTECODE": "1", "https_proxy": "p", "UV_DEFAULT_INDEX": "i", "UV_PROJECT_ENVIRONMENT": "no",
        "PIP_FIND_LINKS": "w", "SSL_CERT_FILE": "c", "HF_HUB_OFFLINE": "1",
    }  # fmt: skip
    env = host_environment(operator, tmp_path, "http://control", "/python")
    assert {k for k in env if k in operator} == {
        "HOME", "PATH", "https_proxy", "UV_DEFAULT_INDEX", "PIP_FIND_LINKS", "SSL_CERT_FILE", "HF_HUB_OFFLINE",
    }  # fmt: skip
    assert env["HOME"] == str(tmp_path / "home")
    assert env["FLEET_STATE_DIR"] == str(tmp_path / "state")
    assert env["FLEET_ETC"] == str(tmp_path / "etc"), "the developer's own /etc is not a host's"
    assert env["UV_CACHE_DIR"] == "/home/me/.cache/uv"
    assert env["PATH"].split(":")[0] == str(HOSTBIN)


def test_virtual_environments_are_not_on_a_hosts_path(tmp_path: Path) -> None:
    (tmp_path / "v" / "bin").mkdir(parents=True)
    (tmp_path / "v" / "pyvenv.cfg").touch()
    assert operator_path(f"{tmp_path}/v/bin:/usr/bin:/bin") == ["/usr/bin", "/bin"]
