"""Asks ms-swift itself: run with a node's python, data files on argv; of each on stdout the rows that it keeps.

null where it refuses the file. Each is read in a process of its own, for some kill the reader (datasets 4.8, pyarrow).
Not imported by tests.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import sys


def main() -> None:
    import datasets
    from swift.dataset import load_dataset
    from swift.utils import get_logger

    datasets.disable_progress_bars()
    get_logger().setLevel(logging.CRITICAL)
    verdicts = {file: in_a_child(load_dataset, file) for file in sys.argv[1:]}
    json.dump(verdicts, sys.stdout)


def in_a_child(load_dataset: object, file: str) -> int | None:
    read, write = os.pipe()
    child = os.fork()
    if not child:
        with contextlib.redirect_stdout(io.StringIO()):
            os.write(write, json.dumps(kept(load_dataset, file)).encode())
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read) as said:
        return json.loads(said.read() or "null")


def kept(load_dataset: object, file: str) -> int | None:
    try:
        rows, _ = load_dataset(file, num_proc=1, load_from_cache_file=False)  # type: ignore[operator]
        return len(rows)
    except BaseException:  # noqa: BLE001  whatever it raises, it does not train on that file
        return None


if __name__ == "__main__":
    main()
