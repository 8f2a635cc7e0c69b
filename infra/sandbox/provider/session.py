"""AWS clients made from the provider's settings: one a service and region, shared by all threads."""

from __future__ import annotations

import threading
from typing import Any

from infra.sandbox.provider.settings import BadSettings, Settings

# The key in aws:endpoints is the provider's name of a service; boto3's is the same for all that are used here.
POOL = 64


class Aws:
    """The account that the settings lead to."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._lock = threading.Lock()
        self._clients: dict[tuple[str, str], Any] = {}
        self._account: str | None = None

    @property
    def region(self) -> str:
        return self.settings.region

    @property
    def partition(self) -> str:
        if self.region.startswith("cn-"):
            return "aws-cn"
        return "aws-us-gov" if self.region.startswith("us-gov-") else "aws"

    @property
    def dns_suffix(self) -> str:
        return "amazonaws.com.cn" if self.partition == "aws-cn" else "amazonaws.com"

    @property
    def account(self) -> str:
        """The account's id; empty with skipRequestingAccountId, and then in composed ARNs too."""
        if self._account is None:
            skip = self.settings.skip_requesting_account_id
            self._account = "" if skip else str(self.client("sts").get_caller_identity()["Account"])
        return self._account

    def arn(self, service: str, resource: str, region: str = "") -> str:
        return f"arn:{self.partition}:{service}:{region or self.region}:{self.account}:{resource}"

    def client(self, service: str, region: str = "") -> Any:
        """A boto3 client. Raises BadSettings for a service without an endpoint: there is no way out to AWS."""
        key = (service, region or self.region)
        with self._lock:
            if key not in self._clients:
                self._clients[key] = self._made(*key)
            return self._clients[key]

    def _made(self, service: str, region: str) -> Any:
        endpoint = self.settings.endpoints.get(service)
        if endpoint is None:
            raise BadSettings(f"aws:endpoints names no {service}: the embedded cloud's provider never talks to AWS")
        # Imported when first needed: boto3 costs half a second that a preview without look-ups never pays.
        import boto3
        from botocore.config import Config

        from infra.sandbox.provider.retries import Retries

        settings = self.settings
        client: Any = boto3.session.Session().client(
            service,
            region_name=region,
            endpoint_url=endpoint,
            aws_access_key_id=settings.access_key or "sandbox",
            aws_secret_access_key=settings.secret_key or "sandbox",
            aws_session_token=settings.token or None,
            config=Config(
                max_pool_connections=POOL,
                proxies={},
                retries={"total_max_attempts": 1},
            ),
        )
        Retries(settings.max_retries).install(client)
        return client
