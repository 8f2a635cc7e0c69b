"""What befalls a machine of a run, stage by stage: the rows of the table that set up nodes, most of which train."""

from __future__ import annotations

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
