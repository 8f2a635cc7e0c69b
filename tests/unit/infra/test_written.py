from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from infra.errors import BadInput
from infra.written import load, nearest, read_yaml, validate


class Pond(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    depth: int
    ducks: int = 0
    fish: dict[str, int] = {}


def written(folder: Path, text: str | bytes) -> Path:
    file = folder / "pond.yaml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def refusal(file: Path) -> str:
    with pytest.raises(BadInput) as caught:
        load(file, Pond)
    return str(caught.value).replace(str(file), "pond.yaml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("depth: 1\nduks: 3\n", "pond.yaml:2  duks  unknown key. Did you mean ducks?"),
        ("depth: 1\n\nboat: 3\n", "pond.yaml:3  boat  unknown key. Known: depth, ducks, fish."),
        ("ducks: 3\n", "pond.yaml  depth  is missing. Add it."),
        ("", "pond.yaml  depth  is missing. Add it."),
        ("# nothing\n", "pond.yaml  depth  is missing. Add it."),
        (
            "depth: deep\n",
            "pond.yaml:1  depth  Input should be a valid integer, unable to parse string as an integer "
            "(given: 'deep').",
        ),
        (
            "depth: 1\nfish:\n  carp: 2\n  pike: many\n",
            "pond.yaml:4  fish.pike  Input should be a valid integer, unable to parse string as an integer "
            "(given: 'many').",
        ),
        ("depth: 1\ndepth: 2\n", "pond.yaml:2  not YAML: depth is written twice. Correct that line."),
        (
            "depth: 1\nfish: {carp: 1, carp: 2}\n",
            "pond.yaml:2  not YAML: carp is written twice. Correct that line.",
        ),
        ("depth: [1\nducks: 2\n", "pond.yaml:2  not YAML: expected ',' or ']', but got ':'. Correct that line."),
        ("depth: 1\n? [a, b]\n: 2\n", "pond.yaml:2  not YAML: found unhashable key. Correct that line."),
        (
            "depth: 1\nself: &a {b: *a}\n",
            "pond.yaml:2  not YAML: found unconstructable recursive node. Correct that line.",
        ),
        ("- depth\n", "pond.yaml  not a mapping of keys to values. Write `key: value` lines."),
        ("depth", "pond.yaml  not a mapping of keys to values. Write `key: value` lines."),
    ],
)
def test_what_is_wrong_is_said_with_its_file_line_and_key(tmp_path: Path, text: str, said: str) -> None:
    assert refusal(written(tmp_path, text)) == said


def test_every_problem_of_a_file_is_said_at_once(tmp_path: Path) -> None:
    said = refusal(written(tmp_path, "depht: 1\nducks: x\n"))
    assert [line.split("  ")[1] for line in said.splitlines()] == ["depth", "ducks", "depht"]


@pytest.mark.parametrize("text", [b"\xff\xfe\x00d", b"depth: \x00\n", b"depth: \x07\n"])
def test_bytes_that_are_no_text_are_refused_in_one_line(tmp_path: Path, text: bytes) -> None:
    said = refusal(written(tmp_path, text))
    assert said.startswith("pond.yaml") and "\n" not in said


def test_a_character_that_no_editor_shows_is_named_with_its_line(tmp_path: Path) -> None:
    said = refusal(written(tmp_path, "depth: 1\nducks: \x07\n"))
    assert said == "pond.yaml:2  the character '\\x07' is not allowed in YAML. Take it out."


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "pond.yaml") == "pond.yaml  no such file. Check the path."


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    assert refusal(tmp_path).startswith("pond.yaml  can't be read")


def test_the_prefix_of_a_stack_file_stands_before_the_key() -> None:
    with pytest.raises(BadInput) as caught:
        validate(Pond, {"depth": 1, "duks": 1}, file=Path("p.yaml"), lines={"swift:duks": 9}, prefix="swift:")
    assert str(caught.value) == "p.yaml:9  swift:duks  unknown key. Did you mean ducks?"


def test_lines_are_known_one_level_down(tmp_path: Path) -> None:
    data, lines = read_yaml(written(tmp_path, "# pond\nfish:\n  carp: 1\n\n  pike: 2\ndepth: 3\n"))
    assert data == {"fish": {"carp": 1, "pike": 2}, "depth": 3}
    assert lines == {"fish": 2, "fish.carp": 3, "fish.pike": 5, "depth": 6}


def test_anchors_and_merges_mean_what_yaml_says(tmp_path: Path) -> None:
    data, _ = read_yaml(written(tmp_path, "base: &base {a: 1, b: 2}\nmore:\n  <<: *base\n  b: 3\n"))
    assert data["more"] == {"a": 1, "b": 3}


@pytest.mark.parametrize(
    ("word", "right"), [("lora_rnak", "lora_rank"), ("LORA", None), ("x", None), ("", None), ("lora_rank", "lora_rank")]
)
def test_the_nearest_name_is_only_guessed_where_it_is_near(word: str, right: str | None) -> None:
    assert nearest(word, ["lora_rank", "learning_rate", "model"]) == right


KEYS = st.from_regex(r"[a-z][a-z0-9_]{0,12}", fullmatch=True).filter(lambda key: yaml.safe_load(key) == key)
VALUES: st.SearchStrategy[Any] = st.one_of(
    st.integers(), st.booleans(), st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20)
)


@given(st.dictionaries(KEYS, st.one_of(VALUES, st.dictionaries(KEYS, VALUES, min_size=1)), min_size=1))
def test_what_yaml_writes_is_read_back_and_each_key_stands_on_its_line(
    tmp_path_factory: pytest.TempPathFactory, data: dict[str, Any]
) -> None:
    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=10_000)
    file = written(tmp_path_factory.getbasetemp(), text)
    read, lines = read_yaml(file)
    assert read == data
    shown = text.split("\n")
    for key, line in lines.items():
        assert shown[line - 1].strip().startswith(f"{key.split('.')[-1]}:")
