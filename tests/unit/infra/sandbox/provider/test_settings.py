"""The provider's settings, and that it can't be pointed at AWS."""

from __future__ import annotations

import json

import pytest

from infra.sandbox.provider.session import Aws
from infra.sandbox.provider.settings import BadSettings, on_loopback, parse

GIVEN = {"region": "us-east-1", "endpoints": json.dumps([{"ec2": "http://127.0.0.1:4577"}])}


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://127.0.0.1:4577", True),
        ("http://127.77.0.9", True),
        ("http://localhost:4577", True),
        ("http://[::1]:4577", True),
        ("https://ec2.us-east-1.amazonaws.com", False),
        ("http://10.0.0.1:4577", False),
        ("http://127.0.0.1.example.org", False),
        ("http://127.0.0.1@example.org", False),
        ("", False),
    ],
)
def test_only_loopback_counts(url: str, loopback: bool) -> None:
    assert on_loopback(url) is loopback


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"endpoints": ""}, "never talks to AWS"),
        ({"endpoints": "[]"}, "never talks to AWS"),
        (
            {"endpoints": json.dumps([{"ec2": "http://127.0.0.1"}, {"sts": "https://sts.amazonaws.com"}])},
            "endpoints.sts",
        ),
        ({"endpoints": "{"}, "not JSON"),
        ({"region": ""}, "aws:region is not set"),
    ],
)
def test_settings_that_could_reach_aws_are_refused(changed: dict[str, str], said: str) -> None:
    with pytest.raises(BadSettings, match=said):
        parse({**GIVEN, **changed})


def test_what_is_not_text_arrives_as_json_in_a_string() -> None:
    found = parse(
        {**GIVEN, "maxRetries": "3", "defaultTags": '{"tags": {"a": "b"}}', "skipCredentialsValidation": "true"}
    )
    assert (found.max_retries, found.default_tags, found.skip_credentials_validation) == (3, {"a": "b"}, True)


def test_zero_retries_mean_the_default() -> None:
    assert parse({**GIVEN, "maxRetries": "0"}).max_retries == 25


def test_a_service_without_an_endpoint_has_no_client() -> None:
    with pytest.raises(BadSettings, match="names no pricing"):
        Aws(parse(GIVEN)).client("pricing")
