"""AWS's API as a stack's configuration names it: region, credentials, endpoints. The same for boto3 as for Pulumi."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from infra.errors import BadInput, CloudRefused


@dataclass
class Cloud:
    """One account and region. `client("ec2")` gives a boto3 client, made once.

    patience: tries of one call, and half the seconds that a connection may take.
    """

    region: str
    profile: str | None = None
    access_key: str | None = None
    secret_key: str | None = None
    endpoints: Mapping[str, str] = field(default_factory=dict)
    patience: int = 5
    _session: Any = field(default=None, repr=False)
    _clients: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def session(self) -> Any:
        """boto3's, made once: it holds the credentials that were found, and what it has read of AWS's models.

        Raises CloudRefused where there are no credentials: boto3 would look for them again, 2 s at each client.
        """
        if self._session is None:
            import boto3
            from botocore.exceptions import BotoCoreError, NoCredentialsError

            try:
                found = boto3.Session(
                    region_name=self.region,
                    profile_name=self.profile,
                    aws_access_key_id=self.access_key,
                    aws_secret_access_key=self.secret_key,
                )
                self._session = found if found.get_credentials() else refused(NoCredentialsError())
            except BotoCoreError as error:
                self._session = refused(error)
        if isinstance(self._session, CloudRefused):
            raise self._session
        return self._session

    def elsewhere(self, region: str, patience: int) -> Cloud:
        """The same account in another region."""
        return replace(self, region=region, patience=patience, _session=self.session, _clients={})

    def regions(self) -> list[str]:
        """Those that are enabled in the account. Raises CloudRefused where it can't be asked."""
        with translated():
            answer = self.client("ec2").describe_regions()
        return sorted(one["RegionName"] for one in answer["Regions"])

    def client(self, service: str) -> Any:
        if service not in self._clients:
            from botocore.config import Config
            from botocore.exceptions import BotoCoreError

            try:
                self._clients[service] = self.session.client(
                    service,
                    region_name=self.region,
                    # The provider's name of a service has no dashes: servicequotas.
                    endpoint_url=self.endpoints.get(service.replace("-", "")),
                    config=Config(
                        retries={"mode": "standard", "total_max_attempts": self.patience},
                        connect_timeout=2 * self.patience,
                    ),
                )
            except BotoCoreError as error:
                raise refused(error) from error
        return self._clients[service]

    def now(self) -> datetime:
        """AWS's clock, UTC: deadlines are kept there, and this machine's may be wrong. CloudRefused if not told."""
        with translated():
            said = self.client("sts").get_caller_identity()["ResponseMetadata"]["HTTPHeaders"]
        return parsedate_to_datetime(said["date"]).astimezone(UTC)


@contextmanager
def named_by(cloud: Cloud, key: str, identity: str) -> Iterator[None]:
    """As `translated`, and BadInput where AWS knows nothing of the id that a stack file's key gives."""
    try:
        with translated():
            yield
    except CloudRefused as error:
        if "NotFound" not in error.what:
            raise
        do = f"Check swift-fleet:{key}."
        raise BadInput(f"does not exist in {cloud.region}", where=identity, do=do) from error


def cloud_of(config: Mapping[str, Any], source: str) -> Cloud:
    """From the `aws:` keys of a stack file, or as the engine hands them to a program: what is no text as JSON."""
    region = config.get("aws:region")
    if not region:
        raise BadInput("aws:region is missing", where=source, do="Add it, such as aws:region: us-east-1.")
    endpoints: dict[str, str] = {}
    given = config.get("aws:endpoints") or []
    for one in json.loads(given) if isinstance(given, str) else given:  # text, as the engine hands it to a program
        endpoints |= one
    return Cloud(
        region=region,
        profile=config.get("aws:profile"),
        access_key=config.get("aws:accessKey"),
        secret_key=config.get("aws:secretKey"),
        endpoints=endpoints,
    )


def refused(error: Exception) -> CloudRefused:
    """A botocore error as one line with AWS's own code in it."""
    said = getattr(error, "response", {}).get("Error", {})
    if said:
        action = getattr(error, "operation_name", "AWS")
        return CloudRefused(f"{action}: {said.get('Code')}: {said.get('Message')}")
    return CloudRefused(f"AWS can't be asked: {error}", do="Check credentials, region and network.")


@contextmanager
def translated() -> Iterator[None]:
    """Whatever boto3 raises within comes out as CloudRefused."""
    from botocore.exceptions import BotoCoreError, ClientError, WaiterError

    try:
        yield
    except WaiterError as error:
        raise CloudRefused(f"AWS takes too long: {error}", do="Try it again.") from error
    except (ClientError, BotoCoreError) as error:
        raise refused(error) from error
