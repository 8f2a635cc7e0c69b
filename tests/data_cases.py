"""Small data files, good and bad: what is to be said of each, and so that ms-swift can be asked the same.

said: line -> a part of what the check says there; 0 is the file as a whole. kept: rows that ms-swift's own loading
leaves of it, None where it refuses the file. Both are held to by tests; `kept` also by ms-swift itself (tests/judge).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Case:
    name: str
    data: bytes
    kept: int | None
    said: Mapping[int, str] = field(default_factory=dict)
    task: str = "sft"
    ending: str = ".jsonl"


def talk(*turns: tuple[str, Any], **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role, content in turns], **more}


def lines(*rows: Any) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


FINE = talk(("user", "what is it?"), ("assistant", "a test"))
ASKED = talk(("user", "what is it?"))
CALL = '{"name": "look", "arguments": {"at": "it"}}'

GOOD = [
    Case("DATA-1-messages", lines(FINE, talk(("system", "s"), ("user", "q"), ("assistant", "a"))), 2),
    Case(
        "DATA-2-sharegpt", lines({"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}), 1
    ),
    Case("sharegpt-pairs", lines({"conversation": [{"human": "q", "assistant": "a"}], "system": "s"}), 1),
    Case(
        "DATA-3-alpaca",
        lines({"instruction": "i", "input": "", "output": "o"}, {"instruction": "i", "input": "x", "output": "o"}),
        2,
    ),
    Case("DATA-4-query-response", lines({"query": "q", "response": "a", "history": [["x", "y"]]}), 1),
    Case("aliases", lines({"Prompt": "q", "Completion": "a"}), 1),
    Case("history-text", lines({"query": "q", "response": "a", "history": "[['x', 'y']]"}), 1),
    Case("messages-text", lines({"messages": json.dumps(FINE["messages"])}), 1),
    Case("both-keys", lines(FINE, {"messages": [{"from": "user", "value": "q"}, {"from": "bot", "value": "a"}]}), 2),
    Case("answers", lines({"query": "q", "response": ["a", "b"]}), 1),
    Case("bom", b"\xef\xbb\xbf" + lines(FINE), 1),
    Case("blank-lines-amid", lines(FINE) + b"\n\n\n" + lines(FINE), 2),
    Case("blank-lines", b"\n" + lines(FINE) + b"\n" + lines(FINE), 2),
    Case("dos-lines", lines(FINE, FINE).replace(b"\n", b"\r\n"), 2),
    Case("two-on-a-line", lines(FINE).strip() + lines(FINE), 2),
    Case("spread-rows", (json.dumps(FINE, indent=1) + "\n").encode() * 2, 2),
    Case("list", json.dumps([FINE, FINE], indent=1).encode(), 2, ending=".json"),
    Case("csv", b'query,response\nq,"a\nb"\nq,a\n', 2, ending=".csv"),
    Case("texts", b"one\ntwo\n\nthree", 4, task="pt", ending=".txt"),
    Case(
        "openai-tools",
        lines(
            {
                "messages": [
                    {"role": "user", "content": "q"},
                    {
                        "role": "assistant",
                        "content": None,
                        "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}],
                    },
                    {"role": "tool", "content": "r", "tool_call_id": "1"},
                    {"role": "assistant", "content": "a"},
                ]
            }
        ),
        1,
    ),
    Case(
        "DATA-9-agent",
        lines(
            talk(
                ("user", "q"),
                ("tool_call", CALL),
                ("tool_response", "r"),
                ("assistant", "a"),
                tools=json.dumps([{"type": "function", "function": {"name": "look"}}]),
            )
        ),
        1,
    ),
    Case("blocks", lines(talk(("user", [{"type": "text", "text": "q"}]), ("assistant", "a"))), 1),
    Case(
        "boxes",
        lines(
            talk(
                ("user", "<ref-object> is at <bbox>"),
                ("assistant", "a"),
                objects={"ref": ["it"], "bbox": [[1, 2, 3, 4]]},
            )
        ),
        1,
    ),
    Case(
        "DATA-5-dpo",
        lines({**FINE, "rejected_response": "no"}, {**FINE, "rejected_response": "nothing"}),
        2,
        task="dpo",
    ),
    Case("rm", lines({**FINE, "rejected_response": "no", "margin": 0.5}), 1, task="rm"),
    Case("DATA-6-kto", lines({**FINE, "label": True}, {**FINE, "label": False}), 2, task="kto"),
    Case("DATA-7-grpo", lines({**ASKED, "solution": "2"}), 1, task="grpo"),
    Case("grpo-answers", lines({"prompt": "q", "answer": "2", "solution": "2"}), 1, task="grpo"),
    Case("gkd", lines(ASKED, FINE), 2, task="gkd"),
    Case("classes", lines({**ASKED, "label": 1}), 1, task="seq_cls"),
    Case("embedding", lines({**ASKED, "positive_messages": [ASKED["messages"]]}), 1, task="embedding"),
    Case(
        "reranker",
        lines({**ASKED, "positive_messages": [ASKED["messages"]], "negative_messages": []}),
        1,
        task="reranker",
    ),
    Case(
        "DATA-8-multimodal",
        lines(
            talk(("user", "<image>what is it?"), ("assistant", "a test"), images=["data:image/png;base64,iVBORw0KGgo="])
        ),
        1,
    ),
    Case("pt", lines(talk(("assistant", "a text"))), 1, task="pt"),
]

BAD = [
    Case("role", lines(FINE, talk(("usr", "q"), ("assistant", "a"))), 1, {2: "role 'usr' is unknown"}),
    Case("null-content", lines(FINE, talk(("user", "q"), ("assistant", None))), 1, {2: "content is null"}),
    Case(
        "no-role",
        lines(FINE, {"messages": [{"content": "q"}, {"role": "assistant", "content": "a"}]}),
        1,
        {2: "no role"},
    ),
    Case("number", lines(FINE, talk(("user", 3), ("assistant", "a"))), 2, {2: "content is a number, no text"}),
    Case("odd-blocks", lines(FINE, talk(("user", [1, 2]), ("assistant", "a"))), 1, {2: "content holds a number"}),
    Case(
        "no-messages",
        lines(FINE, {"messages": []}, {"messages": None}),
        1,
        {2: "messages is empty", 3: "messages is null"},
    ),
    Case("text-messages", lines(FINE, {"messages": "hello"}), 1, {2: "messages is a text that is no list"}),
    Case(
        "foreign",
        lines(FINE, {"query": "q", "response": "a"}, FINE),
        2,
        {2: "a query-response row in a file of another"},
    ),
    Case("no-answer", lines(FINE, ASKED), 2, {2: "last message is from user: sft needs an assistant turn"}),
    Case(
        "clash",
        lines({"prompt": "p", "question": "q", "response": "a"}),
        1,
        {0: "prompt and question would both be query"},
    ),
    Case(
        "both-messages",
        lines({"conversation": FINE["messages"], "conversations": FINE["messages"]}),
        None,
        {0: "conversation and conversations would both be messages", 1: "the row is dropped"},
    ),
    Case("capital-messages", lines({"Messages": FINE["messages"]}), None, {0: "columns Messages fit no format"}),
    Case("odd-columns", lines({"a": "q", "b": "a"}), None, {0: "columns a, b fit no format"}),
    Case("all-bad", lines(talk(("usr", "q"))), None, {0: "no row of 1 is left", 1: "role 'usr' is unknown"}),
    Case(
        "pair",
        lines({"conversation": [{"human": "q"}]}, {"conversation": [{"human": "q", "gpt": "a"}]}),
        1,
        {1: "a turn without assistant"},
    ),
    Case(
        "history",
        lines({"query": "q", "response": "a", "history": "zz"}, {"query": "q", "response": "a", "history": None}),
        1,
        {1: "history is a text that is no list"},
    ),
    Case(
        "alpaca-nothing",
        lines({"instruction": None, "input": None, "output": "o"}, {"instruction": "i", "input": "", "output": "o"}),
        1,
        {1: "instruction and input give no text"},
    ),
    Case(
        "same",
        lines({**FINE, "rejected_response": "a test"}, {**FINE, "rejected_response": "no"}),
        1,
        {1: "rejected is the same as chosen"},
        task="dpo",
    ),
    Case(
        "null-rejected",
        lines({**FINE, "rejected_response": "no"}, {**FINE, "rejected_response": None}, FINE),
        1,
        {2: "rejected_response is null", 3: "rejected_response is null"},
        task="dpo",
    ),
    Case("nothing-rejected", lines(FINE), 1, {1: "nothing is rejected"}, task="dpo"),
    Case("no-label", lines(FINE), 1, {1: "no label"}, task="kto"),
    Case("label", lines({**FINE, "label": "good"}), 1, {1: "label is a text"}, task="kto"),
    Case("no-user", lines(talk(("system", "s"))), 1, {1: "no user turn"}, task="grpo"),
    Case("no-positive", lines(ASKED), 1, {1: "no positive_messages"}, task="embedding"),
    Case(
        "two-positives",
        lines({**ASKED, "positive_messages": [ASKED["messages"]] * 2}),
        1,
        {1: "2 positives: only the first is used"},
        task="embedding",
    ),
    Case("class", lines({**ASKED, "label": "cat"}), 1, {1: "label is a text"}, task="seq_cls"),
    Case(
        "box",
        lines(
            {**FINE, "objects": {"ref": [], "bbox": [[1, 2, 3]]}}, {**FINE, "objects": {"ref": [], "bbox": [[1, 2]]}}
        ),
        1,
        {1: "a box of 3 numbers", 2: "0 <bbox> and 1 in objects.bbox"},
    ),
    Case("media", lines({**FINE, "images": ["/no/such.png"]}), 1, {1: "/no/such.png does not exist here"}),
    Case(
        "tags",
        lines(talk(("user", "<image><image>q"), ("assistant", "a"), images=["https://x.example/1.png"])),
        1,
        {1: "2 <image> and 1 images"},
    ),
    Case(
        "tool-call",
        lines(talk(("user", "q"), ("tool_call", "look"), ("assistant", "a"))),
        1,
        {1: "a tool_call without name and arguments"},
    ),
    Case("broken-line", lines(FINE) + b'{"messages": [}\n' + lines(FINE), None, {2: "not JSON"}),
    Case("cut-off", lines(FINE) + lines(FINE)[:30], None, {2: "ends in the middle of a row"}),
    Case("cut-off-list", json.dumps([FINE, FINE]).encode()[:-20], None, {1: "ends in the middle"}, ending=".json"),
    Case("latin", lines(FINE) + '{"messages": "\xe9"}\n'.encode("latin1"), None, {2: "not UTF-8 (byte 0xe9)"}),
    Case(
        "latin-beside",
        lines({**FINE, "from": "x"}) * 2 + lines({**FINE, "from": "y"}).replace(b'y"', b'\xe9"'),
        None,
        {3: "not UTF-8 (byte 0xe9)"},
    ),
    Case("utf-16", lines(FINE).decode().encode("utf-16"), None, {1: "not UTF-8 (UTF-16)"}),
    Case("binary", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", None, {1: "binary, no text"}),
    Case("empty", b"", None, {0: "no row is in it"}),
    Case("text-rows", b'"text"\n', None, {1: "a text where a row should be"}),
    Case(
        "one-object",
        json.dumps({"data": [FINE]}, indent=1).encode(),
        None,
        {0: "columns data fit no format"},
        ending=".json",
    ),
    Case("ending", lines(FINE), None, {0: ".gz is no kind of file"}, ending=".jsonl.gz"),
    Case(
        "late-column",
        lines(*[FINE] * 140_000, {**FINE, "extra": "x"}),
        None,
        {140_001: "extra is no column of the first 10 MB"},
    ),
]
