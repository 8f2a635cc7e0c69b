"""What goes wrong x where it goes wrong: each row of the table that trains nothing (tests/full has the others)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_cases import Row, holds, rows
from project import Project, project_in


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with project_in(tmp_path_factory.mktemp("faults") / "clone") as project:
        project.fleet("sandbox", "start").ok()
        yield project


@pytest.fixture(scope="module")
def job(project: Project) -> Path:
    (project.root / "train.py").write_text("")
    file = project.root / "job.yaml"
    file.write_text("trainer: torchrun\ncommand: train.py\n")
    return file


@pytest.mark.parametrize("row", [pytest.param(row, marks=row.marks, id=row.id) for row in rows() if not row.trains])
def test_a_fault_is_told_and_leaves_what_the_table_says(row: Row, project: Project, job: Path) -> None:
    holds(row, project, job)
