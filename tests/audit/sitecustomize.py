"""Writes where every Python process that starts with this folder on PYTHONPATH connects to, a line a connection."""

import os
import sys

_FILE = os.environ.get("SOCKETS_SEEN")


def _seen(event: str, args: tuple) -> None:
    if event == "socket.connect":
        line = f"{' '.join(sys.orig_argv[:4])[:160]}\t{args[1]!r}\n"
        # One write of one short line to a file that is only added to: processes do not mix.
        with open(_FILE, "a", encoding="utf-8") as file:  # noqa: PTH123  (pathlib is not imported at start-up)
            file.write(line)


if _FILE:
    sys.addaudithook(_seen)
