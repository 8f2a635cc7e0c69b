"""How each service says that it won't do something for a caller: no right, or credentials that it does not take.

Codes and statuses: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html and
https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html. IAM and STS word theirs alike; the services that
speak JSON share a third wording.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Codes of a fault rule that every service words in its own way.
DENIED, EXPIRED, WRONG_KEY, WRONG_CLOCK = "Denied", "Expired", "WrongKey", "WrongClock"
KINDS = (DENIED, EXPIRED, WRONG_KEY, WRONG_CLOCK)
ACCOUNT = "123456789012"
#: IAM's prefix of a service's rights, where it is not botocore's name of the service.
_PREFIXES = {"efs": "elasticfilesystem"}


@dataclass(frozen=True)
class Refusal:
    code: str
    status: int
    message: str


def refusal(kind: str, service: str, action: str, region: str = "us-east-1") -> Refusal:
    """kind: one of KINDS."""
    if kind == DENIED:
        return _denied(service, action, region)
    query = service in ("iam", "sts")
    invalid, expired = (f"The security token included in the request is {word}" for word in ("invalid.", "expired"))
    if service == "ec2":
        by_kind = {
            EXPIRED: Refusal("RequestExpired", 400, "Request has expired."),
            WRONG_KEY: Refusal("AuthFailure", 401, "AWS was not able to validate the provided access credentials"),
            WRONG_CLOCK: Refusal("RequestExpired", 400, "Request has expired."),
        }
    else:
        by_kind = {
            EXPIRED: Refusal("ExpiredToken" if query else "ExpiredTokenException", 403 if query else 400, expired),
            WRONG_KEY: Refusal(
                "InvalidClientTokenId" if query else "UnrecognizedClientException", 403 if query else 400, invalid
            ),
            WRONG_CLOCK: Refusal(
                "SignatureDoesNotMatch" if query else "InvalidSignatureException",
                403 if query else 400,
                "Signature expired: 20261124T120000Z is now earlier than 20261124T120500Z (20261124T122000Z - 15 min.)",
            ),
        }
    return by_kind[kind]


def _denied(service: str, action: str, region: str) -> Refusal:
    right = f"{_PREFIXES.get(service, service)}:{action}"
    on = f"arn:aws:ec2:{region}:{ACCOUNT}:instance/*" if right == "ec2:RunInstances" else "*"
    said = (
        f"User: arn:aws:iam::{ACCOUNT}:user/sandbox is not authorized to perform: {right} on resource: {on} "
        f"because no identity-based policy allows the {right} action"
    )
    if service == "ec2":
        words = f"You are not authorized to perform this operation. {said}. Encoded authorization failure message: 0"
        return Refusal("UnauthorizedOperation", 403, words)
    code = "AccessDenied" if service in ("iam", "sts") else "AccessDeniedException"
    return Refusal(code, 403 if service in ("iam", "sts", "efs", "scheduler") else 400, said)
