"""One stage by itself on the screen: `fleet up` and `fleet down` tell it as `fleet run` does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from training.record import Stage
from training.run import now
from training.screen import Screen


@contextmanager
def progress(stage: str, *, as_json: bool) -> Iterator[Callable[[str], None]]:
    screen = Screen(as_json=as_json)
    screen.show(Stage(now(), stage, "started"))
    try:
        yield lambda text: screen.show(Stage(now(), stage, "note", text))
    except BaseException:
        screen.show(Stage(now(), stage, "failed"))
        raise
    else:
        screen.show(Stage(now(), stage, "done"))
    finally:
        screen.close()
