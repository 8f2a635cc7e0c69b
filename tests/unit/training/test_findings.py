from __future__ import annotations

from pathlib import Path

import pytest

from infra.errors import BadInput
from training.findings import Finding, ok, refuse, sentence

BAD = Finding("error", "args.lora_rnak", "swift sft has no argument lora_rnak", "Did you mean lora_rank?")
NOTE = Finding("note", "", "nothing was checked")


def test_a_finding_is_four_texts_for_a_program() -> None:
    assert BAD.as_json() == {
        "severity": "error",
        "where": "args.lora_rnak",
        "what": "swift sft has no argument lora_rnak",
        "fix": "Did you mean lora_rank?",
    }


@pytest.mark.parametrize(
    ("finding", "lines", "said"),
    [
        (BAD, {"args": 2, "args.lora_rnak": 7}, "job.yaml:7  args.lora_rnak  swift sft has no argument lora_rnak. "),
        (BAD, {"args": 2}, "job.yaml:2  args.lora_rnak  "),
        (BAD, {}, "job.yaml  args.lora_rnak  "),
        (Finding("error", "d.jsonl:17 messages", "wrong"), {"args": 2}, "d.jsonl:17 messages  wrong."),
        (NOTE, {"args": 2}, "job.yaml  nothing was checked."),
    ],
)
def test_a_sentence_begins_with_the_nearest_line_that_is_known(
    finding: Finding, lines: dict[str, int], said: str
) -> None:
    assert sentence(finding, Path("job.yaml"), lines).startswith(said)


def test_a_question_keeps_its_mark() -> None:
    assert sentence(BAD).endswith("has no argument lora_rnak. Did you mean lora_rank?")


def test_errors_are_refused_all_at_once_and_the_rest_passes() -> None:
    refuse([NOTE], Path("job.yaml"))
    assert ok([NOTE])
    assert not ok([NOTE, BAD])
    with pytest.raises(BadInput) as refused:
        refuse([BAD, NOTE, BAD], Path("job.yaml"), {"args": 2})
    assert len(str(refused.value).splitlines()) == 2
