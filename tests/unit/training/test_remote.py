from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from infra.errors import BadInput, CloudRefused, FleetError
from training import inventory
from training.connection import Result, Unreachable, quoted, whole
from training.inventory import Node
from training.local import Local
from training.remote import Machines, all_or_raise

HERE = Node(0, "local", "", "127.0.0.1")


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Local:
    monkeypatch.setenv("HOME", str(tmp_path))
    return Local(HERE)


def test_a_script_is_read_whole_before_it_starts_and_is_nobodys_input(local: Local) -> None:
    assert local.run("cat; echo $(cat | wc -c); exit 3\necho never", 10) == Result(3, "0\n", "")


def test_a_long_script_goes_through(local: Local) -> None:
    assert local.run("x='" + "a" * 1_000_000 + "'\necho ${#x}", 10).out == "1000000\n"


def test_bytes_that_are_no_text_come_back_as_they_were(local: Local) -> None:
    assert local.run(r"printf '\377\0a'", 10).raw == b"\xff\0a"


def test_this_machine_starts_like_a_session_without_the_operators_rank(
    local: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NODE_RANK", "7")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("UV_CACHE_DIR", "/c")
    assert local.run('echo "$NODE_RANK$AWS_SECRET_ACCESS_KEY-$UV_CACHE_DIR"; pwd', 10).out.startswith("-/c\n/")


def test_what_takes_too_long_is_ended(local: Local) -> None:
    with pytest.raises(Unreachable, match="no answer in 0.2 s"):
        local.run("sleep 60", 0.2)


@pytest.mark.parametrize("name", ["plain", "with space", "it's", "$HOME", "-dash", "a;b"])
def test_any_path_is_quoted(local: Local, tmp_path: Path, name: str) -> None:
    (tmp_path / "in").write_bytes(b"0123456789")
    local.put(tmp_path / "in", f"~/d/{name}")
    local.get(f"~/d/{name}", tmp_path / "out", offset=4)
    assert (tmp_path / "d" / name).read_bytes() == b"0123456789"
    assert (tmp_path / "out").read_bytes() == b"456789"


def test_a_transfer_goes_on_where_it_stopped_and_cuts_what_is_beyond(local: Local, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"0123456789")
    (tmp_path / "there").write_bytes(b"0123garbage")
    moved: list[int] = []
    local.put(tmp_path / "in", "~/there", 4, moved.append)
    assert (tmp_path / "there").read_bytes() == b"0123456789" and sum(moved) == 6


def test_what_is_not_there_is_said(local: Local, tmp_path: Path) -> None:
    with pytest.raises(CloudRefused, match="reading ~/nope failed: .*No such file"):
        local.get("~/nope", tmp_path / "x")


def test_home_is_left_for_the_node_to_say() -> None:
    assert (quoted("~/a b"), quoted("~"), quoted("/x")) == ("\"$HOME\"/'a b'", '"$HOME"', "/x")


def test_a_script_may_hold_here_documents_and_comments() -> None:
    script = "cat <<'E'\nhi }\nE\n# the end"
    assert subprocess.run(["bash", "-s"], input=whole(script), capture_output=True, check=True).stdout == b"hi }\n"


def test_each_gives_every_node_its_own_result() -> None:
    with Machines(inventory.local()) as machines:
        assert machines.each(lambda c: c.node.name) == {0: "local"}

        def refuse(_: object) -> None:
            raise BadInput("no")

        assert isinstance(machines.each(refuse)[0], BadInput)


def test_all_or_raise_names_every_node_that_failed() -> None:
    results: dict[int, int | FleetError] = {0: 1, 1: BadInput("a", where="n1"), 2: BadInput("b", where="n2")}
    with pytest.raises(BadInput, match="n1  a\nn2  b"):
        all_or_raise(results)
    assert all_or_raise({0: 1}) == {0: 1}
