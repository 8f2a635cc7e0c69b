"""What AWS's refusals mean to a person: which right is missing; whether the credentials, the clock or the region is
why. Pure: a code and a message in, one line out. AWS's own code stays in it, for it is what people search for.

Codes: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html and
https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html; the words in which a right is refused:
https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
"""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import timedelta

from infra.errors import CloudRefused, NotAdmitted

#: AWS refuses a request that is signed 5 to 15 minutes off its own time, by service.
SKEW = timedelta(minutes=5)
NO_RIGHT = {"UnauthorizedOperation", "AccessDenied", "AccessDeniedException", "NotAuthorized", "AuthorizationError"}
EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"}
#: What a service says to credentials that it doesn't know; a region that is not enabled knows none.
UNKNOWN = {"AuthFailure", "InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId", "InvalidToken"}
WRONG_SECRET = {"SignatureDoesNotMatch", "InvalidSignatureException"}
LATE = {"RequestExpired", "RequestTimeTooSkewed", "RequestInTheFuture"}
#: Of these codes only this is about the credentials: the same is said of an image of another account.
_UNKNOWN_WORDS = {"AuthFailure": "validate the provided access credentials"}

_USER = re.compile(r"arn:aws[\w-]*:(?:iam|sts)::\d+:(?P<who>\S+) is not authorized to perform: (?P<right>[\w-]+:\w+)")
_RESOURCE = re.compile(r"on resource: (?:arn:[^:\s]*:[^:\s]*:[^:\s]*:[^:\s]*:)?(\S+)")
_DENIED_BY = re.compile(r"with an explicit deny in (?:an? )?([\w -]+?)(?:[.:,]|$| Encoded)")
_NOT_ALLOWED_BY = re.compile(r"because no ([\w -]+?) allows")
_FROM_ENGINE = re.compile(r"operation (?:error [\w ]+: )?(\w+), .*?api error ([\w.]+): (.*)", re.DOTALL)

_LOG_IN = "Log in again (aws sso login, or new keys), then run the same command."
_SET_CLOCK = "Set the clock (timedatectl set-ntp true), then run the same command."
_NEW_KEYS = "Check with aws sts get-caller-identity; mend ~/.aws/credentials, aws:profile or AWS_*."


def read(code: str, message: str, action: str, ahead: timedelta = timedelta(0)) -> CloudRefused:
    """An error that AWS answered with. ahead: by how much this machine's clock is before AWS's."""
    late = _clock(code, message, ahead)
    if late:
        return late
    if code in NO_RIGHT:
        return _no_right(code, message, action)
    if code in EXPIRED:
        return NotAdmitted(f"the credentials have expired ({code})", do=_LOG_IN)
    if code in UNKNOWN and _UNKNOWN_WORDS.get(code, "") in message:
        what = f"AWS does not know the credentials ({code})"
        return NotAdmitted(what, do=_NEW_KEYS, of_region=True)
    if code in WRONG_SECRET:
        return NotAdmitted(f"the secret key does not fit its access key ({code})", do=_NEW_KEYS)
    if code == "OptInRequired" and "http" not in message:  # with an address it is of a Marketplace image
        what = f"the account is not signed up for the service ({code}: {message.rstrip('.')})"
        return NotAdmitted(what, do="Open it once in the console; a new account may wait a day.", of_region=True)
    return CloudRefused(f"{action}: {code}: {message}")


def of_engine(text: str) -> CloudRefused | None:
    """A line of a Pulumi provider that says the same in the words of AWS's SDK for Go; None where it says something
    else."""
    found = _FROM_ENGINE.search(text)
    if not found:
        return None
    action, code, message = found.groups()
    known = read(code, message, action)
    return known if isinstance(known, NotAdmitted) or code in NO_RIGHT else None


