"""The sandbox's API alone, on a real port and without hosts: what `infra` asks of AWS is asked of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.cloud import Cloud
from infra.sandbox.api import Api, serve
from infra.sandbox.faults import Faults
from infra.sandbox.journal import Journal

SERVICES = ("ec2", "sts", "iam", "efs", "pricing", "scheduler", "cloudwatch", "fsx", "ssm")


@contextmanager
def served(folder: Path, faults: Faults) -> Iterator[Cloud]:
    journal = Journal(folder / "requests.jsonl")
    api = Api(journal, faults, lambda *_: ("404 x", [], b""), lambda: None)
    server = serve(api, 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    yield Cloud("us-east-1", access_key="x", secret_key="x", endpoints=dict.fromkeys(SERVICES, url), patience=1)
    server.shutdown()
    server.server_close()
    journal.close()
