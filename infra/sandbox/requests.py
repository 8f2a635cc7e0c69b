"""What an HTTP request asks of AWS: service, region, action and parameters, whatever the service's protocol."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from botocore.exceptions import UnknownServiceError
from moto.core.request import Request as MotoRequest
from moto.core.routing import get_service_router
from werkzeug.exceptions import HTTPException

_SCOPE = re.compile(r"Credential=[^/]*/\d+/([\w-]+)/([\w-]+)/aws4_request")
# Signing names that differ from botocore's names of the services
_SERVICES = {"elasticfilesystem": "efs", "monitoring": "cloudwatch"}
_APP = re.compile(r"\bapp/(\S+)")
_ERROR = re.compile(rb'<Code>([\w.]+)</Code>|"(?:__type|code|Code|ErrorCode)": ?"(?:[^"#]*#)?([\w.]+)"')


@dataclass(frozen=True)
class Call:
    service: str
    region: str
    action: str
    params: Mapping[str, str]

    @property
    def changes(self) -> bool:
        return not self.action.startswith(("Describe", "Get", "List", "Simulate", "Lookup"))


def read(environ: Mapping[str, Any], body: bytes) -> Call:
    scope = _SCOPE.search(environ.get("HTTP_AUTHORIZATION", ""))
    region, service = (scope[1], scope[2]) if scope else ("", "")
    service = _SERVICES.get(service, service)
    if "urlencoded" in environ.get("CONTENT_TYPE", ""):
        params = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
        return Call(service, region, params.get("Action", ""), params)
    params = _json(body)
    if target := environ.get("HTTP_X_AMZ_TARGET"):
        return Call(service, region, target.split(".")[-1], params)
    action, path_params = _rest(environ, service)
    return Call(service, region, action, params | path_params)


def app_of(environ: Mapping[str, Any]) -> str:
    """Who the caller says that it is: botocore's user_agent_appid. Empty where it says nothing."""
    said = _APP.search(environ.get("HTTP_USER_AGENT", ""))
    return said[1] if said else ""


def error_code(status: int, body: bytes) -> str:
    if status < 400:
        return ""
    match = _ERROR.search(body)
    return (match[1] or match[2]).decode() if match else "Unknown"


def _json(body: bytes) -> dict[str, str]:
    try:
        parsed = json.loads(body or b"{}")
    except ValueError:
        return {}
    return (
        {k: v if isinstance(v, str) else json.dumps(v) for k, v in parsed.items()} if isinstance(parsed, dict) else {}
    )


def _rest(environ: Mapping[str, Any], service: str) -> tuple[str, dict[str, str]]:
    try:
        operation, params = get_service_router(service).match(MotoRequest(dict(environ)))
    except (HTTPException, NotImplementedError, UnknownServiceError):
        return f"{environ.get('REQUEST_METHOD')} {environ.get('PATH_INFO')}", {}
    return operation.name, {str(k): str(v) for k, v in params.items()}
