"""Brings a run's output and logs here: listed with their sums on the nodes, fetched, verified. Resumable.

Rank 0 has the model and what goes with it; where the output is not shared, the other nodes hold pieces that only
they have (their optimizer shards, random states; megatron's logs on the last): the union is fetched.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from infra.errors import FleetError, TrainingFailed
from training.connection import Connection, Unreachable, quoted
from training.meter import Meter
from training.onnode import rank_dir
from training.remote import Machines
from training.run import Outcome, Run

LIST_S = 6 * 3600.0
SILENCE_S = 120.0

#: The folder; for each file: size, path, NUL; then sums by sha256sum -z, four files at a time; then links.
LIST = r"""
cd -- "$own" 2>/dev/null || cd -- "$folder" 2>/dev/null || exit 0
printf '%s\0' "$PWD"
find . -type f -printf '%s %P\0'
printf 'sums\0'
find . -type f -printf '%P\0' | xargs -0 -r -P 4 -n 4 sha256sum -z --
printf 'links\0'
find . -type l -printf '%P\0%l\0'
"""


@dataclass(frozen=True)
class RemoteFile:
    """folder: where it lies on its node; nodes may have different homes."""

    rank: int
    size: int
    sha256: str
    folder: str = ""


@dataclass(frozen=True)
class Artifacts:
    """What came back. verified: every file here has the sum that its node gave."""

    folder: Path
    files: int
    bytes: int
    verified: bool
    missing: tuple[str, ...] = ()


def collect(
    machines: Machines,
    run: Run,
    outcome: Outcome,
    folder: Path,
    say: Callable[[str], None] = lambda text: None,
) -> Artifacts:
    """The run's output in `<folder>/output`, every rank's log in `<folder>/logs`.

    Of a shared output the first node that answers gives all. Else what only a node has that does not answer is named in
    `missing`, as is the log of a rank that was not followed to its end; rank 0's silence is raised.
    """
    failed = _logs(machines, run, folder / "logs")
    lost = [f"rank {rank}'s log: {error}" for rank, error in failed.items() if outcome.exit_codes.get(rank) is None]
    source = outcome.run_dir or run.output_dir
    output = folder / "output"
    output.mkdir(parents=True, exist_ok=True)
    if not source:
        return Artifacts(output, 0, 0, not lost, tuple(lost))
    there, missed = _output(machines, run, source, output, say)
    lost += [f"what rank {rank} alone has of the output: {error}" for rank, error in missed.items()]
    return Artifacts(output, len(there), sum(one.size for one in there.values()), not lost, tuple(lost))


def _output(
    machines: Machines, run: Run, source: str, output: Path, say: Callable[[str], None]
) -> tuple[dict[str, RemoteFile], dict[int, FleetError]]:
    """What is here now, and of each node that could not give its part why."""
    if not run.shared:
        return _brought(machines, run, source, run.ranks, output, say)
    for rank in run.ranks[:-1]:
        try:
            return _brought(machines, run, source, (rank,), output, say)
        except Unreachable as error:
            say(f"rank {rank} does not answer, another gives what they share: {error}")
    return _brought(machines, run, source, run.ranks[-1:], output, say)


def _brought(
    machines: Machines, run: Run, source: str, ranks: tuple[int, ...], output: Path, say: Callable[[str], None]
) -> tuple[dict[str, RemoteFile], dict[int, FleetError]]:
    listings = machines.each(lambda c: _listed(c, run, source), ranks, idempotent=True)
    first = listings[ranks[0]]
    if isinstance(first, FleetError):
        raise first
    there = union([one for one in listings.values() if not isinstance(one, FleetError)])
    missed = {rank: one for rank, one in listings.items() if isinstance(one, FleetError)}
    wanted = missing(there, sums(output))
    meter = Meter(say, "output", sum(there[path].size for path in wanted))
    for path in wanted:
        rank = there[path].rank
        if rank in missed:
            del there[path]
            continue
        try:
            _fetch(machines, there[path], path, output / path, meter.add)
        except Unreachable as error:
            if rank == ranks[0]:
                raise
            missed[rank] = error
            del there[path]
    _link(first.links, PurePosixPath(source), output)
    return there, missed


def collected(folder: Path) -> Artifacts | None:
    """What an earlier collect, since cut off, brought whole into a run's folder: of all its steps."""
    output = folder / "output"
    files = [file for one in (output, *folder.glob("*/output")) for file in one.rglob("*") if file.is_file()]
    return Artifacts(output, len(files), sum(file.stat().st_size for file in files), verified=True) if files else None


@dataclass(frozen=True)
class Listing:
    files: Mapping[str, RemoteFile]
    links: Mapping[str, str]


