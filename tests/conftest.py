"""Whole fleets for tests: the tiny model and its data, a project with its sandbox, and one run from plan to receipt."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from project import REPO, Life, Local, Project, eventually, project_in
from xdist.scheduler import LoadScopeScheduling

from infra import engine

# Started in the background by a shell without job control, Ctrl-C is ignored, by us and by what we start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No test asserts on time.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

#: What trains: torchrun listens on all addresses, so that two of them at once would want one port.
TRAINING = {
    "test_lifecycle.py",
    "test_loopback.py",
    "test_own_hosts.py",
    "test_interrupted.py",
    "test_stages.py",
    "test_bad_input.py",
    "test_arguments.py",
    "test_data.py",
    "test_own_code.py",
    "test_recipes.py",
    "test_runs.py",
}


def trains(nodeid: str) -> bool:
    file = Path(nodeid.split("::")[0])
    return "full" in file.parts or (file.name in TRAINING and "unit" not in file.parts)


class ByFile(LoadScopeScheduling):
    """A file stays with one worker, for the machines that its tests share; what trains is all one file."""

    def _split_scope(self, nodeid: str) -> str:
        return "training" if trains(nodeid) else nodeid.split("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first."""
    items.sort(key=lambda item: (not trains(item.nodeid), "unit" in item.path.parts))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with model/ and docstrings.jsonl, as scripts/demo has them."""
    folder = tmp_path_factory.mktemp("tiny")
    subprocess.run([REPO / "scripts" / "make-tiny", folder], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project and a sandbox for the tests of one file."""
    with project_in(tmp_path_factory.mktemp("project") / "clone") as made:
        yield made


@pytest.fixture(scope="session")
def life(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Iterator[Life]:
    """`fleet run job.yaml -s sandbox --yes` of the demo's recipe, in a sandbox that it starts itself."""
    engine.ensure()
    folder = tmp_path_factory.mktemp("life")
    seen = folder / "sockets"
    with project_in(folder / "clone") as project:
        project.env |= {"PYTHONPATH": str(Path(__file__).parent / "audit"), "SOCKETS_SEEN": str(seen)}
        done = project.fleet("run", project.job(tiny), "-s", "sandbox", "--yes", within=500).ok()
        # What is left of the run itself: a process with the sandbox's home that is not the sandbox.
        idle = eventually(lambda: [one for one in project.processes().values() if "infra.sandbox" in one])
        left = project.left() + [one for one in project.processes().values() if one not in idle]
        calls = project.calls()
        [run] = (project.root / "runs").iterdir()
        project.fleet("sandbox", "stop").ok()
        sockets = [tuple(line.split("\t", 1)) for line in seen.read_text().splitlines()]
        receipt = json.loads((run / "receipt.json").read_text())
        yield Life(project, done, run, receipt, left, idle, calls, sockets)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Iterator[Local]:
    """`fleet run job.yaml --local` with a HOME of its own, where scripts/setup.sh makes the environment."""
    folder = tmp_path_factory.mktemp("local")
    home = folder / "home"
    home.mkdir()
    cache = subprocess.run(["uv", "cache", "dir"], check=True, capture_output=True, text=True).stdout.strip()
    with project_in(folder / "clone") as project:
        project.env |= {"HOME": str(home), "UV_CACHE_DIR": cache}
        job = project.job(tiny, dataset=f"{tiny}/docstrings.jsonl#64")
        yield Local(project, project.fleet("run", job, "--local", "--yes", within=500), home)
