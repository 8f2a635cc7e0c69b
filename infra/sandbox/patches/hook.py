"""How a method of moto is replaced; one place, so that all that is replaced can be listed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

replaced: list[str] = []


def replace(owner: Any, name: str, function: Callable[..., Any] | property) -> None:
    replaced.append(f"{owner.__name__}.{name}")
    setattr(owner, name, function)
