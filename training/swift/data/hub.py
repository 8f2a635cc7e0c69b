"""A data set of a hub, by its name alone: no network is asked."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import yaml

from training.findings import Finding

IDS = Path(__file__).with_name("hub.yaml")


def check_id(name: str, where: str, *, use_hf: bool) -> list[Finding]:
    """name: `owner/name`, as the job gives it without prefix, subset and count."""
    if not re.fullmatch(r"[\w.-]+(?:/[\w.-]+)?", name):
        return [Finding("error", where, f"{name} is neither a file here nor a hub id", "write owner/name or a path")]
    there, other = ("Hugging Face", "ModelScope") if use_hf else ("ModelScope", "Hugging Face")
    by_modelscope, by_hugging_face = _ids()
    known = by_hugging_face if use_hf else by_modelscope
    elsewhere = by_modelscope if use_hf else by_hugging_face
    if name.lower() in known or name.lower() not in elsewhere:
        return []
    its_name = elsewhere[name.lower()]
    what = f"{name} is its name on {other}, and the job asks {there}"
    change = f"use_hf {'false' if use_hf else 'true'}"
    return [Finding("warning", where, what, f"{its_name}, or {change}" if its_name else change)]


@cache
def _ids() -> tuple[dict[str, str | None], dict[str, str | None]]:
    """Of each hub: its id, in lower case -> the other hub's."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    read: dict[str, str | None] = yaml.load(IDS.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506  a safe one
    return {ms.lower(): hf for ms, hf in read.items()}, {hf.lower(): ms for ms, hf in read.items() if hf}
