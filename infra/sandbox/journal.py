"""Every request that the cloud was sent, in order: kept in memory for `GET /_sandbox/requests` and, so that it
outlives the process, as JSON lines in the state folder."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True)
class Call:
    """One request. `at` is the real time; `error` is AWS's error code, empty when the call succeeded.

    app: what the caller's SDK says that it is (sdk_ua_app_id), empty where it says nothing.
    """

    at: str
    service: str
    action: str
    region: str
    status: int
    error: str = ""
    app: str = ""


class Journal:
    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._calls: list[Call] = []
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8", buffering=1)

    def record(self, service: str, action: str, region: str, status: int, error: str = "", app: str = "") -> None:
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        call = Call(at, service, action, region, status, error, app)
        with self._lock:
            self._calls.append(call)
            if not self._file.closed:
                self._file.write(json.dumps(asdict(call)) + "\n")

    def calls(self) -> list[Call]:
        with self._lock:
            return list(self._calls)

    def close(self) -> None:
        with self._lock:
            self._file.close()
