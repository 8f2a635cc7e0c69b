from __future__ import annotations

import hashlib
from pathlib import Path

from training.collect import RemoteFile, missing, read_listing, sums, union
from training.meter import Meter, amounts
from training.place import Shipment
from training.ship import items

A, B = "a" * 64, "b" * 64


def listing(*files: tuple[str, int, str], links: bytes = b"") -> bytes:
    head = b"".join(f"{size} {path}\0".encode() for path, size, _ in files)
    summed = b"".join(f"{sha}  {path}\0".encode() for path, _, sha in files)
    return b"/o\0" + head + b"sums\0" + summed + b"links\0" + links


def test_a_listing_gives_sizes_sums_and_links_of_awkward_names() -> None:
    data = listing(("a b\n'c.bin", 3, A), ("d/ü", 4, B), links=b"last\0checkpoint-2\0")
    read = read_listing(1, data)
    assert read.files == {"a b\n'c.bin": RemoteFile(1, 3, A, "/o"), "d/ü": RemoteFile(1, 4, B, "/o")}
    assert read.links == {"last": "checkpoint-2"}


def test_paths_that_leave_the_folder_are_refused() -> None:
    data = listing(("../x", 3, A), ("/etc/x", 3, A), ("a/../../x", 3, A), ("ok", 3, A), links=b"../l\0ok\0")
    read = read_listing(0, data)
    assert list(read.files) == ["ok"] and read.links == {}


def test_the_union_takes_each_path_from_the_first_node_that_has_it() -> None:
    first = read_listing(0, listing(("model", 3, A)))
    second = read_listing(1, listing(("model", 3, B), ("rng_state_1.pth", 4, B)))
    assert union([first, second]) == {"model": RemoteFile(0, 3, A, "/o"), "rng_state_1.pth": RemoteFile(1, 4, B, "/o")}


def test_only_what_is_absent_or_changed_is_fetched_small_ones_first() -> None:
    there = {"big": RemoteFile(0, 9, A), "same": RemoteFile(0, 1, A), "changed": RemoteFile(0, 2, A)}
    assert missing(there, {"same": A, "changed": B, "extra": A}) == ["changed", "big"]


def test_sums_leave_unfinished_files_out(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/x").write_bytes(b"1")
    (tmp_path / "y.part").write_bytes(b"2")
    assert sums(tmp_path) == {"d/x": hashlib.sha256(b"1").hexdigest()}


def test_a_folder_ships_as_its_files(tmp_path: Path) -> None:
    (tmp_path / "m/sub").mkdir(parents=True)
    (tmp_path / "m/sub/w").write_bytes(b"123")
    (tmp_path / "m/config.json").write_bytes(b"{}")
    made = items(Shipment("model", tmp_path / "m", "data/abc/m", 5))
    assert [(item.there, item.size) for item in made] == [("data/abc/m/config.json", 2), ("data/abc/m/sub/w", 3)]


def test_a_meter_says_how_far_it_is_about_once_a_second() -> None:
    said: list[str] = []
    meter = Meter(said.append, "data", 4096)
    meter.add(1024)
    meter.add(1024)
    assert said == ["data 1.0 of 4.0 KiB"]
    assert amounts(3 << 30, 61 << 30) == "3.0 of 61.0 GiB"