def read_listing(rank: int, data: bytes) -> Listing:
    """LIST's answer. Paths that would leave the folder are refused: a node's word is not trusted with our disk."""
    folder, _, rest = data.partition(b"\0")
    head, _, rest = rest.partition(b"sums\0")
    summed, _, linked = rest.partition(b"links\0")
    sizes = {path: size for size, _, path in (one.partition(" ") for one in _texts(head))}
    shas = {text[66:]: text[:64] for text in _texts(summed)}
    pairs = _texts(linked)
    here = folder.decode("utf-8", "surrogateescape")
    files = {path: RemoteFile(rank, int(size), shas[path], here) for path, size in sizes.items() if path in shas}
    return Listing(
        {path: one for path, one in files.items() if _inside(path)},
        {path: to for path, to in zip(pairs[::2], pairs[1::2], strict=True) if _inside(path)},
    )


def union(listings: list[Listing]) -> dict[str, RemoteFile]:
    """Every path once, from the first node that has it. Pure."""
    found: dict[str, RemoteFile] = {}
    for listing in listings:
        for path, one in listing.files.items():
            found.setdefault(path, one)
    return found


def missing(there: Mapping[str, RemoteFile], here: Mapping[str, str]) -> list[str]:
    """Paths that are not here, or are here with another sum; small ones first. Pure. here: path -> sha256."""
    wanted = [path for path, one in there.items() if here.get(path) != one.sha256]
    return sorted(wanted, key=lambda path: (there[path].size, path))


def sums(folder: Path) -> dict[str, str]:
    """sha256 of every file in a folder, unfinished ones aside."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.suffix != ".part":
            with path.open("rb") as file:
                found[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def _listed(connection: Connection, run: Run, source: str) -> Listing:
    """The folder as the node itself would write it, or (nodes of one disk) as rank 0 does."""
    base_0, base = run.base[run.master], run.base[connection.node.rank]
    own = base + source.removeprefix(base_0) if source.startswith(base_0 + "/") else source
    script = f"own={quoted(own)}; folder={quoted(source)}\n{LIST}"
    answer = connection.run(script, LIST_S).must(connection.node, "listing the output")
    return read_listing(connection.node.rank, answer.raw)


def _fetch(machines: Machines, one: RemoteFile, path: str, local: Path, progress: Callable[[int], None]) -> None:
    """One file, from where an earlier attempt left it. A part that turns out wrong is fetched anew, once."""
    remote = f"{one.folder}/{path}"
    local.parent.mkdir(parents=True, exist_ok=True)
    part = local.with_name(local.name + ".part")
    for _ in range(2):
        if part.exists() and part.stat().st_size > one.size:
            part.unlink()

        def on_node(connection: Connection) -> None:
            held = part.stat().st_size if part.exists() else 0
            progress(held)
            connection.get(remote, part, held, progress, SILENCE_S)

        machines.on(one.rank, on_node, idempotent=True)
        with part.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() == one.sha256:
                part.replace(local)
                return
        part.unlink()
    do = "Is it still being written? Else the disk or the way is bad. Collect again."
    raise TrainingFailed(f"{remote} came with another sha256", where=machines.node(one.rank).name, do=do)


def _logs(machines: Machines, run: Run, folder: Path) -> dict[int, FleetError]:
    """Fetches what is still missing of each rank's log; gives the ranks where that failed."""
    folder.mkdir(parents=True, exist_ok=True)

    def one(connection: Connection) -> None:
        rank = connection.node.rank
        local = folder / f"rank-{rank}.log"
        connection.get(f"{rank_dir(run.id, rank)}/log", local, local.stat().st_size if local.exists() else 0)

    results = machines.each(one, run.ranks, idempotent=True)
    return {rank: result for rank, result in results.items() if isinstance(result, FleetError)}


def _link(links: Mapping[str, str], source: PurePosixPath, output: Path) -> None:
    """Makes the links that stay inside (`last-checkpoint`), relative, so that the folder can be moved."""
    for path, to in links.items():
        target = PurePosixPath(to)
        if target.is_absolute():
            if not target.is_relative_to(source):
                continue
            up = "../" * path.count("/")
            target = PurePosixPath(up + str(target.relative_to(source)))
        link = output / path
        if not _inside(os.path.normpath(PurePosixPath(path).parent / target)):
            continue
        link.parent.mkdir(parents=True, exist_ok=True)
        if link.is_symlink():
            link.unlink()
        if not link.exists():
            link.symlink_to(target)


def _inside(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return bool(parts) and not path.startswith("/") and ".." not in parts


def _texts(data: bytes) -> list[str]:
    return [one.decode("utf-8", "surrogateescape") for one in data.split(b"\0") if one]
