"""AWS's API as a stack's configuration names it: region, credentials, endpoints. The same for boto3 as for Pulumi."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from infra import refusals
from infra.errors import BadInput, CloudRefused, NotAdmitted
from infra.written import nearest

APP = "swift-fleet"


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
                self._session.where = self.account
        if isinstance(self._session, CloudRefused):
            raise self._session
        return self._session

    @property
    def account(self) -> str:
        """As a person knows it: profile dev in us-east-1."""
        return f"profile {self.profile} in {self.region}" if self.profile else f"AWS {self.region}"

    def elsewhere(self, region: str, patience: int) -> Cloud:
        """The same account in another region."""
        return replace(self, region=region, patience=patience, _session=self.session, _clients={})

    def regions(self) -> list[str]:
        """Those that are enabled in the account. Raises CloudRefused where it can't be asked."""
        with self.asked():
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
                        # CloudTrail's userAgent then says "app/swift-fleet": what we asked, and what the provider did.
                        user_agent_appid=APP,
                    ),
                )
            except BotoCoreError as error:
                raise refused(error) from error
        return self._clients[service]

    def now(self) -> datetime:
        """AWS's clock, UTC: deadlines are kept there, and this machine's may be wrong. CloudRefused if not told."""
        with self.asked():
            said = self.client("sts").get_caller_identity()["ResponseMetadata"]["HTTPHeaders"]
        return parsedate_to_datetime(said["date"]).astimezone(UTC)

    def account_id(self) -> str:
        """Whose bill it is: the twelve digits of the account. CloudRefused where it is not told."""
        with self.asked():
            return str(self.client("sts").get_caller_identity()["Account"])

    @contextmanager
    def asked(self) -> Iterator[None]:
        """As `translated`, with the account's name, for what is asked first: of credentials that aren't known here it
        finds out whether the region is why."""
        try:
            with translated():
                yield
        except CloudRefused as error:
            raise self.explained(error) from error.__cause__

    def explained(self, error: CloudRefused) -> CloudRefused:
        """The same refusal, or that the region is not enabled or is none, which AWS itself says nowhere."""
        closer = error
        if isinstance(error, NotAdmitted) and error.of_region:
            closer = refusals.shut(self.region, self._opt_in()) or error
        elif type(error.__cause__).__name__ == "EndpointConnectionError" and not self.endpoints:
            known = self.session.get_available_regions("ec2")
            if self.region not in known:
                guess = nearest(self.region, known)
                do = f"Did you mean {guess}?" if guess else "Check aws:region."
                closer = CloudRefused(f"{self.region} is no region", do=do)
        if isinstance(closer, NotAdmitted):
            closer.where = self.account
        return closer

    def _opt_in(self) -> str:
        """What another region says of this one: "not-opted-in", or "" where it doesn't say."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            home = _HOMES[self.session.get_partition_for_region(self.region)]
            ec2 = self.elsewhere(home, patience=2).client("ec2")
            found = ec2.describe_regions(RegionNames=[self.region], AllRegions=True)["Regions"]
        except (KeyError, BotoCoreError, ClientError, CloudRefused):
            return ""
        return str(found[0].get("OptInStatus", "")) if found else ""


#: A region of each partition that every account has.
_HOMES = {"aws": "us-east-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}


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


def refuse_long_tries(config: Mapping[str, Any], source: str) -> None:
    """BadInput where nothing bounds the provider's tries of a call: 25 of its own accord, which 0 is too."""
    if str(config.get("aws:maxRetries") or 0) == "0":
        raise BadInput(
            "aws:maxRetries is missing, and Pulumi's provider would try for 50 minutes where AWS has no room",
            where=source,
            do='Add it: aws:maxRetries: "4".',
        )


def refused(error: Exception) -> CloudRefused:
    """A botocore error as one line with AWS's own code in it."""
    response = getattr(error, "response", {})
    if said := response.get("Error", {}):
        action = getattr(error, "operation_name", "AWS")
        return refusals.read(str(said.get("Code")), str(said.get("Message")), action, _ahead(response))
    return refusals.unasked(type(error).__name__, str(error), _profiles(error))


def _ahead(response: Mapping[str, Any]) -> timedelta:
    """By how much this machine's clock is before that of who answered."""
    date = response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    return datetime.now(UTC) - parsedate_to_datetime(date) if date else timedelta(0)


def _profiles(error: Exception) -> list[str]:
    from botocore.exceptions import ProfileNotFound

    if not isinstance(error, ProfileNotFound):
        return []
    import botocore.session

    return sorted(botocore.session.Session().available_profiles)


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
