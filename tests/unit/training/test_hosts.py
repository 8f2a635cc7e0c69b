from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from infra.errors import BadInput
from training.hosts import (
    Host,
    HostsFile,
    hosts_file,
    inventory_of,
    read_hosts,
    usable_key,
    with_host,
    without_host,
    write_hosts,
)

A = Host(address="198.51.100.1", key="/k", host_key="ssh-ed25519 A")
B = Host(address="198.51.100.2", key="/k", host_key="ssh-ed25519 B", user="root", port=2222, private_address="10.0.0.2")
LAB = HostsFile(fleets={"lab": (A, B)})


def test_no_file_is_no_hosts(tmp_path: Path) -> None:
    assert read_hosts(tmp_path) == HostsFile()


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    write_hosts(tmp_path, LAB)
    assert read_hosts(tmp_path) == LAB
    assert [file.name for file in hosts_file(tmp_path).parent.iterdir()] == ["hosts.yaml"]


def test_a_wrong_line_in_the_file_is_refused(tmp_path: Path) -> None:
    write_hosts(tmp_path, LAB)
    hosts_file(tmp_path).write_text("fleet: {}\n")
    with pytest.raises(BadInput, match=r"hosts.yaml:1  fleet  unknown key\. Did you mean fleets\?"):
        read_hosts(tmp_path)


def test_the_first_is_rank_0_and_the_rest_follow_in_order() -> None:
    inventory = inventory_of(with_host(HostsFile(fleets={"lab": (B,)}), "lab", A), "lab")
    assert [(node.rank, node.address, node.private_address) for node in inventory.nodes] == [
        (0, "198.51.100.2", "10.0.0.2"),
        (1, "198.51.100.1", "198.51.100.1"),
    ]
    assert (inventory.source, inventory.shared_path) == ("hosts", "")
    assert inventory.master.port == 2222


@pytest.mark.parametrize(
    ("again", "said"),
    [
        (A.model_copy(update={"host_key": "ssh-ed25519 C"}), r"198\.51\.100\.1:22 is in lab already\. "),
        (A.model_copy(update={"address": "host.example"}), r"already, as 198\.51\.100\.1 \(same host key\)"),
    ],
)
def test_the_same_machine_twice_is_refused(again: Host, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        with_host(LAB, "lab", again)


def test_another_port_of_an_address_is_another_machine_and_another_fleet_may_share_it() -> None:
    other = A.model_copy(update={"port": 23, "host_key": "ssh-ed25519 C"})
    assert with_host(LAB, "lab", other).fleets["lab"][2] == other
    assert with_host(LAB, "second", A).fleets["second"] == (A,)


def test_one_machine_is_forgotten_or_all_of_them() -> None:
    assert without_host(LAB, "lab", A.address).fleets == {"lab": (B,)}
    assert without_host(LAB, "lab", None).fleets == {}
    with pytest.raises(BadInput, match="lab has no host 198.51.100.9"):
        without_host(LAB, "lab", "198.51.100.9")


@pytest.mark.parametrize(("name", "said"), [("lap", "Did you mean lab?"), ("zoo", "There are: lab.")])
def test_an_unknown_fleet_is_told_the_nearest_or_all(name: str, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        inventory_of(LAB, name)
    assert said in str(caught.value)


def test_a_key_that_others_can_read_is_mended_where_it_is_ones_own(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_text("k")
    key.chmod(0o644)
    assert usable_key(key) == key
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_a_key_is_looked_for_from_the_home_folder_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "key.pem").touch(0o600)
    assert usable_key(Path("~/key.pem")) == tmp_path / "key.pem"


@pytest.mark.parametrize(("name", "said"), [("none.pem", "no such key file"), (".", "is no file")])
def test_a_key_that_is_no_file_is_refused(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        usable_key(tmp_path / name)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
def test_somebody_elses_open_key_is_refused(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.touch(0o644)
    os.chown(key, 12345, 12345)
    with pytest.raises(BadInput, match=r"mode 644\) and isn't yours to mend"):
        usable_key(key)
