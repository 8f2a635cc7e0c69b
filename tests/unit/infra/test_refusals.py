"""AWS's words, as its documents and bug reports have them, into one line."""

from __future__ import annotations

from datetime import timedelta

import pytest

from infra import refusals
from infra.errors import CloudRefused, NotAdmitted

EC2 = "You are not authorized to perform this operation."
USER = "User: arn:aws:iam::123456789012:user/mary is not authorized to perform:"
ROLE = "User: arn:aws:sts::123456789012:assumed-role/ops/mary is not authorized to perform:"
INSTANCES = "on resource: arn:aws:ec2:us-east-1:123456789012:instance/*"
NO_POLICY = "because no identity-based policy allows the {} action"
INVALID = "The security token included in the request is invalid."
EXPIRED = "The security token included in the request is expired"
UNVALIDATED = "AWS was not able to validate the provided access credentials"
SIGNED = "Signature expired: 20261124T120000Z is now earlier than 20261124T120500Z (20261124T122000Z - 15 min.)"
WRONG_SECRET = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Key"
)
AHEAD, BEHIND = timedelta(minutes=21), timedelta(minutes=-8)


@pytest.mark.parametrize(
    ("code", "message", "said"),
    [
        (
            "UnauthorizedOperation",
            f"{EC2} {USER} ec2:RunInstances {INSTANCES} {NO_POLICY.format('ec2:RunInstances')}. Encoded authorization "
            "failure message: 4GIOHlTkIaWHQD0Q",
            "ec2:RunInstances is not allowed for user/mary on instance/* (UnauthorizedOperation). "
            "Allow ec2:RunInstances in a policy of user/mary.",
        ),
        (
            "UnauthorizedOperation",  # it is another right than the call's own that is missing
            f"{EC2} {USER} iam:PassRole on resource: arn:aws:iam::123456789012:role/fleet-dev {NO_POLICY}",
            "iam:PassRole is not allowed for user/mary on role/fleet-dev (UnauthorizedOperation). "
            "Allow iam:PassRole in a policy of user/mary.",
        ),
        (
            "UnauthorizedOperation",  # as it was worded before 2023: the reason is in the code alone
            f"{EC2} Encoded authorization failure message: 4GIOHlTkIaWHQD0Q",
            "ec2:RunInstances is not allowed (UnauthorizedOperation). "
            "Allow ec2:RunInstances in a policy of your user or role.",
        ),
        (
            "AccessDeniedException",
            f"{ROLE} pricing:GetProducts on resource: * with an explicit deny in a service control policy",
            "pricing:GetProducts is not allowed for assumed-role/ops/mary (AccessDeniedException): denied by a service "
            "control policy. Only who changes that policy can help.",
        ),
        (
            "AccessDenied",
            f"{ROLE} iam:CreateRole on resource: * because no permissions boundary allows the iam:CreateRole action",
            "iam:CreateRole is not allowed for assumed-role/ops/mary (AccessDenied): no permissions boundary allows "
            "it. Allow iam:CreateRole there.",
        ),
    ],
)
def test_a_missing_right_is_named_with_who_needs_it_and_what_refuses_it(code: str, message: str, said: str) -> None:
    error = refusals.read(code, message, "RunInstances")
    assert (str(error), type(error), error.exit_code) == (said, CloudRefused, 4)