def unasked(kind: str, text: str, profiles: Collection[str] = ()) -> CloudRefused:
    """Where no answer came: an exception of botocore by its class's name. profiles: those that this machine has."""
    if kind == "NoCredentialsError":
        do = "Give some: aws configure, aws:profile in the stack file, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        return NotAdmitted("there are no AWS credentials", do=do)
    if kind == "ProfileNotFound":
        there = f"There are: {', '.join(sorted(profiles))}." if profiles else "aws configure --profile makes it."
        name = re.search(r"\((.*)\)", text)
        return NotAdmitted(f"there is no AWS profile {name.group(1) if name else ''}".strip(), do=there)
    if kind in _OF_CREDENTIALS:
        return NotAdmitted(f"the credentials can't be used: {text.rstrip('.')}", do=_OF_CREDENTIALS[kind])
    if kind in _OF_NETWORK:
        return CloudRefused(f"AWS can't be reached: {text.rstrip('.')}", do="Check aws:region and the network.")
    return CloudRefused(f"AWS can't be asked: {text.rstrip('.')}", do="Check credentials, region and network.")


_OF_CREDENTIALS = {
    "CredentialRetrievalError": _LOG_IN,
    "InvalidConfigError": _NEW_KEYS,
    "LoginError": _LOG_IN,
    "LoginRefreshRequired": _LOG_IN,
    "LoginTokenLoadError": _LOG_IN,
    "PartialCredentialsError": _NEW_KEYS,
    "SSOError": _LOG_IN,
    "SSOTokenLoadError": _LOG_IN,
    "TokenRetrievalError": _LOG_IN,
    "UnauthorizedSSOTokenError": _LOG_IN,
}
_OF_NETWORK = {
    "ConnectTimeoutError",
    "ConnectionClosedError",
    "EndpointConnectionError",
    "ProxyConnectionError",
    "ReadTimeoutError",
    "SSLError",
}


def shut(region: str, state: str) -> NotAdmitted | None:
    """What DescribeRegions says of a region whose services know no credentials; None where it is not why."""
    if state != "not-opted-in":
        return None
    do = f"aws account enable-region --region-name {region} takes some minutes; or choose another aws:region."
    return NotAdmitted(f"region {region} is not enabled for the account", do=do)


def _clock(code: str, message: str, ahead: timedelta) -> NotAdmitted | None:
    told = code in WRONG_SECRET and re.search(r"Signature (expired|not yet current)", message)
    off = abs(ahead) > SKEW
    if not told and code not in LATE and not (off and code in UNKNOWN | WRONG_SECRET):
        return None
    if not off and code == "RequestExpired":  # EC2 says it of both
        return NotAdmitted(f"the credentials have expired, or this machine's clock is off ({code})", do=_LOG_IN)
    minutes = round(abs(ahead) / timedelta(minutes=1))
    by = f"{minutes} min {'ahead of' if ahead > timedelta(0) else 'behind'} AWS's" if off else "off"
    return NotAdmitted(f"this machine's clock is {by} ({code})", do=_SET_CLOCK)


def _no_right(code: str, message: str, action: str) -> CloudRefused:
    """EC2 tells the whole in code alone to who may decode it; what stands beside it in words names the right."""
    named, on = _USER.search(message), _RESOURCE.search(message)
    right = named["right"] if named else f"ec2:{action}" if code == "UnauthorizedOperation" else action
    who = f" for {named['who']}" if named else ""
    resource = f" on {on.group(1).rstrip('.,')}" if on and on.group(1) != "*" else ""
    what = f"{right} is not allowed{who}{resource} ({code})"
    if denied := _DENIED_BY.search(message):
        return CloudRefused(f"{what}: denied by a {denied.group(1)}", do="Only who changes that policy can help.")
    by = _NOT_ALLOWED_BY.search(message)
    if by and by.group(1) != "identity-based policy":
        return CloudRefused(f"{what}: no {by.group(1)} allows it", do=f"Allow {right} there.")
    if named:
        return CloudRefused(what, do=f"Allow {right} in a policy of {named['who']}.")
    return CloudRefused(what, do=f"Allow {right} in a policy of your user or role.")
