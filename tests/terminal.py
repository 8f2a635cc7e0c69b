"""A terminal that types: what a command asks there and says."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

FLEET = "import sys; from training.cli import main; sys.argv[1:] = {!r}; main()"


def talk(folder: Path, arguments: list[str], answers: list[str]) -> str:
    """What `fleet ARGUMENTS` writes in a terminal where the answers are typed, and then the input ends."""
    ours, theirs = pty.openpty()
    fleet = [sys.executable, "-c", FLEET.format(arguments)]
    with subprocess.Popen(fleet, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs) as child:
        os.close(theirs)
        os.write(ours, "".join(f"{one}\n" for one in answers).encode() + b"\x04")
        said = b""
        try:
            while more := os.read(ours, 4096):
                said += more
        except OSError:  # Linux says so when the other end is closed
            pass
        child.wait()
    os.close(ours)
    return said.decode().replace("\r", "")
