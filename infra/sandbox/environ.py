"""The environment of a host: clean, but for what lets it reach packages the way the operator's machine does."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

HOSTBIN = Path(__file__).parent / "hostbin"
USER = "ec2-user"

_PASSED_ON = re.compile(
    r"(SSL_CERT_FILE|SSL_CERT_DIR|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|NODE_EXTRA_CA_CERTS|HF_HUB_OFFLINE"
    r"|(HTTPS?|ALL|NO)_PROXY"
    r"|(UV|PIP)_\w*(INDEX|FIND_LINKS|MIRROR|CERT|TRUSTED_HOST|INSECURE_HOST|NATIVE_TLS|CONFIG_FILE|TIMEOUT)\w*)",
    re.IGNORECASE,
)


def host_environment(operator: Mapping[str, str], host: Path, control_url: str, python: str) -> dict[str, str]:
    """`host` is the host's folder; `operator` the environment that the sandbox was started with."""
    home = host / "home"
    passed = {name: value for name, value in operator.items() if _PASSED_ON.fullmatch(name)}
    return (
        _config_files(operator)
        | passed
        | {
            "HOME": str(home),
            "USER": USER,
            "LOGNAME": USER,
            "SHELL": "/bin/bash",
            "LANG": "C.UTF-8",
            "TMPDIR": str(scratch(host)),
            "PATH": ":".join([str(HOSTBIN), *operator_path(operator.get("PATH", ""))]),
            # The operator's cache stands for the package mirror near the fleet: N hosts do not download N times.
            "UV_CACHE_DIR": str(_uv_cache(operator)),
            # What is root's on EC2 (infra/userdata.py): where the lease keeps its deadline, and the configuration.
            "FLEET_STATE_DIR": str(host / "state"),
            "FLEET_ETC": str(host / "etc"),
            "FLEET_SANDBOX_HOST": control_url,
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": f"{control_url}/imds/",
            "FLEET_SANDBOX_PYTHON": python,
        }
    )


def scratch(host: Path) -> Path:
    """A host's /tmp. It lies outside the host's folder, whose path may be long: a Unix socket's has 107 bytes at most,
    and Python's multiprocessing needs 32 of them below TMPDIR."""
    return Path(tempfile.gettempdir()) / f"fleet-{host.name}"


def operator_path(path: str) -> list[str]:
    """PATH without the folders of virtual environments: a host has its own interpreter and packages."""
    folders = [folder for folder in path.split(":") if folder]
    kept = [f for f in folders if not (Path(f).parent / "pyvenv.cfg").exists() and Path(f) != HOSTBIN]
    return kept + [folder for folder in ("/usr/bin", "/bin") if folder not in kept]


def _config_files(operator: Mapping[str, str]) -> dict[str, str]:
    """Where uv and pip find the operator's own index settings, which they would look for under HOME."""
    home = Path(operator.get("HOME") or Path.home())
    config = Path(operator.get("XDG_CONFIG_HOME") or home / ".config")
    files = {"UV_CONFIG_FILE": config / "uv" / "uv.toml", "PIP_CONFIG_FILE": config / "pip" / "pip.conf"}
    return {name: str(path) for name, path in files.items() if path.exists()}


def _uv_cache(operator: Mapping[str, str]) -> Path:
    if given := operator.get("UV_CACHE_DIR"):
        return Path(given)
    home = Path(operator.get("HOME") or Path.home())
    return Path(operator.get("XDG_CACHE_HOME") or home / ".cache") / "uv"
