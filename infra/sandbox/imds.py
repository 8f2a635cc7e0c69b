"""A host's instance metadata, as on 169.254.169.254: who it is, and when AWS takes it back. That address can't be had
on loopback, so hosts find it where AWS's SDKs look first, AWS_EC2_METADATA_SERVICE_ENDPOINT.
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-categories.html
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from typing import Any

TOKEN = "latest/api/token"
DATA, IDENTITY = "latest/meta-data/", "latest/dynamic/instance-identity/document"

Answered = tuple[int, str]


class Metadata:
    """`action`: what is announced for an instance's end, None if nothing is."""

    def __init__(self, action: Callable[[str], dict[str, str] | None]) -> None:
        self._action = action
        self._tokens: dict[str, str] = {}

    def answer(self, instance: Any, method: str, path: str, token: str) -> Answered:
        """HTTP status and text. token: the request's X-aws-ec2-metadata-token; IMDSv2 wants one that was given out."""
        options = instance.metadata_options
        if options.http_endpoint == "disabled":
            return 403, "Forbidden"
        if path == TOKEN:
            return self._new_token(instance.id) if method == "PUT" else (405, "Method Not Allowed")
        known = self._tokens.get(token) == instance.id
        if not known and (token or options.http_tokens == "required"):
            return 401, "Unauthorized"
        found = self._data(instance, path)
        return (404, "Not Found") if found is None else (200, found)

    def _new_token(self, instance_id: str) -> Answered:
        token = secrets.token_urlsafe(40)
        self._tokens[token] = instance_id
        return 200, token

    def _data(self, instance: Any, path: str) -> str | None:
        region = str(instance.region_name)
        if path == IDENTITY:
            return json.dumps({"instanceId": instance.id, "instanceType": instance.instance_type, "region": region})
        if not path.startswith(DATA):
            return None
        end = self._action(instance.id)
        known = {
            "ami-id": instance.image_id,
            "instance-id": instance.id,
            "instance-life-cycle": instance.lifecycle or "on-demand",
            "instance-type": instance.instance_type,
            "local-ipv4": instance.private_ip,
            "public-ipv4": instance.public_ip,
            "placement/availability-zone": instance.availability_zone,
            "placement/region": region,
            "spot/instance-action": json.dumps(end) if end else None,
            "spot/termination-time": end["time"] if end else None,
        }
        name = path.removeprefix(DATA).rstrip("/")
        if name:
            return known.get(name)
        return "\n".join(key for key, value in known.items() if value is not None)
