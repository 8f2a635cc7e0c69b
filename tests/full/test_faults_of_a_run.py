"""What befalls a machine of a run, stage by stage: the rows of the table that set up nodes, most of which train."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fault_cases import Row, holds, rows
from project import Project


@pytest.fixture(scope="module")
def job(project: Project, tiny: Path) -> Path:
    project.fleet("sandbox", "start").ok()
    return project.job(tiny, num_train_epochs=4)


@pytest.mark.parametrize("row", [pytest.param(row, marks=row.marks, id=row.id) for row in rows() if row.trains])
def test_a_fault_is_told_and_leaves_what_the_table_says(row: Row, project: Project, job: Path) -> None:
    holds(row, project, job)


@pytest.mark.full
def test_a_rank_that_aborts_when_its_work_is_done_fails_no_run(project: Project, tiny: Path) -> None:
    """As torch's Gloo threads do now and then while Python ends (pytorch pull request 179291)."""
    (project.root / "abort.py").write_text(
        'import atexit, os\n\nif os.environ["NODE_RANK"] == "1":\n    atexit.register(os.abort)\n'
    )
    project.stack(change={"swift-fleet:nodes": 2, "swift-fleet:sharedFiles": True})
    job = project.job(tiny, "aborts.yaml")
    job.write_text(job.read_text() + "plugins: [abort.py]\n")
    done = project.fleet("run", job, "-s", "sandbox", "--yes", within=600).ok()
    assert re.search("rank 1 ended, exit code 1.*its work was done.*stopping what is left: rank 0", done.all, re.DOTALL)
    project.fleet("down", "-s", "sandbox").ok()
