from __future__ import annotations

import os
from pathlib import Path

import pytest

from infra.engine import OLDEST, VERSION, find
from infra.errors import BadInput


def pulumi(folder: Path, script: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "pulumi"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return file


def environment(tmp_path: Path) -> dict[str, str]:
    return {"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path)}


def cache(tmp_path: Path, base: str = ".cache") -> Path:
    return tmp_path / base / "swift-fleet" / f"pulumi-{VERSION}" / "bin"


def test_where_there_is_none_none_is_found(tmp_path: Path) -> None:
    assert find(environment(tmp_path)) is None


def test_the_one_on_path_comes_before_the_one_in_the_cache(tmp_path: Path) -> None:
    cached = pulumi(cache(tmp_path), f"echo v{VERSION}")
    assert find(environment(tmp_path)) == cached
    on_path = pulumi(tmp_path / "bin", "echo v3.300.1")
    assert find(environment(tmp_path)) == on_path


def test_the_cache_is_where_the_user_has_it(tmp_path: Path) -> None:
    cached = pulumi(cache(tmp_path, "elsewhere"), f"echo v{VERSION}")
    assert find(environment(tmp_path) | {"XDG_CACHE_HOME": str(tmp_path / "elsewhere")}) == cached


def test_a_file_that_can_not_be_run_is_passed_over(tmp_path: Path) -> None:
    pulumi(tmp_path / "bin", "echo v3.300.1").chmod(0o644)
    assert find(environment(tmp_path)) is None


@pytest.mark.parametrize("said", ["v3.250.0", "3.259.0", "v3.259.0-alpha.1", "v4.0.0", "v3.259.0-dev.0"])
def test_any_release_that_is_new_enough_will_do(tmp_path: Path, said: str) -> None:
    on_path = pulumi(tmp_path / "bin", f"echo {said}")
    assert find(environment(tmp_path)) == on_path


@pytest.mark.parametrize("said", ["v3.199.9", "v2.25.2", "v3.9.0"])
def test_one_that_is_too_old_is_refused_with_what_is_needed(tmp_path: Path, said: str) -> None:
    on_path = pulumi(tmp_path / "bin", f"echo {said}")
    with pytest.raises(BadInput) as caught:
        find(environment(tmp_path))
    oldest = ".".join(map(str, OLDEST))
    assert str(caught.value) == (
        f"{on_path}  pulumi {said} is too old, {oldest} is needed. "
        "Update it, or take it off PATH to have fleet get one."
    )


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo nightly", "says 'nightly' for its version"),
        ("true", "says '' for its version"),
        ("exit 3", "can't be run"),
        ("kill -9 $$", "can't be run"),
    ],
)
def test_one_that_does_not_say_its_version_is_refused(tmp_path: Path, script: str, said: str) -> None:
    pulumi(tmp_path / "bin", script)
    with pytest.raises(BadInput, match=said):
        find(environment(tmp_path))


def test_a_broken_binary_is_refused(tmp_path: Path) -> None:
    file = pulumi(tmp_path / "bin", "")
    file.write_bytes(os.urandom(64))
    with pytest.raises(BadInput, match="can't be run"):
        find(environment(tmp_path))
