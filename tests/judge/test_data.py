"""ms-swift is the judge: what it keeps of a data file, and what `fleet data check` says of it, beside each other.

Which environment: that of the `local` run, or the python that SWIFT_PYTHON names, made from scripts/locks/base.txt.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from data_cases import BAD, GOOD, Case

from training.findings import ok
from training.swift.data.check import check_file

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def kept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, int | None]:
    """Of each case the rows that ms-swift keeps; all in one process, whose imports take most of the time."""
    named = os.environ.get("SWIFT_PYTHON")
    python = named or request.getfixturevalue("local").python
    folder = tmp_path_factory.mktemp("data")
    files = {case.name: folder / f"{case.name}{case.ending}" for case in (*GOOD, *BAD)}
    for case in (*GOOD, *BAD):
        files[case.name].write_bytes(case.data)
    done = subprocess.run(
        [python, HERE / "data_judged.py", *files.values()],
        capture_output=True,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "MODELSCOPE_CACHE": str(folder), "HF_HOME": str(folder)},
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout)
    return {name: said[str(file)] for name, file in files.items()}


@pytest.mark.parametrize("case", [*GOOD, *BAD], ids=lambda case: case.name)
def test_ms_swift_keeps_as_many_rows_as_is_said(case: Case, kept: Mapping[str, int | None]) -> None:
    assert kept[case.name] == case.kept


@pytest.mark.parametrize("case", [*GOOD, *BAD], ids=lambda case: case.name)
def test_a_file_that_ms_swift_refuses_or_cuts_is_never_called_right(
    case: Case, kept: Mapping[str, int | None], tmp_path: Path
) -> None:
    file = tmp_path / f"{case.name}{case.ending}"
    file.write_bytes(case.data)
    report = check_file(file, case.task)
    if kept[case.name] is None:
        assert not ok(report.findings)
    elif ok(report.findings):
        assert report.rows == kept[case.name]
    else:
        assert report.kept <= kept[case.name]
