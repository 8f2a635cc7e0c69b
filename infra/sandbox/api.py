"""The AWS endpoint: moto's server in this process, behind a layer that keeps the log, answers with faults, and tells
the hosts when something has changed. One request at a time reaches moto, which is not thread-safe."""

from __future__ import annotations

import io
import json
import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from werkzeug.serving import BaseWSGIServer, make_server

from infra.sandbox import admission, patches, pricelist, requests
from infra.sandbox.faults import Faults, error_body
from infra.sandbox.journal import Journal

patches.install()

from moto.moto_server.werkzeug_app import (  # noqa: E402  (after the settings that moto reads on import)
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)

from infra.sandbox import facts  # noqa: E402
from infra.sandbox.patches import regions  # noqa: E402
from infra.sandbox.patches.capacity import NoCapacity  # noqa: E402

log = logging.getLogger(__name__)

Answer = tuple[str, list[tuple[str, str]], bytes]
Control = Callable[[str, str, bytes, str], Answer]
CONTROL = "/_sandbox/"


class Api:
    """A WSGI application. `control` answers what is under /_sandbox/; `changed` is called after each request that may
    have changed something."""

    def __init__(self, journal: Journal, faults: Faults, control: Control, changed: Callable[[], None]) -> None:
        self.lock = threading.RLock()
        self._journal, self._faults = journal, faults
        self._control, self._changed = control, changed
        self._moto = DomainDispatcherApplication(_backend_app)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        path = str(environ.get("PATH_INFO", ""))
        if path.startswith(CONTROL):
            token = str(environ.get("HTTP_X_AWS_EC2_METADATA_TOKEN", ""))
            asked = (environ["REQUEST_METHOD"], path.removeprefix(CONTROL), body, token)
            status, headers, content = self._control(*asked)
        else:
            status, headers, content = self._aws(environ, body)
        start_response(status, headers)
        return [content]

    def _aws(self, environ: dict[str, Any], body: bytes) -> Answer:
        call = requests.read(environ, body)
        status, headers, content = self._answer(call, environ)
        number = int(status.split()[0])
        error = requests.error_code(number, content)
        self._journal.record(call.service, call.action, call.region, number, error, requests.app_of(environ))
        if call.changes:
            self._changed()
        return status, headers, content

    def _answer(self, call: requests.Call, environ: dict[str, Any]) -> Answer:
        with self.lock:
            known = facts.of(call)
        if late := self._faults.delay(call.action, known):
            time.sleep(late)
        if fault := self._faults.take(call.action, known):
            code, status, message = fault.answer(call.service, call.action, call.region)
            return _error(call.service, status, code, message)
        if call.region in regions.NOT_ENABLED:
            said = admission.refusal(admission.WRONG_KEY, call.service, call.action)
            return _error(call.service, said.status, said.code, said.message)
        try:
            if call.service == "pricing":
                return _json(pricelist.answer(call.action, call.params))
            with self.lock:
                return _run(self._moto, environ)
        except NoCapacity as refusal:
            return _error(call.service, 500, "InsufficientInstanceCapacity", str(refusal))
        except NotImplementedError:
            # moto answers 500, which every SDK retries for seconds.
            message = f"The sandbox does not know the action {call.action} of {call.service}."
            return _error(call.service, 400, "InvalidAction", message)
        except Exception as error:  # noqa: BLE001  (the top of a server: the client gets an answer, the log the trace)
            log.exception("%s %s failed in moto", call.service, call.action)
            return _error(call.service, 500, "InternalError", f"The sandbox failed in {call.action}: {error!r}")


def serve(api: Api, port: int) -> BaseWSGIServer:
    """Listens at once; the caller runs `serve_forever`. OSError or SystemExit when the port is taken."""
    return make_server("127.0.0.1", port, api, threaded=True, request_handler=_Handler)


class _Handler(MotoRequestHandler):
    # Clients keep their connection: a call costs half as much.
    protocol_version = "HTTP/1.1"

    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        """The journal has it."""


def _backend_app(service: Any) -> Any:
    app = create_backend_app(service)
    app.config["PROPAGATE_EXCEPTIONS"] = True
    return app


def _run(app: Any, environ: dict[str, Any]) -> Answer:
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
        started.append((status, headers))

    content = b"".join(app(environ, start_response))
    status, headers = started[-1]
    kept = [(k, v) for k, v in headers if k.lower() not in ("content-length", "transfer-encoding")]
    return status, [*kept, ("Content-Length", str(len(content)))], content


def _json(answer: dict[str, Any]) -> Answer:
    content = json.dumps(answer).encode()
    return (
        "200 OK",
        [("Content-Type", "application/x-amz-json-1.1"), ("Content-Length", str(len(content)))],
        content,
    )


def _error(service: str, status: int, code: str, message: str) -> Answer:
    kind, text = error_body(code, message, service=service)
    content = text.encode()
    headers = [
        ("Content-Type", kind),
        ("Content-Length", str(len(content))),
        ("x-amzn-RequestId", "sandbox"),
        ("x-amzn-ErrorType", code),
    ]
    return f"{status} Sandbox", headers, content