@pytest.mark.parametrize(
    ("code", "message", "ahead", "said", "of_region"),
    [
        ("ExpiredToken", EXPIRED, 0, "the credentials have expired (ExpiredToken). Log in again", False),
        ("ExpiredTokenException", EXPIRED, 0, "the credentials have expired (ExpiredTokenException)", False),
        ("RequestExpired", "Request has expired.", 0, "the credentials have expired, or this machine's clock", False),
        ("RequestExpired", "Request has expired.", AHEAD, "this machine's clock is 21 min ahead of AWS's (Req", False),
        ("SignatureDoesNotMatch", SIGNED, 0, "this machine's clock is off (SignatureDoesNotMatch). Set the", False),
        ("InvalidSignatureException", SIGNED, BEHIND, "this machine's clock is 8 min behind AWS's (Invalid", False),
        ("SignatureDoesNotMatch", WRONG_SECRET, 0, "the secret key does not fit its access key (Signature", False),
        ("AuthFailure", UNVALIDATED, 0, "AWS does not know the credentials (AuthFailure). Check with", True),
        ("AuthFailure", UNVALIDATED, AHEAD, "this machine's clock is 21 min ahead of AWS's (AuthFailure)", False),
        ("InvalidClientTokenId", INVALID, 0, "AWS does not know the credentials (InvalidClientTokenId)", True),
        ("UnrecognizedClientException", INVALID, 0, "AWS does not know the credentials (Unrecognized", True),
        ("OptInRequired", f"{EC2} Ensure", 0, "the account is not signed up for the service (OptInRequired: You", True),
    ],
)
def test_what_takes_no_request_at_all_is_told_from_a_missing_right(
    code: str, message: str, ahead: timedelta | int, said: str, of_region: bool
) -> None:
    error = refusals.read(code, message, "DescribeInstances", ahead or timedelta(0))
    assert isinstance(error, NotAdmitted) and str(error).startswith(said), str(error)
    assert (error.of_region, error.exit_code, "\n" in str(error)) == (of_region, 4, False)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("AuthFailure", "Not authorized for images: [ami-1]"),
        (
            "OptInRequired",
            "In order to use this product accept terms and subscribe. https://aws.amazon.com/marketplace",
        ),
        ("InsufficientInstanceCapacity", "We currently do not have sufficient p5.48xlarge capacity in us-east-1a."),
    ],
)
def test_anything_else_keeps_awss_own_words(code: str, message: str) -> None:
    assert str(refusals.read(code, message, "RunInstances")) == f"RunInstances: {code}: {message}"


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        ("NoCredentialsError", "Unable to locate credentials", "there are no AWS credentials. Give some: aws conf"),
        (
            "ProfileNotFound",
            "The config profile (prod) could not be found",
            "there is no AWS profile prod. There are: a",
        ),
        ("UnauthorizedSSOTokenError", "The SSO session has expired", "the credentials can't be used: The SSO session"),
        ("EndpointConnectionError", 'Could not connect to "https://ec2"', "AWS can't be reached: Could not connect"),
        ("ParamValidationError", "Missing required parameter", "AWS can't be asked: Missing required parameter."),
    ],
)
def test_where_no_answer_came_it_says_whether_it_is_the_credentials_or_the_network(
    kind: str, text: str, said: str
) -> None:
    assert str(refusals.unasked(kind, text, ["dev", "a"])).startswith(said)


GO = "creating EC2 Instance: operation error EC2: RunInstances, https response error StatusCode: {}, RequestID: 7a-1, "


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            GO.format(403) + f"api error UnauthorizedOperation: {EC2} {USER} ec2:RunInstances {INSTANCES} {NO_POLICY}",
            "ec2:RunInstances is not allowed for user/mary on instance/* (UnauthorizedOperation)",
        ),
        (GO.format(400) + "api error ExpiredToken: " + EXPIRED, "the credentials have expired (ExpiredToken)"),
        (GO.format(500) + "api error InsufficientInstanceCapacity: We currently do not have", None),
        ("swift-fleet:nodes  Input should be greater than or equal to 1", None),
    ],
)
def test_the_same_is_read_out_of_what_a_pulumi_provider_says(text: str, said: str | None) -> None:
    error = refusals.of_engine(text)
    assert (error.what if error else None) == said


def test_only_a_region_that_is_not_enabled_is_shut() -> None:
    assert refusals.shut("us-west-2", "opt-in-not-required") is refusals.shut("me-central-1", "opted-in") is None
    said = str(refusals.shut("me-central-1", "not-opted-in"))
    assert said.startswith("region me-central-1 is not enabled for the account. aws account enable-region")
