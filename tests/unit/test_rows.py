"""What must all work is a list of rows; each is named by a test that shows it, in its text, its cases or its name."""

from __future__ import annotations

import re
import tomllib

from project import REPO

#: How many rows a kind has. PARAM's row is one list: tests/unit/training/swift/test_params.py goes through it.
ROWS = {
    "CLI": 18, "QUICK": 26, "ENV": 14, "DIST": 9, "TASK": 6, "RUN": 3, "POST": 5, "MEG": 13, "SIZE": 12, "DATA": 11,
    "PLUG": 1, "TROUBLE": 39, "NOTE": 8, "GUIDE": 7, "SKILL": 1, "CARD": 10,
}  # fmt: skip


def test_every_row_is_named_by_a_test() -> None:
    files = [
        file for kind in ("py", "yaml") for file in (REPO / "tests").rglob(f"*.{kind}") if file.name != "test_rows.py"
    ]
    text = "\n".join(file.read_text(encoding="utf-8") for file in files) + CARDS
    named = {f"{kind}-{number}" for kind, number in re.findall(r"(?<![A-Z])([A-Z]+)[-_](\d+)(?!\d)", text)}
    for kind, first, last in re.findall(r"\b([A-Z]+)-(\d+) to \1-(\d+)", text):
        named |= {f"{kind}-{number}" for number in range(int(first), int(last) + 1)}
    rows = [f"{kind}-{number}" for kind, last in ROWS.items() for number in range(1, last + 1)]
    assert [row for row in rows if row not in named] == []


#: Shown below.
CARDS = "CARD-7 CARD-8"


def test_the_packages_that_were_asked_for_are_what_it_is_made_of() -> None:
    """CARD-7: of ms-swift, which the nodes have, the locks tell; the others are the tool's own."""
    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[<>=\[ ;]", one)[0] for one in project["dependencies"]}
    assert {"pulumi", "pulumi-aws", "boto3", "fabric", "pyyaml"} <= names
    assert "ms-swift" not in names
    assert any("\nms-swift==" in file.read_text() for file in (REPO / "scripts").rglob("*.txt"))


def test_the_top_level_is_laid_out_as_asked() -> None:
    """CARD-8."""
    asked = ("infra", "training", "stacks", "scripts", "tests", "Pulumi.yaml", "pyproject.toml")
    assert [name for name in asked if not (REPO / name).exists()] == []
