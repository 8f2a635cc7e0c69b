"""Requests to what a recipe serves, as a user's program or browser sends them."""

from __future__ import annotations

import contextlib
import json
import urllib.request
from typing import Any


def get(url: str) -> str:
    """The answer's text, or "" while nobody answers well."""
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=10) as answer:
        return str(answer.read().decode())
    return ""


def post(url: str, body: Any) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)


def of_deploy(url: str) -> str:
    """What the served model says, by OpenAI's protocol."""
    [model] = json.loads(get(f"{url}/v1/models"))["data"]
    asked = [{"role": "user", "content": "What does ast.parse do in Python?"}]
    said = post(f"{url}/v1/chat/completions", {"model": model["id"], "messages": asked, "max_tokens": 8})
    assert said["usage"]["completion_tokens"] > 0
    return str(said["choices"][0]["message"]["content"])


def of_app(url: str) -> str:
    """What the chat page says to a question typed there: its two steps, as the page itself calls them."""
    steps = json.loads(get(f"{url}/config"))["dependencies"]
    typed, chat = steps[1], next(one for one in steps if one["trigger_after"] == steps[1]["id"])
    page, *_ = _called(url, typed["id"], [[], None, "What does ast.parse do in Python?"])
    page, *_ = _called(url, chat["id"], [page, None, None])
    [[_, answer]] = page
    return str(answer)


def _called(url: str, step: int, data: list[Any]) -> list[Any]:
    """The values that one step of a Gradio page gives at its end."""
    session = "asked"
    post(f"{url}/gradio_api/queue/join", {"data": data, "fn_index": step, "session_hash": session})
    with urllib.request.urlopen(f"{url}/gradio_api/queue/data?session_hash={session}", timeout=120) as stream:
        for line in stream:
            if line.startswith(b"data: ") and (news := json.loads(line[6:]))["msg"] == "process_completed":
                assert news["success"], news
                return list(news["output"]["data"])
    raise AssertionError("the page ended its stream without an answer")
